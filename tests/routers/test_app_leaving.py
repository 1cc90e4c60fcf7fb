"""The page of tasks: what is typed in a task stays its own while another task, or the login, takes its place."""

import re

import pytest
from playwright.sync_api import Dialog, Page, expect

from tests.routers.test_app import desk, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_app_meanwhile import shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api, Person
from tests.support.chromium import BrowserPage
from tests.support.holding import hold
from web.events import stream_hub

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


@sqlite_only
def test_a_text_goes_to_its_own_task_though_another_one_is_opened(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("First")
    ada.task("Second")
    page = log_in(desk, "/app?task=1")
    panel, text = page.locator("#panel"), page.locator("#panel").get_by_label("Description")
    panel.get_by_role("heading", name="First").wait_for()
    row(page, "Second").get_by_role("link").click()
    panel.get_by_role("heading", name="Second").wait_for()
    text.fill("About the second")
    # The focus stays in the field.
    page.go_back()
    panel.get_by_role("heading", name="First").wait_for()
    until(page, lambda: ada.get("/tasks/2").json()["description"] == "About the second")
    assert ada.get("/tasks/1").json()["description"] is None
    expect(text).to_have_value("")


@sqlite_only
def test_a_session_that_ends_elsewhere_while_somebody_types_is_told(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk, "/app?task=1")
    text = page.locator("#panel").get_by_label("Description")
    text.fill("Twice, and in the morning")
    other = page.context.new_page()
    other.goto(f"{desk.base_url}/app")
    other.get_by_role("button", name="Log out").click()
    page.get_by_text("You were logged out in another tab.").wait_for()
    assert page.locator("#status").inner_text() == ""
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(text).to_have_value("Twice, and in the morning")


@sqlite_only
def test_a_page_that_nobody_touches_shows_no_tasks_after_the_session(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    row(page, "Measure").wait_for()
    page.locator("#live", has_text="Live").wait_for(state="attached")
    page.get_by_label("Add a task").fill("Measure again")
    # Somebody who has left a browser open logs out everywhere.
    ada.post("/auth/logout-all")
    stream_hub.end_all()
    page.get_by_text("Your session has ended").wait_for()
    expect(row(page, "Measure")).to_have_count(0)
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    row(page, "Measure").wait_for()
    expect(page.get_by_label("Add a task")).to_have_value("Measure again")


@sqlite_only
def test_a_comment_that_was_begun_stays_though_the_next_task_does_not_come(
    api: Api, desk: BrowserPage
) -> None:
    ada = api.person()
    ada.task("First")
    ada.task("Second")
    page = log_in(desk, "/app?task=1")
    panel = page.locator("#panel")
    comment = panel.get_by_label("Comment", exact=True)
    comment.fill("About the first")
    page.route(re.compile("/tasks/2$"), lambda route: route.abort())
    row(page, "Second").get_by_role("link").click()
    panel.get_by_text("The server can't be reached.").wait_for()
    row(page, "First").get_by_role("link").click()
    expect(comment).to_have_value("About the first")


@sqlite_only
def test_two_texts_of_one_person_do_not_compete(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("First")
    ada.task("Second")
    page = log_in(desk, "/app?task=1")
    panel, text = page.locator("#panel"), page.locator("#panel").get_by_label("Description")
    changes = hold(page, "/tasks/1$", "PATCH")
    text.fill("Twice")
    text.blur()
    changes.wait()
    text.fill("Twice a day")
    row(page, "Second").get_by_role("link").click()
    panel.get_by_role("heading", name="Second").wait_for()
    changes.let_go()
    until(page, lambda: ada.get("/tasks/1").json()["description"] == "Twice a day")
    page.wait_for_timeout(300)
    expect(page.get_by_role("dialog")).to_have_count(0)


@sqlite_only
def test_a_text_stays_if_nobody_chooses_between_two_versions(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk, "/app?task=1")
    page.locator("#live", has_text="Live").wait_for(state="attached")
    text = page.locator("#panel").get_by_label("Description")
    text.fill("Twice a day")
    ada.patch("/tasks/1", json={"description": "Once a day"})
    page.locator("#status", has_text="Somebody else").wait_for()
    text.blur()
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.locator("#status", has_text="Not saved").wait_for()
    expect(text).to_have_value("Twice a day")
    assert ada.get("/tasks/1").json()["description"] == "Once a day"
    text.focus()
    text.blur()
    page.get_by_role("button", name="Keep mine").click()
    until(page, lambda: ada.get("/tasks/1").json()["description"] == "Twice a day")


@sqlite_only
def test_a_task_that_is_no_longer_ones_own_is_closed(api: Api, desk: BrowserPage) -> None:
    ada, root = api.person(), api.person("root", admin=True)
    project = root.post("/projects", json={"name": "Research"}).json()["id"]
    root.put(f"/projects/{project}/members/{ada.id}", json={"role": "member"})
    root.task("Measure", project_id=project)
    page = log_in(desk, f"/app?project={project}&task=1")
    panel = page.locator("#panel")
    panel.get_by_role("heading", name="Measure").wait_for()
    page.locator("#live", has_text="Live").wait_for(state="attached")
    root.patch("/tasks/1", json={"project_id": None})
    expect(panel).to_be_hidden()
    assert "Measure" in page.locator("#status").inner_text()


def delete_many(desk: BrowserPage, ada: Person) -> Page:
    """A page whose person has just deleted more tasks than requests that outlive a page have room for."""
    rows = [{"title": f"Step {number}"} for number in range(3_500)]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    page = log_in(desk)
    page.locator("#count", has_text="3,500").wait_for()
    page.locator(".row").first.focus()
    page.keyboard.press("*")
    page.keyboard.press("Delete")
    page.locator(".toast", has_text="Deleted 3,500 tasks").wait_for()
    return page


def questions(page: Page) -> list[str]:
    """The questions of the browser before it leaves the page, which are answered by Leave."""
    asked = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    return asked


def number_of_tasks(person: Person) -> int:
    return int(person.get("/analytics/user-completion-stats").json()["total_tasks"])


@sqlite_only
@pytest.mark.parametrize("is_late", [False, True], ids=["while they wait", "while they are sent"])
def test_all_of_many_deletions_are_done_though_the_page_is_left(
    api: Api, desk: BrowserPage, *, is_late: bool
) -> None:
    ada = api.person()
    page = delete_many(desk, ada)
    asked = questions(page)
    if is_late:
        hold(page, "/tasks/batch$", "POST").wait()
    page.goto("about:blank")
    # Nothing is lost, so there is nothing to ask.
    assert asked == []
    page.unroute_all()
    page.goto(f"{desk.base_url}/app")
    page.get_by_role("heading", name="Nothing to do").wait_for()
    until(page, lambda: number_of_tasks(ada) == 0)
    until(page, lambda: not page.evaluate("Object.keys(localStorage).some((key) => key.includes('later'))"))


@sqlite_only
def test_a_browser_that_stores_nothing_asks_before_it_loses_deletions(api: Api, desk: BrowserPage) -> None:
    desk.page.add_init_script("Storage.prototype.setItem = () => { throw new Error('No room'); };")
    page = delete_many(desk, api.person())
    asked = questions(page)
    page.goto("about:blank")
    assert asked == ["beforeunload"]


@sqlite_only
def test_deletions_that_an_account_left_are_not_done_after_another_one_came(
    api: Api, desk: BrowserPage
) -> None:
    ada, _ = api.person(), api.person("bob")
    page = delete_many(desk, ada)
    page.goto("about:blank")
    # Some requests have outlived the page.
    until(page, lambda: number_of_tasks(ada) < 3_500)
    page.wait_for_timeout(1000)
    left = number_of_tasks(ada)
    assert left > 0
    page.context.clear_cookies()
    for name in ("bob", "ada"):
        page.goto(f"{desk.base_url}/app")
        page.get_by_label("Username or email").fill(name)
        page.get_by_label("Password", exact=True).fill(PASSWORD)
        page.keyboard.press("Enter")
        page.locator("#live", has_text="Live").wait_for(state="attached")
        page.context.clear_cookies()
    page.wait_for_timeout(500)
    assert number_of_tasks(ada) == left


@sqlite_only
def test_deletions_that_were_left_wait_for_the_server_and_not_for_one_another(
    api: Api, desk: BrowserPage
) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(bob, ada, "member")
    ids = [ada.task(f"Step {number}")["id"] for number in range(4)]
    theirs = [bob.task(f"Step of bob {number}", project_id=project)["id"] for number in range(2)]
    page = log_in(desk)
    page.locator("#live", has_text="Live").wait_for(state="attached")
    # The first part is refused, because its tasks are somebody else's.
    parts = [[{"op": "delete", "id": each} for each in part] for part in (theirs, ids[:2], ids[2:])]
    page.evaluate(
        """([account, parts]) => localStorage.setItem("task-platform-later:", JSON.stringify(
          parts.map((operations, key) => ({ key: `part-${key}`, account, at: Date.now(), operations }))))""",
        [ada.id, parts],
    )
    page.route("**/tasks/batch", lambda route: route.fulfill(status=503, json={"detail": "Restarting"}))
    page.reload()
    page.locator("#status", has_text="Restarting").wait_for()
    assert len(page.evaluate("JSON.parse(localStorage.getItem('task-platform-later:'))")) == 3
    page.unroute_all()
    page.reload()
    until(page, lambda: number_of_tasks(ada) == 0)
    page.locator("#status", has_text="Refused for 2 tasks: ").wait_for()
    assert page.evaluate("localStorage.getItem('task-platform-later:')") is None
    assert number_of_tasks(bob) == 2


@sqlite_only
def test_one_of_many_deletions_that_is_refused_or_done_by_others_keeps_no_other_from_being_done(
    api: Api, desk: BrowserPage
) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(bob, ada, "member")
    one, gone, given = (ada.task(title, project_id=project)["id"] for title in ("First", "Gone", "Given"))
    desk.page.route(re.compile("/events/stream"), lambda route: route.abort())
    page = log_in(desk, f"/app?project={project}")
    row(page, "First").focus()
    page.keyboard.press("*")
    page.keyboard.press("Delete")
    page.locator(".toast", has_text="Deleted 3 tasks").wait_for()
    bob.delete(f"/tasks/{gone}")
    bob.put(f"/tasks/{given}/assign?assigned_user_id={bob.id}")
    # The person has the right to delete their own tasks only.
    page.locator("#status", has_text="manager").wait_for()
    expect(row(page, "Given")).to_be_visible()
    expect(page.locator(".row")).to_have_count(1)
    assert ada.get(f"/tasks/{one}").status_code == 404

    # A single task that is gone is as good as deleted.
    last = ada.task("Last", project_id=project)["id"]
    page.reload()
    row(page, "Last").focus()
    page.keyboard.press("Delete")
    ada.delete(f"/tasks/{last}")
    page.locator(".toast").wait_for(state="detached")
    page.wait_for_timeout(500)
    assert page.locator("#status").inner_text() == ""


@sqlite_only
def test_the_other_tasks_are_given_away_though_one_is_gone(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    shared(ada, bob)
    one, gone, other = (ada.task(title)["id"] for title in ("First", "Gone", "Other"))
    desk.page.route(re.compile("/events/stream"), lambda route: route.abort())
    page = log_in(desk)
    row(page, "First").focus()
    page.keyboard.press("*")
    page.keyboard.press("a")
    page.get_by_label("Username").fill("bob")
    page.keyboard.press("Enter")
    page.locator(".toast", has_text="3 tasks assigned to bob").wait_for()
    ada.delete(f"/tasks/{gone}")
    until(page, lambda: {each["id"] for each in bob.get("/tasks").json()} == {one, other})
    expect(page.locator(".row")).to_have_count(0)
    assert page.locator("#status").inner_text() == ""


def end_sessions_of_pages(person: Person) -> None:
    for session in [each for each in person.get("/auth/sessions").json() if not each["current"]]:
        person.delete(f"/auth/sessions/{session['id']}")


def log_in_again(page: Page, name: str) -> None:
    page.get_by_text("Your session has ended").wait_for()
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_label("Username or email").fill(name)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.locator("#side .me", has_text=name).wait_for()


@sqlite_only
def test_what_is_typed_in_a_dialog_outlives_the_session(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    api.person("grace")
    page = log_in(desk)
    dialog = page.get_by_role("dialog", name="New project")

    def begin() -> None:
        page.get_by_role("button", name="New project").first.click()
        dialog.get_by_label("Name", exact=True).fill("Research")
        dialog.get_by_label("What it is for").fill("To know more")

    begin()
    end_sessions_of_pages(ada)
    dialog.get_by_role("button", name="Make the project").click()
    log_in_again(page, "ada")
    expect(dialog.get_by_label("Name", exact=True)).to_have_value("Research")
    expect(dialog.get_by_label("Name", exact=True)).to_be_focused()
    expect(dialog.get_by_label("What it is for")).to_have_value("To know more")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="Research").wait_for()
    expect(dialog).to_have_count(0)
    assert [each["name"] for each in ada.get("/projects").json()] == ["Research"]

    # Escape gives it up, and so does another account.
    begin()
    page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    begin()
    end_sessions_of_pages(ada)
    dialog.get_by_role("button", name="Make the project").click()
    log_in_again(page, "grace")
    page.locator("#live", has_text="Live").wait_for(state="attached")
    expect(dialog).to_have_count(0)
