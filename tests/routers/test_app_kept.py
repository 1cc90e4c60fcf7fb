"""The page of tasks: what is typed stays until it is sent, and what is shown can be read."""

import re
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Dialog, Locator, Page, Route, expect

from tests.routers.test_app import desk, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api, Person
from tests.support.chromium import SERVED_NAME, BrowserPage

__all__ = ["desk"]
pytestmark = pytest.mark.thorough

STATES = [
    {"key": "todo", "name": "To do", "status": "pending"},
    {"key": "doing", "name": "Doing", "status": "in_progress", "wip_limit": 1, "wip_policy": "block"},
    {"key": "review", "name": "Review", "status": "in_progress"},
    {"key": "done", "name": "Done", "status": "completed"},
]


def project_with_tasks(ada: Person, *titles: str) -> tuple[int, list[int]]:
    """A project with the states above, and its tasks."""
    project = ada.post("/projects", json={"name": "Research", "states": STATES}).json()["id"]
    return project, [ada.task(title, project_id=project)["id"] for title in titles]


def agreed(page: Page) -> list[str]:
    """The kinds of the questions that the browser asks from now on; each is answered by yes."""
    asked: list[str] = []

    def agree(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", agree)
    return asked


@sqlite_only
def test_a_comment_that_was_begun_stays_with_its_task(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("First")
    ada.task("Second")
    page = log_in(desk)
    panel = page.locator("#panel")
    comment = panel.get_by_label("Comment", exact=True)

    def opened(title: str) -> None:
        row(page, title).get_by_role("link").click()
        panel.get_by_role("heading", name=title).wait_for()

    opened("First")
    comment.fill("About the first")
    opened("Second")
    expect(comment).to_have_value("")
    opened("First")
    expect(comment).to_have_value("About the first")
    panel.get_by_role("button", name="Close").click()
    opened("First")
    panel.get_by_role("button", name="Comment", exact=True).click()
    panel.locator(".comments", has_text="About the first").wait_for()
    opened("Second")
    opened("First")
    expect(comment).to_have_value("")

    # The browser asks before it loses what was begun, in another task too.
    asked = agreed(page)
    page.reload()
    comment.fill("About the first again")
    opened("Second")
    page.reload()
    panel.get_by_role("heading", name="Second").wait_for()
    assert asked == ["beforeunload"]


@sqlite_only
def test_what_could_not_be_sent_stays_and_is_sent_later(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    task = ada.task("Measure")["id"]
    page = log_in(desk, f"/app?task={task}")
    page.locator("#live", has_text="Live").wait_for(state="attached")
    panel = page.locator("#panel")
    text = panel.get_by_label("Description")
    text.wait_for()
    page.context.set_offline(True)
    page.locator("#live", has_text="Reconnecting").wait_for(state="attached")
    text.fill("Twice, and in the morning")
    text.blur()
    page.locator("#status", has_text="Not saved").wait_for()
    expect(text).to_have_value("Twice, and in the morning")
    # The list and the task that are asked for meanwhile come by themselves too. The menu may say the same.
    page.get_by_role("link", name="Due in a week").click()
    page.locator("#content").get_by_text("The server can't be reached. Retry").wait_for()
    page.go_back()
    panel.get_by_text("The server can't be reached.").wait_for()
    page.context.set_offline(False)
    until(page, lambda: ada.get(f"/tasks/{task}").json()["description"] == "Twice, and in the morning")
    row(page, "Measure").wait_for()
    page.locator("#live", has_text="Live").wait_for(state="attached")

    # Without leaving the task there is nothing to do.
    page.context.set_offline(True)
    text.fill("In the evening")
    text.blur()
    page.locator("#status", has_text="Not saved").wait_for()
    page.context.set_offline(False)
    until(page, lambda: ada.get(f"/tasks/{task}").json()["description"] == "In the evening")

    # A change that is refused stays too, and can be given up.
    tags = panel.get_by_label("Tags")
    tags.fill("x" * 51)
    tags.blur()
    page.locator("#status", has_text="Not saved").wait_for()
    expect(tags).to_have_value("x" * 51)
    tags.focus()
    page.keyboard.press("Escape")
    expect(tags).to_have_value("")


@sqlite_only
def test_what_is_typed_in_a_task_outlives_the_session(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    task = ada.task("Measure")["id"]
    page = log_in(desk, f"/app?task={task}")
    panel = page.locator("#panel")
    panel.get_by_label("Comment", exact=True).fill("A comment that was begun")
    panel.get_by_label("Description").fill("Twice, and in the morning")
    for session in ada.get("/auth/sessions").json():
        ada.delete(f"/auth/sessions/{session['id']}")
    panel.get_by_label("Description").blur()
    page.get_by_text("Your session has ended").wait_for()
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(panel.get_by_label("Comment", exact=True)).to_have_value("A comment that was begun")
    expect(panel.get_by_label("Description")).to_have_value("Twice, and in the morning")
    panel.get_by_label("Description").focus()
    panel.get_by_label("Description").blur()
    expect(panel.get_by_label("Description")).not_to_have_attribute("data-dirty", "1")
    page.reload()
    expect(panel.get_by_label("Description")).to_have_value("Twice, and in the morning")

    # Another account finds nothing of it.
    api.person("grace")
    page.locator("#log-out").click()
    page.get_by_label("Username or email").fill("grace")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    page.get_by_text("This task is not there, or not yours to see.").wait_for()


@sqlite_only
def test_an_answer_that_was_lost_makes_nothing_twice(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    lost: list[str] = []

    def lose_the_first(route: Route) -> None:
        request = route.request
        if request.method == "POST" and urlsplit(request.url).path not in lost:
            lost.append(urlsplit(request.url).path)
            names = ("authorization", "content-type", "idempotency-key")
            headers = {name: value for name, value in request.headers.items() if name in names}
            address = request.url.replace(SERVED_NAME, "127.0.0.1")
            assert httpx.post(address, headers=headers, content=request.post_data_buffer).status_code == 201
            route.abort()
        else:
            route.continue_()

    for pattern in (r"/tasks$", r"/tasks/import", r"/comments$"):
        page.route(re.compile(pattern), lose_the_first)
    line = page.get_by_label("Add a task")
    line.fill("Call the printer")
    line.press("Enter")
    page.locator("#status", has_text="can't be reached").wait_for()
    line.press("Enter")
    page.locator("#status", has_text="Added").wait_for()
    row(page, "Call the printer").get_by_role("link").click()
    comment = page.get_by_label("Comment", exact=True)
    comment.fill("Twice, please")
    send = page.get_by_role("button", name="Comment", exact=True)
    send.click()
    page.locator("#status", has_text="can't be reached").wait_for()
    send.click()
    expect(comment).to_have_value("")

    # Parts of an import that have arrived are not sent again.
    page.goto(f"{desk.base_url}/app?page=import")
    rows = "".join(f"Task {number}\n" for number in range(5001))
    page.locator("input[type=file]").set_input_files(
        {"name": "tasks.csv", "mimeType": "text/csv", "buffer": f"title\n{rows}".encode()}
    )
    page.get_by_role("button", name="Import 5,001 tasks").click()
    page.locator(".refused", has_text="can't be reached").wait_for()
    page.unroute_all()
    page.get_by_role("button", name="Import 5,001 tasks").click()
    page.locator("#status", has_text="5,001 tasks imported").wait_for()
    assert lost == ["/tasks", "/tasks/1/comments", "/tasks/import"]
    assert [len(ada.get(f"/tasks/1/{each}").json()) for each in ("comments", "history")] == [1, 1]
    assert ada.get("/tasks?total=true&limit=1").headers["X-Total-Count"] == "5002"


def box(place: Locator) -> dict[str, Any]:
    found = place.bounding_box()
    assert found is not None
    return {**found}


@sqlite_only
def test_no_message_covers_another(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project, (full, *_) = project_with_tasks(ada, "In the way", "Moved", "Refused")
    ada.patch(f"/tasks/{full}", json={"state": "doing"})
    page = log_in(desk, f"/app?project={project}&layout=board")
    # With an open task there is little room beside it.
    page.locator(".task", has_text="In the way").get_by_role("link").click()
    page.locator("#panel").get_by_role("heading", name="In the way").wait_for()
    page.locator(".task", has_text="Moved").focus()
    page.keyboard.press("s")
    page.get_by_role("dialog").get_by_text("Review").click()
    page.locator(".toast", has_text="moved to Review").wait_for()
    page.locator(".task", has_text="Refused").drag_to(page.locator("[data-key=doing]"))
    page.locator("#status", has_text="limit").wait_for()
    message, undo = box(page.locator("#status")), box(page.locator(".toast"))
    assert message["y"] + message["height"] <= undo["y"]
    page.get_by_role("button", name="Undo").click()
    expect(page.locator("[data-key=todo] .task")).to_have_count(2)


@sqlite_only
def test_long_titles_of_any_script_are_read_from_their_beginning(api: Api, desk: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project, _ = project_with_tasks(ada, "start " * 50, "بداية " * 50)
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    page = log_in(desk, f"/app?project={project}")
    for title in ("start", "بداية"):
        assert (
            row(page, title)
            .locator(".title")
            .evaluate("""(link) => {
            const range = document.createRange();
            range.setStart(link.firstChild, 0);
            range.setEnd(link.firstChild, 1);
            const [letter, cell] = [range.getBoundingClientRect(), link.parentElement.getBoundingClientRect()];
            return letter.left >= cell.left - 1 && letter.right <= cell.right + 1;
        }""")
        )
    # A word without end stays within its place.
    ada.patch("/tasks/1", json={"title": "w" * 500})
    grace.post("/tasks/1/comments", json={"text": "Do you see it, @ada?"})
    page.goto(f"{desk.base_url}/app?page=notifications")
    told = page.locator(".told").first
    told.get_by_role("link", name="w" * 100).wait_for()
    assert told.evaluate("(list) => list.scrollWidth <= list.clientWidth")


@sqlite_only
def test_a_very_long_title_takes_a_few_lines_of_its_card(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    long = " ".join(["Measure it again"] * 29)
    project_with_tasks(ada, long, "Short")
    page = log_in(desk, "/app?layout=board")
    card = page.locator(".task", has_text="Measure")
    assert box(card)["height"] < 140
    # The mouse shows all of it, and only where something is cut.
    card.get_by_role("link").hover()
    expect(card.get_by_role("link")).to_have_attribute("title", long)
    short = page.locator(".task", has_text="Short").get_by_role("link")
    short.hover()
    expect(short).to_have_attribute("title", "")
    # Paper has room for all of it.
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert box(card)["height"] > 140


@sqlite_only
def test_the_tasks_of_one_view_do_not_stand_under_the_name_of_another(api: Api, desk: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project, (theirs, _) = project_with_tasks(ada, "Of Grace", "Of Ada")
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    ada.put(f"/tasks/{theirs}/assign", params={"assigned_user_id": grace.id})
    page = log_in(desk, f"/app?project={project}")
    row(page, "Of Grace").wait_for()
    waiting: list[Route] = []

    def hold(route: Route) -> None:
        waiting.append(route)

    page.route(re.compile(r"/tasks\?"), hold)
    page.locator("#side").get_by_role("link", name="My tasks").click()
    page.get_by_role("heading", name="My tasks").wait_for()
    expect(page.locator(".row")).to_have_text([re.compile("Of Ada")])
    for route in waiting:
        route.continue_()
    expect(page.locator("#count")).to_have_text("1")


@sqlite_only
def test_states_of_one_name_are_one_group(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project_with_tasks(ada, "In a project")
    ada.task("Only mine")
    page = log_in(desk)
    expect(page.locator(".head")).to_have_text(["To do2"])


@sqlite_only
def test_each_address_has_a_title_of_its_own(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project, (task,) = project_with_tasks(ada, "Measure")
    page = log_in(desk, f"/app?project={project}&task={task}")
    expect(page).to_have_title("Measure - Research - Task Platform")
    page.get_by_role("button", name="Close").click()
    expect(page).to_have_title("Research - Task Platform")
    page.get_by_role("link", name="Members and settings").click()
    expect(page).to_have_title("Settings - Research - Task Platform")
    # The figures that the menu leads to are those of the project.
    page.locator("#side").get_by_role("link", name="Dashboard").click()
    expect(page.get_by_label("Shared project")).to_have_value(str(project))


@sqlite_only
def test_a_new_password_shows_what_it_has_ended(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.post("/auth/tokens", json={"name": "nightly import", "scopes": ["tasks:read"]})
    page = log_in(desk, "/app?page=settings")
    expect(page.get_by_role("region", name="Sessions").locator("tbody tr")).to_have_count(2)
    tokens = page.get_by_role("region", name="Program tokens")
    tokens.get_by_text("nightly import").wait_for()
    page.get_by_label("Password now").fill(PASSWORD)
    page.get_by_label("New password").fill(f"{PASSWORD}-of-today")
    page.get_by_role("button", name="Change the password").click()
    expect(tokens).to_have_count(0)
    expect(page.get_by_role("region", name="Sessions").locator("tbody tr")).to_have_count(1)
    # The browser asks nobody about a form that was sent.
    asked = agreed(page)
    page.reload()
    tokens.wait_for(state="detached")
    assert asked == []


@sqlite_only
def test_a_secret_stays_until_what_it_opens_is_gone(api: Api, desk: BrowserPage) -> None:
    api.person()
    page = log_in(desk, "/app?page=settings")
    hooks = page.locator("section", has_text="Standard Webhooks")
    hooks.get_by_text("New webhook").click()
    hooks.get_by_label("Address").fill("http://93.184.216.34:9/hook")
    hooks.get_by_role("button", name="Add a webhook").click()
    secret = page.get_by_label("The signing secret")
    signing = secret.input_value()
    hooks.get_by_role("button", name="Last deliveries").click()
    hooks.get_by_text("Nothing was sent yet.").wait_for()
    expect(secret).to_have_value(signing)
    for name in ("old", "new"):
        page.get_by_text("New token").click()
        page.get_by_label("Name", exact=True).fill(name)
        page.get_by_role("button", name="Make a token").click()
        page.get_by_label(f'The token "{name}"').wait_for()
    page.get_by_role("row", name="old").get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_label('The token "old"')).to_have_count(0)
    assert page.get_by_label('The token "new"').input_value()
    # A new password ends tokens, and switches webhooks off, which may be switched on again.
    page.get_by_label("Password now").fill(PASSWORD)
    page.get_by_label("New password").fill(f"{PASSWORD}-of-today")
    page.get_by_role("button", name="Change the password").click()
    hooks.get_by_text("switched off").wait_for()
    expect(secret).to_have_value(signing)
    expect(page.get_by_label('The token "new"')).to_have_count(0)
    page.reload()
    hooks.get_by_text("switched off").wait_for()
    expect(secret).to_have_count(0)


@sqlite_only
def test_tasks_that_are_shown_stay_though_the_network_is_lost_a_moment_later(
    api: Api, desk: BrowserPage
) -> None:
    ada = api.person()
    ada.task("Measure")
    ada.post("/views", json={"name": "Mine", "filter": "owner = @me"})
    page = log_in(desk)
    row(page, "Measure").wait_for()
    page.route(re.compile("/(views|notifications)"), lambda route: route.abort())
    page.reload()
    trouble = page.locator("#side .trouble")
    expect(trouble).to_contain_text("The server can't be reached.")
    row(page, "Measure").wait_for()
    page.unroute_all()
    trouble.get_by_role("button", name="Retry").click()
    page.locator("#side").get_by_role("link", name="Mine").wait_for()
    expect(trouble).to_have_count(0)


@sqlite_only
def test_a_project_that_was_opened_offline_has_its_members_later(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    grace = api.person("grace")
    project, _ = project_with_tasks(ada, "Measure")
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    page = log_in(desk)
    page.locator("#live", has_text="Live").wait_for(state="attached")
    menu = page.locator("#side")
    page.context.set_offline(True)
    menu.get_by_role("link", name="Research").click()
    page.get_by_text("The server can't be reached.").first.wait_for()
    page.context.set_offline(False)
    row(page, "Measure").wait_for()
    page.get_by_role("heading", name="Research").wait_for()
    # The known projects stay.
    menu.get_by_role("link", name="Research").wait_for()
    page.get_by_role("button", name="Filter", exact=True).click()
    page.locator("#filters [name=owner]").select_option("grace")


@sqlite_only
def test_a_text_is_sent_when_the_server_is_there_again(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    task = ada.task("Measure")["id"]
    page = log_in(desk)
    away = re.compile(rf"/events/stream|/tasks/{task}$")
    page.route(
        away,
        lambda route: (
            route.abort()
            if route.request.method != "GET" or "stream" in route.request.url
            else route.continue_()
        ),
    )
    page.goto(f"{desk.base_url}/app?task={task}")
    page.locator("#panel").get_by_label("Description").fill("Twice")
    page.locator("#panel").get_by_label("Tags").focus()
    page.locator("#status", has_text="Not saved").wait_for()
    page.unroute(away)
    until(page, lambda: ada.get(f"/tasks/{task}").json()["description"] == "Twice")
    # Nobody else has changed it.
    expect(page.locator("#status")).not_to_contain_text("Somebody else")
