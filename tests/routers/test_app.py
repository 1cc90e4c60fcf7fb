"""The page of tasks in a browser: what a person does in the first hour, on a desk and on a phone.

A test that takes `browser` runs at both widths. `test_app_table.py` names the test of each thing on offer.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]  # it has no types
from fastapi.testclient import TestClient
from playwright.sync_api import Locator, Page, ViewportSize, expect

from main import app
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page
from tests.support.serving import served

pytestmark = pytest.mark.thorough

MANY = 10_000
DESK = ViewportSize(width=1280, height=900)
PHONE = ViewportSize(width=390, height=844)


@pytest.fixture
def desk(client: TestClient) -> Iterator[BrowserPage]:
    with served(app) as base_url:
        try:
            with browser_page(base_url) as browser:
                yield browser
        except ChromiumUnavailable as error:
            pytest.skip(error.reason)


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def browser(desk: BrowserPage, request: pytest.FixtureRequest) -> BrowserPage:
    """A page at each of the two widths."""
    desk.page.set_viewport_size(request.param)
    return desk


def side(page: Page) -> Locator:
    """The menu, which a phone shows when it is asked for."""
    menu = page.locator("#side")
    menu.locator(".me").wait_for(state="attached")
    if not menu.is_visible():
        page.get_by_role("button", name="Menu", exact=True).click()
    return menu


def filters(page: Page) -> Locator:
    """The filters, which are folded away until somebody needs them."""
    place = page.locator("#filters")
    if not place.is_visible():
        page.get_by_role("button", name="Filter", exact=True).click()
    return place


def log_in(browser: BrowserPage, path: str = "/app", page: Page | None = None) -> Page:
    page = page or browser.page
    page.goto(browser.base_url + path)
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("#side .me").wait_for(state="attached")
    return page


def row(page: Page, title: str) -> Locator:
    return page.locator(".row", has_text=title)


def assert_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    assert [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found] == []


def quick(page: Page, line: str) -> None:
    page.get_by_label("Add a task").fill(line)
    page.keyboard.press("Enter")
    page.locator("#status", has_text="Added").wait_for()


def leave_field(page: Page) -> None:
    page.keyboard.press("Escape")


@sqlite_only
def test_from_nothing_to_a_completed_task(client: TestClient, browser: BrowserPage) -> None:
    page = browser.page
    browser.open("/")
    page.get_by_role("link", name=re.compile("^Tasks")).click()
    page.get_by_role("button", name="Forgotten password?").click()
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Make an account").click()
    assert_accessible(page)
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Email").fill("ada@example.com")
    page.get_by_label(re.compile("^Password")).fill("short")
    page.keyboard.press("Enter")
    page.get_by_label(re.compile("^Password")).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Nothing to do").wait_for()
    assert_accessible(page)

    # The keyboard makes a task from one line, and the page shows how it reads the line.
    leave_field(page)
    page.keyboard.press("c")
    page.keyboard.type("Write the report #writing !3 @Research due:tomorrow")
    expect(page.locator("#quick-read")).to_have_text(re.compile("writing.*High.*Research.*due Tomorrow"))
    page.keyboard.press("Enter")
    expect(row(page, "Write the report")).to_contain_text("Tomorrow")
    page.get_by_label("Add a task").fill("Second task")
    page.keyboard.press("Enter")
    row(page, "Second task").wait_for()
    # The badge counts what others do.
    expect(page.locator("#side .badge")).to_have_count(0)

    # A completion can be undone.
    leave_field(page)
    page.keyboard.press("ArrowDown")
    expect(row(page, "Write the report")).to_be_focused()
    page.keyboard.press("d")
    page.locator(".toast", has_text="Completed").wait_for()
    expect(row(page, "Write the report")).to_have_count(0)
    page.keyboard.press("z")
    row(page, "Write the report").wait_for()
    page.keyboard.press("k")
    expect(row(page, "Second task")).to_be_focused()
    page.keyboard.press("3")
    expect(row(page, "Second task")).to_contain_text("High")
    page.keyboard.press("Delete")
    expect(row(page, "Second task")).to_have_count(0)
    page.keyboard.press("z")
    row(page, "Second task").wait_for()
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    assert_accessible(page)
    page.keyboard.press("Escape")
    assert browser.foreign_requests == []
    assert [each for each in browser.console_errors if "404" not in each and "422" not in each] == []


@sqlite_only
def test_a_line_is_understood_and_completed(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    ada.post("/projects", json={"name": "Old house"})
    ada.task("Write the report", tags=["writing"])
    page = log_in(browser)
    row(page, "Write the report").wait_for()
    for words, read in (
        ("due:Friday", "due "),
        ("due tomorrow 14:00", "due Tomorrow, "),
        ("due:someday", '"someday" is no time'),
        # Without a colon "due" may be a word of the title.
        ("due someday", ""),
        ("@Hose", "labelled Hoseno open project is named Hose$"),
    ):
        page.get_by_label("Add a task").fill(f"Other {words}")
        expect(page.locator("#quick-read")).to_have_text(re.compile(f"^{read}" if read else "^$"))
    # Tags that tasks have already are offered.
    page.get_by_label("Add a task").fill("")
    page.keyboard.type("Second task #wri")
    page.keyboard.press("ArrowDown")
    assert_accessible(page)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Add a task")).to_have_value("Second task #writing ")
    page.keyboard.press("Enter")
    expect(row(page, "Second task")).to_contain_text("writing")
    page.get_by_label("Add a task").fill("")
    page.keyboard.type("Third task @hou")
    expect(page.locator(".offering .offers")).to_be_hidden()
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.press("Backspace")
    page.keyboard.type("old")
    page.locator(".offering .offers").get_by_text('@"Old house"').click()
    expect(page.locator("#quick-read")).to_have_text("in Old house")
    quick(page, "Fourth task @Hose")
    expect(page.locator("#status")).to_contain_text("only labelled: no open project is named Hose")
    # The label is known now.
    page.get_by_label("Add a task").fill("Fifth task @Hose")
    expect(page.locator("#quick-read")).to_have_text("labelled Hose")


@sqlite_only
def test_a_task_is_changed_in_place_and_others_are_heeded(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    api.person("grace")
    task = ada.task("Write the report", tags=["a"])
    page = log_in(browser)
    row(page, "Write the report").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**task=1**")
    title = page.locator("#panel .task-title")
    title.wait_for()
    assert_accessible(page)

    # A field is sent when it is left.
    panel = page.locator("#panel")
    panel.get_by_label("Priority", exact=True).select_option("High")
    panel.get_by_label("Due", exact=True).fill("today+7d")
    panel.get_by_label("Tags").fill("a, b")
    panel.get_by_label("Description").fill("Two pages")
    title.fill("Write it well")
    title.press("Enter")
    expect(row(page, "Write it well")).to_be_visible()
    expect(page.locator("#panel [name=tags]")).to_have_value("a, b")
    now = ada.get(f"/tasks/{task['id']}").json()
    assert (now["title"], now["priority"], now["tags"], now["description"]) == (
        "Write it well", 3, ["a", "b"], "Two pages",
    )  # fmt: skip
    assert now["due_at"]

    # Somebody else changes another field: both changes stay.
    ada.patch("/tasks/1", json={"priority": 4})
    panel.get_by_label("Tags").fill("c")
    with page.expect_response(lambda answer: answer.request.method == "PATCH" and answer.ok):
        page.keyboard.press("Tab")
    expect(page.locator("#panel [name=priority]")).to_have_value("4")
    assert ada.get("/tasks/1").json()["tags"] == ["c"]
    # Somebody else changes the same field: both values are shown.
    title.fill("Mine")
    ada.patch("/tasks/1", json={"title": "Theirs"})
    title.press("Enter")
    both = page.get_by_role("dialog", name="Somebody else was first")
    expect(both).to_contain_text("Theirs")
    assert_accessible(page)
    both.get_by_role("button", name="Take theirs").click()
    expect(title).to_have_value("Theirs")
    title.fill("Mine")
    ada.patch("/tasks/1", json={"title": "Theirs again"})
    title.press("Enter")
    both.get_by_role("button", name="Keep mine").click()
    expect(row(page, "Mine")).to_be_visible()

    page.locator("#panel summary", has_text="History").click()
    expect(page.locator("#panel .history")).to_contain_text("title: Theirs again → Mine")
    # The task goes to another owner.
    panel.get_by_label("Owner").fill("nobody")
    page.keyboard.press("Tab")
    page.locator("#status", has_text="User not found").wait_for()
    panel.get_by_label("Owner").fill("grace")
    page.keyboard.press("Tab")
    expect(row(page, "Mine")).to_have_count(0)


@sqlite_only
def test_many_are_marked_and_changed_at_once(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    for number in range(6):
        ada.task(f"Task {number}")
    page = log_in(browser)
    row(page, "Task 5").wait_for()
    page.keyboard.press("x")
    page.keyboard.press("Shift+ArrowDown")
    page.keyboard.press("Shift+ArrowDown")
    bulk = page.get_by_role("toolbar", name="Marked tasks")
    expect(bulk).to_contain_text("3 tasks")
    assert_accessible(page)
    page.keyboard.press("l")
    page.keyboard.type("later")
    page.keyboard.press("Enter")
    expect(page.locator(".fact.tag")).to_have_count(3)
    page.keyboard.press("p")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(page.locator(".row button.priority:not(.unset)")).to_have_count(3)
    # The bar covers no row, and no message covers the bar.
    page.locator(".toast").first.wait_for()
    assert page.evaluate(
        """() => {
            const [list, messages, bar] = ['div.list', '#messages', '.bulk'].map((each) =>
                document.querySelector(each).getBoundingClientRect());
            return list.bottom <= bar.top && messages.bottom <= bar.top;
        }"""
    )
    bulk.get_by_role("button", name="Complete").click()
    expect(page.locator(".row")).to_have_count(3)
    page.get_by_role("button", name="Undo").last.click()
    expect(page.locator(".row")).to_have_count(6)
    bulk.get_by_role("button", name="Delete").click()
    expect(page.locator(".row")).to_have_count(3)
    # Leaving the page ends the time for undoing.
    page.goto(browser.base_url + "/app?status=all")
    expect(page.locator(".row")).to_have_count(3)
    assert len(ada.get("/tasks").json()) == 3

    # Filters stand in the address, and come back from it.
    filters(page).get_by_label("Search").fill("task 1")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=task+1**")
    expect(page.locator(".row")).to_have_count(1)
    page.get_by_label("Filter in words", exact=True).fill("priority >")
    page.keyboard.press("Enter")
    expect(page.locator("#filter-problem")).not_to_be_empty()
    page.get_by_label("Filter in words", exact=True).fill("title ~ task and not id = 1")
    page.keyboard.press("Enter")
    expect(page.locator(".row")).to_have_count(1)
    page.go_back()
    page.go_back()
    expect(page.locator(".row")).to_have_count(1)
    page.get_by_role("button", name="Clear", exact=True).click()
    expect(page.locator(".row")).to_have_count(3)


@sqlite_only
def test_settings_are_there_for_tokens_sessions_and_notifications(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    ada.task("Write the report")
    page = log_in(browser, "/app?page=settings")
    page.get_by_text("New token").click()
    page.locator("section", has_text="Program tokens").get_by_label("Name").fill("nightly")
    page.get_by_role("button", name="Make a token").click()
    token = page.get_by_label('The token "nightly"').input_value()
    assert token.startswith("tp_")
    page.get_by_role("button", name="Copy", exact=True).click()
    page.get_by_role("button", name="Copied").wait_for()
    expect(page.get_by_role("region", name="Program tokens")).to_contain_text("nightly")
    page.get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.locator("section", has_text="Program tokens")).to_contain_text("None yet.")
    sessions = page.get_by_role("region", name="Sessions")
    expect(sessions).to_contain_text("(this one)")
    sessions.get_by_role("button", name="End").first.click()
    expect(sessions.get_by_role("button", name="End")).to_have_count(0)
    assert ada.get("/auth/me").status_code == 401
    page.get_by_label("Username").fill("ada.l")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator("#side .me")).to_contain_text("ada.l")
    assert_accessible(page)

    side(page).get_by_role("link", name=re.compile("Notifications")).click()
    page.get_by_text("What you did yourself (1)").click()
    expect(page.locator(".told .unread")).to_have_count(1)
    expect(page.locator(".told .unread")).to_be_visible()
    page.get_by_role("button", name="Mark all as read").click()
    expect(page.locator(".told .unread")).to_have_count(0)
    expect(page.locator(".badge")).to_have_count(0)
    page.get_by_label("Completed").select_option("never")
    assert_accessible(page)
    side(page).get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()


@sqlite_only
def test_it_is_made_for_a_phone_and_for_the_dark(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    for number in range(30):
        ada.task(f"Task {number} with a title that is rather too long for a phone", tags=["web", "urgent"])
    page = desk.page
    page.set_viewport_size(PHONE)
    page.emulate_media(color_scheme="dark")
    log_in(desk)
    row(page, "Task 29").wait_for()

    def fits() -> Any:
        return page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]

    assert fits()
    assert_accessible(page)
    row(page, "Task 29").get_by_role("button", name=re.compile("^Complete")).click()
    expect(row(page, "Task 29")).to_have_count(0)
    page.get_by_role("link", name="Board").click()
    page.locator(".task", has_text="Task 28").wait_for()
    assert fits()
    assert_accessible(page)
    # A key moves a card to the next state.
    page.locator(".task", has_text="Task 28").focus()
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator("[data-key=in_progress] .task")).to_contain_text("Task 28")
    page.locator(".task", has_text="Task 27").get_by_role("link").click()
    page.locator("#panel .task-title").wait_for()
    assert fits()
    assert_accessible(page)
    page.get_by_role("button", name="Close (Escape)").click()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Import").click()
    page.get_by_role("heading", name="Import").wait_for()
    assert fits()
    page.get_by_role("button", name="Menu").click()
    page.get_by_role("link", name="Settings").click()
    page.get_by_role("heading", name="Sessions").wait_for()
    assert fits()


@sqlite_only
def test_ten_thousand_tasks_scroll(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    rows = [{"title": f"Task {number}", "tags": ["a"] if number % 3 else []} for number in range(MANY)]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    page = log_in(desk)
    expect(page.locator("#count")).to_have_text("10,000")
    assert page.locator(".row").count() < 80
    page.locator(".row").first.press("End")
    row(page, "Task 0").wait_for()
    assert page.locator(".row").count() < 80
    # After scrolling any distance, the next frame has the rows that are in sight, and few others.
    steps = page.evaluate(
        """async () => {
            const list = document.querySelector('div.list');
            const { left, top, height } = list.getBoundingClientRect();
            const steps = [];
            for (let step = 0; step < 60; step++) {
                list.scrollTop = step * 5000;
                await new Promise(requestAnimationFrame);
                await new Promise(requestAnimationFrame);
                const seen = [5, height / 2, height - 5].map((down) =>
                    Boolean(document.elementFromPoint(left + 200, top + down)?.closest('.row, .head')));
                steps.push([document.querySelectorAll('.row').length, seen.every(Boolean)]);
            }
            return steps;
        }"""
    )
    assert max(rows for rows, _ in steps) < 80
    assert all(is_full for _, is_full in steps)

    # All of them are deleted, before the account is left. The browser keeps them if the page is left, and asks nothing.
    page.locator(".row").first.press("*")
    page.keyboard.press("Delete")
    page.locator(".toast", has_text="Deleted 10,000 tasks").wait_for()
    assert page.evaluate("dispatchEvent(new Event('beforeunload', { cancelable: true }))") is True
    page.locator("#log-out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    assert ada.get("/tasks").json() == []


@sqlite_only
def test_a_project_has_members_and_states_with_limits(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    api.person("grace")
    page = log_in(browser)
    side(page).get_by_role("button", name="New project").first.click()
    dialog = page.get_by_role("dialog", name="New project")
    dialog.get_by_label("Name", exact=True).fill("Research")
    assert_accessible(page)
    dialog.get_by_role("button", name="Make the project").click()
    page.get_by_role("heading", name="Research").wait_for()
    project = ada.get("/projects").json()[0]["id"]
    page.get_by_role("link", name="Members and settings").click()

    # The project gets a member, and a state with a limit that refuses.
    page.get_by_label("Add somebody by username").fill("grace")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(page.get_by_role("region", name="Members")).to_contain_text("grace")
    page.get_by_role("button", name="Add a state").click()
    new = page.locator(".states li").last
    new.get_by_label("Name").fill("In review")
    new.get_by_label(re.compile("^Limit")).fill("1")
    new.get_by_label(re.compile("^Beyond")).select_option("block")
    new.get_by_label(re.compile("earlier$")).click()
    assert_accessible(page)
    page.locator("section", has_text="The columns of the board").get_by_role("button", name="Save").click()
    page.locator("#status", has_text="Saved.").wait_for()
    states = [state["key"] for state in ada.get(f"/projects/{project}").json()["states"]]
    assert states == ["pending", "in_progress", "in_review", "completed"]


REVIEW: list[dict[str, Any]] = [
    {"key": "pending", "name": "To do", "status": "pending"},
    {"key": "in_progress", "name": "In progress", "status": "in_progress"},
    {"key": "in_review", "name": "In review", "status": "in_progress", "wip_limit": 1, "wip_policy": "block"},
    {"key": "completed", "name": "Done", "status": "completed"},
]


@sqlite_only
def test_two_people_see_each_other_work(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research", "states": REVIEW}).json()["id"]
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    page = log_in(browser, f"/app?project={project}&layout=board")
    page.get_by_label("Add a task").wait_for()
    # Two browsers side by side.
    assert page.context.browser
    with page.context.browser.new_context() as others:
        other = others.new_page()
        other.goto(f"{browser.base_url}/app?project={project}")
        other.get_by_label("Username or email").fill("grace")
        other.get_by_label("Password", exact=True).fill(PASSWORD)
        other.keyboard.press("Enter")
        other.get_by_role("heading", name="This project has no open task").wait_for()
        other.locator("#live", has_text="Live").wait_for()
        quick(page, "Read the paper")
        quick(page, "Write the paper")
        row(other, "Write the paper").wait_for()
        page.locator(".task", has_text="Read the paper").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        expect(page.locator("[data-key=in_review] .count")).to_have_text("1 / 1")
        expect(other.locator(".head")).to_have_text(["In review1", "To do1"])
        # A full state refuses, and the card goes back.
        page.locator(".task", has_text="Write the paper").focus()
        page.keyboard.press("Shift+ArrowRight")
        page.keyboard.press("Shift+ArrowRight")
        page.locator("#status", has_text="limit").wait_for()
        expect(page.locator("[data-key=in_progress] .task")).to_contain_text("Write the paper")

        # Both people comment on a task, block it, and hand it over.
        row(other, "Write the paper").get_by_role("link").click()
        panel = other.locator("#panel")
        panel.get_by_label("Comment").fill("How far is it, @ada?")
        panel.get_by_role("button", name="Comment").click()
        expect(panel.locator(".comments .mention")).to_have_text("@ada")
        panel.get_by_text("Mark as blocked").click()
        panel.get_by_label("Why it is blocked").fill("No printer")
        panel.get_by_role("button", name="Block").click()
        expect(page.locator(".task", has_text="Write the paper")).to_contain_text("Blocked")
        panel.get_by_label("Owner").select_option("grace")
        expect(page.locator(".task", has_text="Write the paper")).to_contain_text("grace")
        assert_accessible(other)
        side(page).get_by_role("link", name=re.compile("Notifications")).click()
        expect(page.locator(".told .unread").first).to_contain_text("mentioned")
        # The notification leads to the task in the list of its project.
        page.locator(".told .unread").first.get_by_role("link").click()
        page.locator("#panel .comments", has_text="How far is it").wait_for()
        page.wait_for_url(f"**project={project}&task=**")


@sqlite_only
def test_who_leaves_a_project_hands_over_their_tasks(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    grace.task(project_id=project)
    page = log_in(browser, f"/app?page=project&project={project}")
    page.locator("tr", has_text="grace").get_by_role("button", name="Remove").click()
    page.get_by_role("dialog").get_by_role("button", name="Remove").click()
    hand = page.get_by_role("dialog", name="Whose are their tasks from now on?")
    hand.get_by_role("button", name="Hand").click()
    expect(page.get_by_role("region", name="Members")).not_to_contain_text("grace")
    assert grace.get(f"/projects/{project}").status_code == 404
    assert [task["user_id"] for task in ada.get(f"/tasks?project_id={project}").json()] == [ada.id]

    # A viewer can read, and sees no controls for changes.
    theirs = grace.post("/projects", json={"name": "Theirs"}).json()["id"]
    grace.put(f"/projects/{theirs}/members/{ada.id}", json={"role": "viewer"})
    task = grace.task(project_id=theirs)["id"]
    page.goto(f"{browser.base_url}/app?project={theirs}&task={task}")
    page.locator("#panel .task-title").wait_for()
    assert page.locator("#panel").get_by_label("Priority", exact=True).is_disabled()
    expect(page.get_by_label("Add a task")).to_have_count(0)
    expect(page.get_by_role("button", name="Delete")).to_have_count(0)


@sqlite_only
def test_webhooks_calendars_and_views_are_made_and_taken_back(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    ada.task("Write the report", priority=3, due_at="2026-01-01T00:00:00Z")
    ada.task("Read the report")
    page = log_in(browser, "/app?priority=3")
    expect(page.locator(".row")).to_have_count(1)
    page.get_by_role("button", name="Save as a view").click()
    page.get_by_role("dialog").get_by_label("Name").fill("Urgent ones")
    page.get_by_role("dialog").get_by_role("button", name="Save").click()
    page.wait_for_url("**view=1**")
    page.get_by_role("heading", name="Urgent ones").wait_for()
    expect(page.locator(".row")).to_have_count(1)
    # For some changes only the server can tell whether the task still fits the filter.
    ada.patch("/tasks/2", json={"priority": 3})
    expect(page.locator(".row")).to_have_count(2)
    ada.patch("/tasks/1", json={"priority": 0})
    expect(page.locator(".row")).to_have_count(1)
    assert_accessible(page)

    side(page).get_by_role("link", name="Settings").click()
    hooks = page.locator("section", has_text="Standard Webhooks")
    hooks.get_by_text("New webhook").click()
    hooks.get_by_label("Address").fill("http://93.184.216.34:9/hook")
    hooks.get_by_role("button", name="Add a webhook").click()
    assert page.get_by_label("The signing secret").input_value().startswith("whsec_")
    hooks.get_by_role("button", name="Last deliveries").click()
    hooks.get_by_text("Nothing was sent yet.").wait_for()
    hooks.get_by_role("button", name="Switch off").click()
    hooks.get_by_text("switched off").wait_for()
    assert_accessible(page)
    hooks.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    hooks.get_by_text("None yet.").wait_for()

    page.get_by_label("Which tasks").select_option("Urgent ones")
    page.get_by_role("button", name="Make an address").click()
    url = page.get_by_label("The address of the calendar").input_value()
    assert url.endswith(".ics")
    expect(page.get_by_role("region", name="Calendars")).to_contain_text("Urgent ones")
    side(page).get_by_role("link", name="Urgent ones").click()
    for name, given in (("Urgent ones", "High ones"), ("High ones", "The highest")):
        side(page).get_by_role("button", name=f"Rename the view {name}").click()
        page.get_by_role("dialog").get_by_label("Name").fill(given)
        page.get_by_role("dialog").get_by_role("button", name="Rename").click()
        page.get_by_role("heading", name=given).wait_for()
    assert [each["name"] for each in ada.get("/views").json()] == ["The highest"]
    side(page).get_by_role("button", name="Delete the view The highest").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#side")).not_to_contain_text("The highest")
    assert ada.get("/views").json() == []


@sqlite_only
def test_paper_has_the_tasks_and_nothing_else(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.post("/tasks/import", json=[{"title": f"Task {number}"} for number in range(120)])
    page = desk.page
    page.emulate_media(color_scheme="dark")
    log_in(desk)
    expect(page.locator("#count")).to_have_text("120")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    expect(page.locator(".row")).to_have_count(120)
    assert row(page, "Task 0").last.is_visible()
    for hidden in ("#side", ".add", "button"):
        assert not page.locator(hidden).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    # A long description is there to its end.
    lines = "\n".join(f"Line {number}" for number in range(40))
    task = ada.task("Described", description=lines)["id"]
    page.goto(f"{desk.base_url}/app?task={task}")
    description = page.get_by_label("Description")
    expect(description).to_have_value(lines)
    assert description.evaluate("(field) => field.scrollHeight <= field.clientHeight")
