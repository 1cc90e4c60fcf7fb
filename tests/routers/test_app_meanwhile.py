"""The page of tasks: what others do, what is refused and where the person goes meanwhile leave no wrong trace."""

import json
import re

import httpx
import pytest
from playwright.sync_api import Page, Route, expect

from tests.routers.test_app import desk, filters, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_app_slow import two_projects
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage
from tests.support.holding import answer_to, hold

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def shared(ada: Person, bob: Person, role: str = "manager") -> int:
    project = int(ada.post("/projects", json={"name": "Research"}).json()["id"])
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": role})
    return project


def live(page: Page) -> None:
    page.locator("#live", has_text="Live").wait_for(state="attached")


@sqlite_only
def test_a_search_that_is_being_typed_stays_with_its_project(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    first, _ = two_projects(ada)
    page = log_in(desk, f"/app?project={first}")
    row(page, "Measure").wait_for()
    page.get_by_role("link", name="Garden").click()
    row(page, "Dig").wait_for()
    filters(page).get_by_label("Search").click()
    page.keyboard.type("Di")
    page.go_back()
    row(page, "Measure").wait_for()
    page.wait_for_timeout(300)
    assert "q=" not in page.url


@sqlite_only
def test_what_was_read_and_named_elsewhere_is_seen_by_who_comes_back(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(bob, ada, "member")
    page = log_in(desk, "/app?page=notifications")
    told = page.locator(".told .unread")
    expect(told).to_have_count(1)
    # The list follows the number in the menu.
    bob.task("Measure", project_id=project, user_id=ada.id)
    until(page, lambda: len(ada.get("/notifications").json()) == 2)
    page.evaluate("dispatchEvent(new Event('focus'))")
    expect(told).to_have_count(2)
    expect(page.locator("#side .badge")).to_have_text("2")
    ada.post("/notifications/read-all")
    ada.post("/views", json={"name": "Urgent", "filter": "priority = 4"})
    page.evaluate("dispatchEvent(new Event('focus'))")
    bob.post("/views", json={"name": "Due", "filter": "due < today", "project_id": project})
    page.evaluate("dispatchEvent(new Event('focus'))")
    page.get_by_role("link", name="Due", exact=True).wait_for()
    # A view of another one's project is there to look at.
    expect(page.get_by_role("button", name="Rename the view")).to_have_count(1)
    expect(page.get_by_role("button", name="Delete the view Urgent")).to_be_visible()
    expect(page.locator("#side .badge")).to_have_count(0)
    expect(told).to_have_count(0)
    # The page asks for 200 at most, and says that there may be more.
    one = {"op": "create", "task": {"title": "Measure", "project_id": project, "user_id": ada.id}}
    bob.post("/tasks/batch", json={"operations": [one] * 201})
    expect(page.locator("#side .badge")).to_have_text("200+")


@sqlite_only
def test_a_title_is_edited_on_while_its_project_changes(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    ada.task("Measure", project_id=project)
    page = log_in(desk, f"/app?project={project}")
    live(page)
    row(page, "Measure").focus()
    page.keyboard.press("e")
    page.keyboard.type("Measure tw")
    bob.patch(f"/projects/{project}", json={"name": "Science"})
    page.get_by_role("link", name="Science").wait_for()
    page.wait_for_timeout(300)
    page.keyboard.type("ice")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Science").wait_for()
    until(page, lambda: ada.get("/tasks/1").json()["title"] == "Measure twice")


@sqlite_only
def test_what_is_typed_about_a_project_stays_while_others_change_it(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    page = log_in(desk, f"/app?page=project&project={project}")
    live(page)
    name = page.get_by_label("Name", exact=True).last
    name.fill("Science")
    page.get_by_label("Limit of To do", exact=True).fill("3")
    bob.patch(f"/projects/{project}", json={"description": "About heat"})
    page.locator("#status", has_text="Somebody else has just changed this project").wait_for()
    expect(name).to_have_value("Science")
    page.get_by_role("button", name="Save").last.click()
    page.locator("#status", has_text="Saved").wait_for()
    found = ada.get(f"/projects/{project}").json()
    assert (found["name"], found["description"]) == ("Science", "About heat")
    # The change comes back as an event, and does not take the limit away.
    page.wait_for_timeout(500)
    expect(page.get_by_label("Limit of To do", exact=True)).to_have_value("3")


@sqlite_only
def test_what_is_refused_is_not_shown(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    ada.task("Measure", project_id=project)
    page = log_in(desk, "/app?page=notifications")
    page.route(re.compile("/notifications/preferences$"), refuse_put)
    page.route(re.compile("/assign"), refuse_put)
    mail = page.get_by_label("Assigned to you")
    before = mail.input_value()
    mail.select_option("never" if before != "never" else "daily")
    page.locator("#status", has_text="Busy").wait_for()
    expect(mail).to_have_value(before)

    page.goto(f"{desk.base_url}/app?project={project}&task=1")
    owner = page.locator("#panel").get_by_label("Owner")
    owner.locator("option", has_text="bob").wait_for(state="attached")
    owner.select_option(str(bob.id))
    page.locator("#status", has_text="Busy").wait_for()
    expect(owner).to_have_value(str(ada.id))

    page.goto(f"{desk.base_url}/app?page=project&project={project}")
    members = page.get_by_role("table", name="Members")
    members.get_by_text("bob").wait_for()
    page.route(re.compile("/members"), lambda route: route.abort())
    page.get_by_label("Role of bob").select_option("viewer")
    page.locator("#status", has_text="reached").wait_for()
    members.get_by_text("bob").wait_for()


def refuse_put(route: Route) -> None:
    if route.request.method == "PUT":
        route.fulfill(status=503, json={"detail": "Busy", "code": "busy"})
    else:
        route.fallback()


@sqlite_only
def test_nobody_is_taken_back_to_what_they_left(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    bob.task("Measure", project_id=project)
    bob.put(f"/tasks/1/assign?assigned_user_id={ada.id}")
    page = log_in(desk, "/app?page=notifications")
    # A notification whose task comes late.
    task = hold(page, "/tasks/1$")
    page.locator(".told").get_by_role("link", name="Measure").first.click()
    task.wait()
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("heading", name="Sessions").wait_for()
    task.let_go()
    page.wait_for_timeout(500)
    assert page.url.endswith("page=settings")

    # An import that goes on behind another page, and one that fails there.
    for answer in ("tasks imported", "The import has ended"):
        sent = hold(page, "/tasks/import", "POST")
        page.get_by_role("link", name="Import", exact=True).click()
        rows = json.dumps([{"title": "One"}, {"title": "Two"}]).encode()
        files = {"name": "tasks.json", "mimeType": "application/json", "buffer": rows}
        page.locator("#import-file").set_input_files(files)  # type: ignore[arg-type]
        page.get_by_role("button", name="Import 2 tasks").click()
        sent.wait()
        expect(page.get_by_label("Into")).to_be_disabled()
        page.get_by_role("link", name="Settings", exact=True).click()
        page.get_by_role("heading", name="Sessions").wait_for()
        if answer == "tasks imported":
            sent.let_go()
        else:
            sent.refuse()
        page.locator("#status", has_text=answer).wait_for()
        page.wait_for_timeout(300)
        assert page.url.endswith("page=settings")


@sqlite_only
def test_a_deleted_task_stays_away_on_the_way_to_another_page(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    ada.task("Write")
    page = log_in(desk)
    row(page, "Measure").focus()
    page.keyboard.press("Delete")
    expect(row(page, "Measure")).to_have_count(0)
    page.get_by_role("link", name="Settings", exact=True).click()
    page.get_by_role("heading", name="Sessions").wait_for()
    page.go_back()
    row(page, "Write").wait_for()
    expect(page.locator("#count")).to_have_text("1")
    page.locator(".toast").get_by_role("button", name="Undo").click()
    row(page, "Measure").wait_for()


@sqlite_only
def test_a_project_is_made_once_though_the_answer_was_lost(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    lost: list[httpx.Response] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or lost:
            route.fallback()
            return
        lost.append(answer_to(route.request))
        route.abort()

    page.route(re.compile("/projects$"), lose)
    page.get_by_role("button", name="New project").first.click()
    page.get_by_label("Name", exact=True).fill("Research")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").get_by_text("can't be reached").wait_for()
    page.get_by_role("button", name="Make the project").click()
    page.get_by_role("heading", name="Research").wait_for()
    assert len(ada.get("/projects").json()) == 1


@sqlite_only
def test_an_older_answer_does_not_replace_a_newer_one(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    page = log_in(desk)
    live(page)
    page.get_by_role("link", name="Research").wait_for()
    late: list[tuple[Route, httpx.Response]] = []

    def delay(route: Route) -> None:
        if late:
            route.fallback()
        else:
            late.append((route, answer_to(route.request)))

    page.route(re.compile(r"/projects\?$"), delay)
    bob.patch(f"/projects/{project}", json={"name": "Science"})
    until(page, lambda: bool(late))
    bob.patch(f"/projects/{project}", json={"name": "Physics"})
    page.get_by_role("link", name="Physics").wait_for()
    route, answer = late[0]
    route.fulfill(status=answer.status_code, json=answer.json())
    page.wait_for_timeout(500)
    expect(page.get_by_role("link", name="Physics")).to_have_count(1)


@sqlite_only
def test_the_keys_of_an_input_method_are_its_own(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk, "/app?task=1")
    enter = {"key": "Enter", "isComposing": True, "bubbles": True, "cancelable": True}
    title = page.locator("#panel").get_by_label("Title")
    title.fill("にほん")
    title.dispatch_event("keydown", enter)
    title.dispatch_event("keydown", {**enter, "key": "Escape"})
    expect(title).to_be_focused()
    expect(title).to_have_value("にほん")
    page.keyboard.press("Control+k")
    wanted = page.get_by_label("What do you want to do?")
    wanted.fill("sett")
    wanted.dispatch_event("keydown", enter)
    page.wait_for_timeout(200)
    expect(wanted).to_be_visible()


@sqlite_only
def test_what_was_imported_is_not_imported_again_with_another_meaning(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk, "/app?page=import")
    rows = [{"title": f"Task {number}", "note": "why"} for number in range(5_002)]
    files = {"name": "tasks.json", "mimeType": "application/json", "buffer": json.dumps(rows).encode()}
    page.locator("#import-file").set_input_files(files)  # type: ignore[arg-type]
    sent = hold(page, "/tasks/import", "POST")
    page.get_by_role("button", name="Import 5,002 tasks").click()
    sent.wait()
    sent.routes.pop().continue_()
    sent.wait()
    sent.refuse()
    page.get_by_text("The first 5,000 are imported.").wait_for()
    page.get_by_label("note means").select_option("tags")
    page.get_by_role("button", name="Import the other 2 tasks").click()
    page.locator("#status", has_text="imported").wait_for()
    found = ada.get("/tasks?total=true&limit=3&sort_by=id")
    assert found.headers["X-Total-Count"] == "5002"
    assert [each["tags"] for each in found.json()] == [["why"], ["why"], []]


@sqlite_only
def test_a_menu_that_stays_as_it_is_is_not_drawn_again(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    live(page)
    row(page, "Measure").wait_for()
    link = page.get_by_role("link", name="Due in a week").element_handle()
    # The link is pressed, and a change comes before it is let go.
    with page.expect_response(re.compile("/notifications")):
        ada.patch("/tasks/1", json={"priority": 2})
    page.wait_for_timeout(300)
    assert link.evaluate("each => each.isConnected")


@sqlite_only
def test_comments_of_a_gap_in_the_stream_are_shown(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    ada.task("Measure", project_id=project)
    streams = hold(desk.page, "/events/stream")
    page = log_in(desk, f"/app?project={project}&task=1")
    page.locator("#panel .talk").wait_for()
    streams.wait()
    bob.post("/tasks/1/comments", json={"text": "Twice"})
    page.wait_for_timeout(300)
    assert page.locator(".comments li").count() == 0
    # The stream that begins at last tells nothing of what was before.
    streams.let_go()
    page.locator(".comments", has_text="Twice").wait_for()


@sqlite_only
def test_a_project_that_was_lost_unheard_leaves_the_page(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(bob, ada, "member")
    bob.task("Secret", project_id=project)
    desk.page.route(re.compile("/events/stream"), lambda route: route.abort())
    page = log_in(desk, f"/app?project={project}")
    row(page, "Secret").wait_for()
    bob.delete(f"/projects/{project}/members/{ada.id}")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.locator("#status", has_text="You no longer see Research").wait_for()
    page.get_by_role("heading", name="My tasks").wait_for()
    expect(row(page, "Secret")).to_have_count(0)


@sqlite_only
def test_a_task_stays_in_the_search_that_found_it(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    titles = {"Straße": "STRASSE", "Οδός": "ΌΣ", "Kapı": "kapı", "Café": "CAFE\u0301"}
    for title in titles:
        ada.task(title)
    page = log_in(desk)
    for title, sought in titles.items():
        page.goto(f"{desk.base_url}/app?q={sought}")
        row(page, title).wait_for()
        live(page)
        row(page, title).focus()
        page.keyboard.press("3")
        row(page, title).get_by_title("High").wait_for()
        expect(row(page, title)).to_have_count(1)


@sqlite_only
def test_who_writes_in_an_open_task_goes_on_while_others_change_it(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    task = ada.task("Measure", project_id=project)["id"]
    ada.post(f"/tasks/{task}/comments", json={"text": "First"})
    page = log_in(desk, f"/app?project={project}&task={task}")
    live(page)
    panel = page.locator("#panel")

    # A state of another status has the panel drawn again. Letters outside of it are keys that change tasks.
    panel.get_by_text("Mark as blocked").click()
    # The browser tells a moment later that the field is there.
    expect(panel.get_by_label("Why it is blocked")).to_be_focused()
    page.keyboard.type("The device")
    bob.patch(f"/tasks/{task}", json={"status": "in_progress"})
    expect(panel.get_by_label("State")).to_have_value("in_progress")
    page.keyboard.type(" is late")
    expect(panel.get_by_label("Why it is blocked")).to_have_value("The device is late")
    page.keyboard.press("Enter")
    panel.get_by_text("Blocked: The device is late").wait_for()
    expect(panel.get_by_role("heading", name="Measure")).to_be_focused()

    edited = panel.locator(".comments textarea")
    panel.get_by_role("button", name="Edit").dblclick()
    edited.fill("Second")
    bob.patch(f"/tasks/{task}", json={"status": "completed"})
    again = panel.get_by_role("button", name="Open again")
    again.wait_for()
    page.keyboard.type(" thoughts")
    # The other comments stay as they are.
    before = panel.locator(".comments li").first.element_handle()
    bob.post(f"/tasks/{task}/comments", json={"text": "Third"})
    panel.get_by_text("Third").wait_for()
    assert before.evaluate("(entry) => entry.isConnected")
    expect(edited).to_have_value("Second thoughts")
    panel.get_by_role("button", name="Save").click()
    panel.get_by_text("Second thoughts").wait_for()
    panel.get_by_role("button", name="Edit").click()
    page.keyboard.press("Escape")
    expect(panel.get_by_role("button", name="Edit")).to_be_focused()
    panel.get_by_text("Second thoughts").wait_for()

    # The button that completes a task opens it again.
    again.press("Enter")
    complete = panel.get_by_role("button", name="Complete", exact=True)
    expect(complete).to_be_focused()
    assert ada.get(f"/tasks/{task}").json()["priority"] == 0
