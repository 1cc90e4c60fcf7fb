"""The page of tasks beyond the list: undoing, the archive, the palette, comments, members, webhooks, polling."""

import re
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, Response, Route, expect

from config import settings
from configuration.addresses import networks
from tests.routers.test_app import assert_accessible, browser, desk, log_in, quick, row, side
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage
from tests.support.receiver import Receiver, receiver

__all__ = ["browser", "desk"]
pytestmark = pytest.mark.thorough


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    """A receiver of webhooks, whose address the operator allows."""
    monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.0/8"))
    with receiver() as found:
        yield found


def undo(page: Page) -> None:
    page.locator(".toast").get_by_role("button", name="Undo").last.click()


def until(page: Page, is_so: Callable[[], bool]) -> None:
    """Wait until the server has a change: the page shows a change before it is sent."""
    for _ in range(450):
        if is_so():
            return
        page.wait_for_timeout(100)
    assert is_so()


def choose(page: Page, title: str, key: str, answer: str) -> None:
    """Open a picker for a task by its key, and choose an answer."""
    row(page, title).focus()
    page.keyboard.press(key)
    page.get_by_role("menuitem", name=answer).click()


@sqlite_only
def test_moving_is_taken_back(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    private = ada.task("Private", project="Garden")["id"]
    shared = ada.task("Shared", project_id=project, state="in_progress")["id"]
    page = log_in(browser)
    row(page, "Private").wait_for()

    # Into a project and out of it again, with the label that the task had.
    choose(page, "Private", "m", "Research")
    page.locator(".toast", has_text="moved to Research").wait_for()
    expect(row(page, "Private")).to_contain_text("Research")
    undo(page)
    expect(row(page, "Private")).to_contain_text("Garden")
    until(page, lambda: ada.get(f"/tasks/{private}").json()["project"] == "Garden")
    assert ada.get(f"/tasks/{private}").json()["project_id"] is None
    # Undoing a move out of a project brings back the state that the task had.
    choose(page, "Shared", "m", "No shared project")
    page.locator(".toast", has_text="no shared project").wait_for()
    until(page, lambda: ada.get(f"/tasks/{shared}").json()["project_id"] is None)
    undo(page)
    until(page, lambda: ada.get(f"/tasks/{shared}").json()["project_id"] == project)
    assert ada.get(f"/tasks/{shared}").json()["state"] == "in_progress"

    # The panel moves a task out of a project too.
    row(page, "Shared").get_by_role("link").click()
    page.locator("#panel").get_by_label("Project", exact=True).select_option("Nobody else's")
    page.locator(".toast", has_text="no shared project").wait_for()
    undo(page)
    until(page, lambda: ada.get(f"/tasks/{shared}").json()["project_id"] == project)


@sqlite_only
def test_assigning_is_taken_back(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    private = ada.task("Private")["id"]
    shared = ada.task("Shared", project_id=project)["id"]
    page = log_in(browser)
    row(page, "Private").wait_for()
    # A task goes to somebody else, and comes back.
    choose(page, "Shared", "a", "grace")
    page.locator(".toast", has_text="assigned to grace").wait_for()
    assert ada.get(f"/tasks/{shared}").json()["user_id"] == grace.id
    undo(page)
    until(page, lambda: ada.get(f"/tasks/{shared}").json()["user_id"] == ada.id)
    row(page, "Shared").wait_for()
    # A giver could not take back a private task, so it is given away when the time for undoing is over.
    row(page, "Private").focus()
    page.keyboard.press("a")
    page.get_by_role("dialog").get_by_label("Username").fill("grace")
    page.keyboard.press("Enter")
    expect(row(page, "Private")).to_have_count(0)
    undo(page)
    row(page, "Private").wait_for()
    assert ada.get(f"/tasks/{private}").json()["user_id"] == ada.id
    row(page, "Private").focus()
    page.keyboard.press("a")
    page.get_by_role("dialog").get_by_label("Username").fill("grace")
    page.keyboard.press("Enter")
    expect(row(page, "Private")).to_have_count(0)
    page.goto(f"{browser.base_url}/app?status=all")
    row(page, "Shared").wait_for()
    expect(row(page, "Private")).to_have_count(0)
    until(page, lambda: [task["title"] for task in grace.get("/tasks").json()] == ["Private"])


@sqlite_only
def test_an_archived_project_is_read_and_taken_out_again(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    task = ada.task("Write it", project_id=project)["id"]
    page = log_in(browser, f"/app?page=project&project={project}")
    page.get_by_role("button", name="Archive", exact=True).click()
    notice = page.locator(".notice.archived")
    expect(notice).to_contain_text("Archived since")
    # The archived project is still in the menu, folded away, and nothing in it can be changed.
    page.goto(browser.base_url + "/app")
    side(page).get_by_text("Archived (1)").click()
    side(page).get_by_role("link", name="Research").click()
    notice.wait_for()
    expect(page.get_by_label("Add a task")).to_have_count(0)
    assert_accessible(page)
    row(page, "Write it").get_by_role("link").click()
    panel = page.locator("#panel")
    expect(panel.get_by_label("Priority", exact=True)).to_be_disabled()
    expect(panel.get_by_label("Comment")).to_have_count(0)
    panel.get_by_role("button", name="Close (Escape)").click()
    row(page, "Write it").focus()
    page.keyboard.press("3")
    page.locator("#status", has_text="archived").wait_for()
    assert ada.get(f"/tasks/{task}").json()["priority"] == 0
    notice.get_by_role("button", name="Take out of the archive").click()
    page.get_by_label("Add a task").wait_for()
    expect(notice).to_have_count(0)
    quick(page, "Go on")
    assert ada.get(f"/projects/{project}").json()["archived_at"] is None
    expect(side(page)).not_to_contain_text("Archived")


@sqlite_only
def test_the_tasks_of_archived_projects_are_found_if_they_are_asked_for(
    api: Api, browser: BrowserPage
) -> None:
    ada = api.person()
    old, new = (
        ada.post("/projects", json={"name": name}).json()["id"] for name in ("Old house", "New house")
    )
    ada.task("Paint the old door", project_id=old)
    ada.task("Paint the new door", project_id=new)
    ada.task("Buy paint")
    page = log_in(browser)
    expect(page.locator(".row")).to_have_count(3)
    # The list follows changes that are made elsewhere.
    ada.patch(f"/projects/{old}", json={"archived": True})
    expect(page.locator(".row")).to_have_count(2)
    expect(row(page, "old door")).to_have_count(0)
    ada.patch(f"/projects/{new}", json={"archived": True})
    expect(row(page, "Buy paint")).to_be_visible()
    expect(page.locator(".row")).to_have_count(1)
    for asked in ("q=door", "filter=project_id is not null", "layout=list&q=door&status=all"):
        page.goto(f"{browser.base_url}/app?{asked}")
        expect(page.locator(".row")).to_have_count(2)
    ada.patch(f"/projects/{new}", json={"archived": False})
    page.goto(f"{browser.base_url}/app?status=all")
    expect(page.locator(".row")).to_have_count(2)
    expect(row(page, "new door")).to_be_visible()


@sqlite_only
def test_the_palette_finds_actions_places_and_tasks(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    ada.post("/projects", json={"name": "Research"})
    ada.task("Write the report", due_at="2026-01-01T00:00:00Z")
    ada.task("Read the report")
    page = log_in(browser)
    row(page, "Write the report").focus()
    palette = page.get_by_role("dialog", name="Commands")

    def command(text: str) -> None:
        page.keyboard.press("Control+k")
        palette.wait_for()
        page.keyboard.type(text)

    command("compl")
    assert_accessible(page)
    page.keyboard.press("Enter")
    expect(row(page, "Write the report")).to_have_count(0)
    command("undo")
    page.keyboard.press("Enter")
    row(page, "Write the report").wait_for()
    command("keys")
    page.keyboard.press("Escape")
    # Keys do nothing behind a dialog. It is hidden a moment before it is gone, so its role is not asked for.
    expect(page.locator("dialog")).to_have_count(0)
    # Filters that were opened here are folded away elsewhere.
    page.keyboard.press("f")
    expect(page.locator("#filters")).to_be_visible()
    command("go to res")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Research").wait_for()
    expect(page.locator("#filters")).to_be_hidden()
    command("due in")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Due in a week").wait_for()
    expect(page.locator(".row")).to_have_count(1)
    command("write the")
    expect(palette.get_by_role("option", selected=True)).to_contain_text("Write the report")
    page.keyboard.press("ArrowDown")
    expect(palette.get_by_role("option", selected=True)).to_contain_text("Search my tasks")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    page.wait_for_url("**task=1**")
    page.locator("#panel .task-title").wait_for()
    # The palette opens from the menu, and even while somebody types.
    page.goto(browser.base_url + "/app?page=settings")
    page.get_by_label("Username").focus()
    command("my tasks")
    palette.get_by_role("option", name="My tasks", exact=False).first.click()
    row(page, "Read the report").wait_for()
    side(page).get_by_role("button", name="Commands").click()
    palette.wait_for()


@sqlite_only
def test_comments_are_written_changed_and_deleted(api: Api, browser: BrowserPage) -> None:
    ada, grace, signed = api.person(), api.person("grace"), api.person("al_")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    for person in (grace, signed):
        ada.put(f"/projects/{project}/members/{person.id}", json={"role": "member"})
    task = ada.task("Write it", project_id=project)["id"]
    page = log_in(browser, f"/app?project={project}&task={task}")
    panel = page.locator("#panel")
    # A member is offered by the first letters of the name.
    panel.get_by_label("Comment").focus()
    page.keyboard.type("Who reads it? @gr")
    panel.get_by_role("option", name="@grace").wait_for()
    assert_accessible(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(panel.get_by_label("Comment")).to_have_value("Who reads it? @grace ")
    page.keyboard.press("Control+Enter")
    comments = panel.locator(".comments > li")
    expect(comments).to_have_count(1)
    expect(comments.locator(".mention")).to_have_text("@grace")
    comments.get_by_role("button", name="Edit").click()
    comments.get_by_label("Comment").fill("I read it myself")
    comments.get_by_role("button", name="Save").click()
    expect(comments).to_contain_text("edited")
    # A comment by somebody else appears without reloading.
    page.locator("#live", has_text="Live").wait_for(state="attached")
    text = "So do I (https://example.com/a?b=c@d, javascript:alert(1)), and @nobody else, @Ada, @al_-."
    grace.post(f"/tasks/{task}/comments", json={"text": text})
    expect(comments).to_have_count(2)
    expect(comments.last.locator(".said")).to_have_text(text)
    expect(comments.last.locator(".mention")).to_have_text(["@Ada", "@al_-"])
    assert comments.last.locator(".said a").evaluate_all("all => all.map((each) => each.href)") == [
        "https://example.com/a?b=c@d"
    ]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)
    comments.first.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(comments).to_have_count(1)
    assert [each["text"] for each in ada.get(f"/tasks/{task}/comments").json()] == [text]


def is_put(answer: Response) -> bool:
    """Whether this is the answer to a PUT, which both adding a member and changing a role send."""
    return answer.request.method == "PUT"


@sqlite_only
def test_members_come_change_their_roles_and_go(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    page = log_in(browser, f"/app?project={project}")
    page.get_by_role("link", name="Members and settings").click()
    add = page.get_by_label("Add somebody by username")
    add.fill("nobody")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("User not found").wait_for()
    add.fill("grace")
    with page.expect_response(is_put):
        page.get_by_role("button", name="Add", exact=True).click()
    for role in ("Viewer", "Manager"):
        with page.expect_response(is_put) as answer:
            page.get_by_label("Role of grace").select_option(role)
        assert answer.value.ok
    expect(page.get_by_label("Role of grace")).to_have_value("manager")
    assert grace.get(f"/projects/{project}").json()["role"] == "manager"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)
    page.locator("tr", has_text="grace").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    expect(page.get_by_role("region", name="Members")).not_to_contain_text("grace")
    # The last manager can't leave.
    page.get_by_role("button", name="Leave").click()
    page.get_by_role("dialog").get_by_role("button", name="Leave").click()
    page.locator("#status", has_text="last manager").wait_for()


@sqlite_only
def test_members_that_others_add_disturb_nobody(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    api.person("mary")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    found = {
        name: ada.get("/users/lookup", params={"username": name}).json()["id"] for name in ("grace", "mary")
    }
    ada.put(f"/projects/{project}/members/{found['grace']}", json={"role": "manager"})
    page = log_in(browser, f"/app?project={project}&page=project")
    page.get_by_label("Add somebody by username").fill("alan")
    page.get_by_label("Name").last.fill("Research and more")
    grace.put(f"/projects/{project}/members/{found['mary']}", json={"role": "viewer"})
    expect(page.get_by_label("Role of mary")).to_have_value("viewer")
    expect(page.get_by_label("Add somebody by username")).to_have_value("alan")
    expect(page.get_by_label("Name").last).to_have_value("Research and more")


@sqlite_only
def test_a_line_outlives_the_session(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    page = log_in(browser)
    line = page.get_by_label("Add a task")
    line.fill("Call the printer")
    for session in ada.get("/auth/sessions").json():
        ada.delete(f"/auth/sessions/{session['id']}")
    page.keyboard.press("Enter")
    page.get_by_text("Your session has ended").wait_for()
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in", exact=True).click()
    expect(line).to_have_value("Call the printer")
    line.press("Enter")
    row(page, "Call the printer").wait_for()
    expect(line).to_have_value("")


@sqlite_only
def test_a_webhook_shows_its_last_deliveries(api: Api, browser: BrowserPage, hook: Receiver) -> None:
    ada = api.person()
    page = log_in(browser, "/app?page=settings")
    hooks = page.locator("section", has_text="Standard Webhooks")
    hooks.get_by_text("New webhook").click()
    hooks.get_by_label("Address").fill(hook.url)
    hooks.get_by_label("What for").fill("Tells the chat")
    hooks.get_by_role("button", name="Add a webhook").click()
    page.get_by_label("The signing secret").wait_for()
    hooks.get_by_role("button", name="Ping").click()
    hook.wait_for(1)
    deliveries = hooks.get_by_role("region", name=re.compile("^Deliveries to"))

    def shown(text: str) -> None:
        """Ask for the last deliveries until one shows this text."""
        for _ in range(90):
            hooks.get_by_role("button", name="Last deliveries").click()
            page.wait_for_timeout(500)
            if deliveries.get_by_text(text, exact=True).count():
                return
        expect(deliveries).to_contain_text(text)

    shown("delivered")
    expect(deliveries).to_contain_text("webhook.ping")
    ada.task("Tell the chat")
    hook.wait_for(2)
    shown("task.created")
    expect(deliveries.locator("tbody tr")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert_accessible(page)
    hooks.get_by_role("button", name="New secret").click()
    page.get_by_role("dialog").get_by_role("button", name="Make a new secret").click()
    expect(page.get_by_label("The new signing secret")).to_have_value(re.compile("^whsec_"))
    hooks.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    hooks.get_by_text("None yet.").wait_for()


@sqlite_only
@pytest.mark.parametrize("why", ["refused", "held back"])
def test_without_a_stream_the_page_asks_every_15_seconds(api: Api, desk: BrowserPage, why: str) -> None:
    ada = api.person()
    ada.task("Write the report")
    page = desk.page

    def answer(route: Route) -> None:
        if why == "refused":
            route.fulfill(status=404, json={"detail": "Not here"})
        # Without an answer, it is like a proxy that holds the stream back.

    page.context.route("**/events/stream*", answer)
    desk.open("/app")
    # The test controls the clock from here on, before the page follows the stream.
    page.clock.install()
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    row(page, "Write the report").wait_for()
    if why == "held back":
        page.clock.fast_forward(11_000)
    page.locator("#live", has_text="Every 15 s").wait_for()
    ada.task("Read the report")
    ada.patch("/tasks/1", json={"title": "Write it again"})
    page.clock.fast_forward(16_000)
    row(page, "Read the report").wait_for()
    row(page, "Write it again").wait_for()
    ada.delete("/tasks/2")
    page.clock.fast_forward(16_000)
    expect(row(page, "Read the report")).to_have_count(0)
    # A long list that is loaded again stays where it was scrolled to.
    ada.post("/tasks/import", json=[{"title": f"Task {number}"} for number in range(700)])
    page.clock.fast_forward(16_000)
    expect(page.locator("#count")).to_have_text("701")
    page.locator("div.list").evaluate("(place) => { place.scrollTop = 20_000 }")
    ada.task("The newest")
    page.clock.fast_forward(16_000)
    expect(page.locator("#count")).to_have_text("702")
    assert page.locator("div.list").evaluate("(place) => place.scrollTop") >= 20_000


@sqlite_only
def test_nothing_falls_between_the_list_and_the_stream(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    first = ada.task("Write the report")["id"]
    page = desk.page
    passed: list[str] = []

    def slowly(route: Route) -> None:
        """Let the request for the list through, and change a task before the stream begins."""
        if not passed:
            passed.append(route.request.url)
            page.locator(".row").first.wait_for()
            ada.patch(f"/tasks/{first}", json={"title": "Changed meanwhile"})
        route.continue_()

    page.context.route("**/events/stream*", slowly)
    log_in(desk)
    row(page, "Changed meanwhile").wait_for()
    assert passed


@sqlite_only
def test_tables_fit_at_both_widths(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    scopes = ["tasks:read", "tasks:write", "analytics:read"]
    ada.post("/auth/tokens", json={"name": "The import of every night and morning", "scopes": scopes})
    ada.post("/calendars", json={"tz": "America/Argentina/Buenos_Aires"})
    page = log_in(browser, "/app?page=settings")
    for path, names in (
        ("/app?page=settings", ("Sessions", "Program tokens", "Calendars")),
        (f"/app?page=project&project={project}", ("Members",)),
    ):
        page.goto(browser.base_url + path)
        for name in names:
            region = page.get_by_role("region", name=name)
            region.wait_for()
            assert region.evaluate("(place) => place.scrollWidth <= place.clientWidth"), name
            # Screen readers see a table, even if it looks different.
            last = region.get_by_role("row").last
            assert last.get_by_role("cell").count() == region.get_by_role("columnheader").count() + 1
            # The button stands beside its row's text.
            first, button = (
                last.get_by_role("cell").first.bounding_box(),
                last.get_by_role("button").bounding_box(),
            )
            assert first
            assert button
            assert button["x"] >= first["x"] + first["width"]
            assert button["y"] < first["y"] + first["height"]
        assert_accessible(page)

    # A row shows each fact of a task as a whole, or leaves it out.
    task = ada.task(
        "Measure", project_id=project, due_at="2026-01-01T09:00:00Z", tags=["laboratory", "urgent"]
    )
    ada.put(f"/tasks/{task['id']}/blocked", json={"reason": "The device is late"})
    page.goto(f"{browser.base_url}/app?project={project}")
    facts = row(page, "Measure").locator(".facts")
    facts.wait_for()
    seen = facts.evaluate("""(facts) => {
        const { right, bottom } = facts.getBoundingClientRect();
        const places = [...facts.children].map((each) => [each.textContent, each.getBoundingClientRect()]);
        const there = places.filter(([, place]) => place.top < bottom && place.left < right);
        return there.map(([text, place]) => [text, place.right <= right + 1 && place.bottom <= bottom + 1]);
    }""")
    assert seen[0] == ["Blocked", True]
    assert all(is_whole for _, is_whole in seen), seen
