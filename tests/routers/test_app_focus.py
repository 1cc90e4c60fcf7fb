"""The page of tasks: where typed keys go, and what stays on the page when a project is lost."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from tests.routers.test_app import browser, desk, log_in, row, side
from tests.routers.test_app_beyond import until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage

__all__ = ["browser", "desk"]
pytestmark = pytest.mark.thorough


@sqlite_only
def test_a_dialog_takes_a_name_with_a_space_at_once(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    # The list is empty, so its place has the focus.
    expect(page.locator("#content")).to_be_focused()
    side(page).get_by_role("button", name="New project").first.click()
    page.get_by_role("dialog").wait_for()
    page.keyboard.type("On the moon")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="On the moon").wait_for()
    assert [each["name"] for each in ada.get("/projects").json()] == ["On the moon"]

    # The way back closes a dialog, and leaves the page beneath.
    side(page).get_by_role("button", name="New project").first.click()
    page.get_by_role("dialog").wait_for()
    page.evaluate("history.back()")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.get_by_role("heading", name="On the moon").wait_for()
    page.evaluate("history.back()")
    page.get_by_role("heading", name="My tasks").wait_for()


@sqlite_only
def test_keys_act_on_the_open_task(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    finished = ada.task("Finished", status="completed")["id"]
    opened, first = ada.task("Opened")["id"], ada.task("First in the list")["id"]
    page = log_in(desk, f"/app?task={opened}")
    panel = page.locator("#panel")
    panel.get_by_role("heading", name="Opened").wait_for()
    page.keyboard.press("4")
    until(page, lambda: ada.get(f"/tasks/{opened}").json()["priority"] == 4)

    # The reason of a block has the focus at once, and no letter of it is taken for a key.
    panel.get_by_text("Mark as blocked").click()
    expect(panel.get_by_label("Why it is blocked")).to_be_focused()
    page.keyboard.type("The device is late")
    page.keyboard.press("Enter")
    panel.get_by_text("Blocked: The device is late").wait_for()

    # A task that the list does not show is the one that is meant while it is open.
    page.goto(f"{desk.base_url}/app?task={finished}")
    panel.get_by_role("heading", name="Finished").wait_for()
    page.keyboard.press("3")
    until(page, lambda: ada.get(f"/tasks/{finished}").json()["priority"] == 3)
    # The date can be typed at once.
    page.keyboard.press("t")
    expect(page.get_by_role("dialog").get_by_label("Another time")).to_be_focused()
    page.keyboard.type("2027-01-05")
    page.keyboard.press("Enter")
    until(page, lambda: str(ada.get(f"/tasks/{finished}").json()["due_at"]).startswith("2027-01-05"))
    page.keyboard.press("e")
    expect(panel.get_by_label("Title")).to_be_focused()
    expect(panel.get_by_label("Title")).to_have_value("Finished")
    page.keyboard.press("Escape")

    # A row with the focus is meant again, although a task is open.
    row(page, "First in the list").focus()
    page.keyboard.press("2")
    until(page, lambda: ada.get(f"/tasks/{first}").json()["priority"] == 2)
    assert [ada.get(f"/tasks/{each}").json()["priority"] for each in (finished, opened)] == [3, 4]


@sqlite_only
def test_a_list_that_arrives_in_parts_is_shown_from_its_beginning(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    # The first part has none of the group that comes first.
    later = [
        {"title": f"Task {number}", "due_at": f"2040-01-01T00:00:{number % 60:02}Z"} for number in range(150)
    ]
    begun = [{"title": "Begun", "due_at": "2041-01-01T00:00:00Z", "status": "in_progress"}]
    ada.post("/tasks/import", json=[*later, *begun])
    page = log_in(desk, "/app?sort=due_at&order=asc")
    expect(row(page, "Begun")).to_be_focused()
    assert page.locator("div.list").evaluate("(list) => list.scrollTop") == 0

    # So is the next list, wherever the person was in the one before.
    for title, day in (("Ahead", "02"), ("Late", "01")):
        ada.task(title, due_at=f"2020-01-{day}T00:00:00Z")
    page.goto(f"{desk.base_url}/app?order=asc&sort=title")
    expect(row(page, "Begun")).to_be_focused()
    page.get_by_role("link", name="Due in a week").click()
    expect(page.locator(".row")).to_have_count(2)
    expect(page.locator(".row.active")).to_contain_text("Late")


@sqlite_only
def test_a_project_that_was_lost_leaves_the_page(api: Api, desk: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = grace.post("/projects", json={"name": "Research"}).json()["id"]
    member = ada.get("/auth/me").json()["id"]
    grace.put(f"/projects/{project}/members/{member}", json={"role": "member"})
    task = grace.task("Secret", project_id=project)["id"]
    page = log_in(desk, f"/app?project={project}&task={task}")
    page.locator("#panel").get_by_role("heading", name="Secret").wait_for()
    # A role that is taken away or given is that of the open task at once.
    title = page.locator("#panel").get_by_label("Title")
    title.wait_for()
    for role in ("viewer", "member"):
        # The list is asked for again, which must not come after the end.
        with page.expect_response(lambda response: f"/tasks?project_id={project}&" in response.url):
            grace.put(f"/projects/{project}/members/{member}", json={"role": role})
        expect(title).to_be_enabled(enabled=role == "member")
    grace.delete(f"/projects/{project}/members/{member}")
    page.locator("#status", has_text="You no longer see Research").wait_for()
    page.get_by_role("heading", name="My tasks").wait_for()
    expect(page.locator("#panel")).to_be_hidden()
    expect(row(page, "Secret")).to_have_count(0)
    # Nothing is asked for that the project's end would refuse.
    assert desk.console_errors == []


@sqlite_only
def test_a_day_is_overdue_when_it_is_over(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    ada.task("Due on this day", due_at=today.isoformat())
    ada.task("Due on the day before", due_at=(today - timedelta(days=1)).isoformat())
    page = log_in(desk, "/app?page=notifications")
    until(
        page,
        lambda: len([each for each in ada.get("/notifications").json() if each["kind"] == "overdue"]) == 2,
    )
    page.reload()
    told = page.locator(".told").first
    expect(told.locator("li", has_text="Due on this day")).to_contain_text(
        re.compile("^Due today: Due on this day")
    )
    expect(told.locator("li", has_text="Due on the day before")).to_contain_text(re.compile("^Overdue: "))


@sqlite_only
def test_the_focus_stays_where_something_was_pressed(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    for title in ("One", "Two", "Three"):
        bob.task(title, project_id=project, user_id=ada.id)
    ada.post("/tasks/1/comments", json={"text": "Twice"})
    page = log_in(desk, f"/app?project={project}")

    # The row of a task that is closed, and the button of a comment that was changed.
    row(page, "One").get_by_role("link").click()
    panel = page.locator("#panel")
    panel.get_by_role("button", name="Edit").press("Enter")
    page.keyboard.type("Twice a day")
    page.keyboard.press("Control+Enter")
    expect(panel.get_by_role("button", name="Edit")).to_be_focused()
    panel.get_by_role("button", name="Close").press("Enter")
    expect(row(page, "One")).to_be_focused()

    # The row of a task whose change was undone.
    page.keyboard.press("3")
    page.locator(".toast").get_by_role("button", name="Undo").press("Enter")
    expect(row(page, "One")).to_be_focused()

    # The next notification that can be marked as read.
    page.goto(f"{desk.base_url}/app?page=notifications")
    buttons = page.get_by_role("button", name="Read", exact=True)
    expect(buttons).to_have_count(3)
    buttons.first.press("Enter")
    expect(buttons).to_have_count(2)
    assert page.evaluate("document.activeElement.closest('.told') !== null")

    # The page that was gone to, and the field that was wrong, though the button was pressed.
    page.goto(f"{desk.base_url}/app?page=settings")
    expect(page.locator("#content")).to_be_focused()
    page.get_by_label("Username", exact=True).fill("a b c")
    page.get_by_role("button", name="Rename").press("Enter")
    expect(page.get_by_label("Username", exact=True)).to_be_focused()

    # The address that is shown once, and the fold of a form that was sent.
    page.get_by_role("button", name="Make an address").press("Enter")
    expect(page.get_by_label("The address of the calendar")).to_be_focused()
    new = page.locator("summary", has_text="New token")
    new.press("Enter")
    page.get_by_label("Name", exact=True).first.fill("Nightly")
    page.keyboard.press("Enter")
    page.get_by_role("region", name="Program tokens").get_by_text("Nightly").wait_for()
    expect(new).to_be_focused()

    # The state below one that was taken out. A new state gives its name to its fields.
    page.goto(f"{desk.base_url}/app?page=project&project={project}")
    page.get_by_role("button", name="Add a state").press("Enter")
    page.keyboard.type("Review")
    page.get_by_label("Limit of Review", exact=True).fill("2")
    page.get_by_role("button", name="Review earlier").press("Enter")
    page.get_by_role("button", name="Take Review out").press("Enter")
    expect(page.locator(".states li").last.get_by_label("Name")).to_be_focused()


@sqlite_only
def test_keys_on_an_empty_board_open_nothing(api: Api, desk: BrowserPage) -> None:
    api.person()
    page = log_in(desk, "/app?layout=board")
    page.get_by_role("heading", name="Nothing to do").wait_for()
    for key in ("e", "Enter", "x", "p"):
        page.keyboard.press(key)
    assert page.url.endswith("?layout=board")

    # The second key of two that comes late is a key of its own.
    page.keyboard.press("g")
    page.wait_for_timeout(2100)
    page.keyboard.press("n")
    expect(page.get_by_label("Add a task")).to_be_focused()

    # Keys lead away from a page without tasks too, and do nothing else there.
    page.keyboard.press("Escape")
    page.keyboard.type("gs")
    page.get_by_role("heading", name="Sessions").wait_for()
    page.keyboard.press("v")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.type("gi")
    page.get_by_role("heading", name="Nothing to do").wait_for()
    assert page.url.endswith("/app")


@sqlite_only
def test_two_versions_are_shown_in_words(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    desk.page.route(re.compile("/events/stream"), lambda route: route.abort())
    page = log_in(desk, "/app?task=1")
    priority = page.locator("#panel").get_by_label("Priority")
    priority.wait_for()
    ada.patch("/tasks/1", json={"priority": 4})
    priority.select_option("2")
    versions = page.get_by_role("dialog").get_by_role("row", name="Priority")
    expect(versions).to_contain_text("Medium")
    expect(versions).to_contain_text("Urgent")

    # Without a stream the page shows at once what was done on it.
    page.get_by_role("button", name="Take theirs").click()
    row(page, "Measure").focus()
    page.keyboard.press("b")
    page.keyboard.type("The device is late")
    page.keyboard.press("Enter")
    row(page, "Measure").get_by_text("Blocked").wait_for()


@sqlite_only
def test_the_keyboard_goes_on_where_a_task_has_gone(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    for number in range(120):
        ada.task(f"Task {number:03}", project_id=project)
    page = log_in(desk, f"/app?project={project}&sort=id&order=asc")
    row(page, "Task 000").focus()
    for _ in range(80):
        page.keyboard.press("j")
    expect(row(page, "Task 080")).to_be_focused()
    page.keyboard.press("d")
    expect(row(page, "Task 081")).to_be_focused()
    row(page, "Task 081").get_by_role("button", name="Complete").click()
    expect(row(page, "Task 082")).to_be_focused()
    # The last one leaves the focus to the one above it.
    page.keyboard.press("End")
    page.keyboard.press("Delete")
    expect(row(page, "Task 118")).to_be_focused()
    # Others may take the task away too.
    ada.delete("/tasks/119")
    expect(row(page, "Task 117")).to_be_focused()
    page.keyboard.press("e")
    page.keyboard.type("Another title")
    ada.delete("/tasks/118")
    expect(row(page, "Task 116")).to_be_focused()

    page.keyboard.press("v")
    card = page.locator(".task")
    card.get_by_text("Task 000").wait_for()
    for _ in range(2):
        page.keyboard.press("j")
    title = page.evaluate("document.activeElement.innerText")
    page.keyboard.press("Delete")
    expect(card.filter(has_text=title)).to_have_count(0)
    page.wait_for_function("document.activeElement.matches('.task')")
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.innerText") != title


@sqlite_only
def test_a_mistake_in_the_filter_is_marked_where_it_was_typed(api: Api, desk: BrowserPage) -> None:
    """With an owner the page asks for `(filter) and (owner = 1)`, in which everything stands one letter later."""
    ada = api.person()
    ada.task()
    page = log_in(desk, f"/app?owner={ada.id}")
    field = page.get_by_role("combobox", name="Filter in words")
    field.fill("nix = 1")
    page.keyboard.press("Enter")
    expect(page.locator(".where mark")).to_have_text("n")
    # The letter is selected, and typing replaces it.
    page.keyboard.type("s")
    expect(field).to_have_value("six = 1")
    # Changes by others redraw the page, and leave the caret where it is.
    ada.task("Another task")
    page.wait_for_timeout(1500)
    page.keyboard.type("t")
    expect(field).to_have_value("stix = 1")
    # The message about a very long filter has room on the page.
    field.fill(f"{'priority >= 3 and ' * 40}nix = 1 and {'priority >= 3 and ' * 40}")
    page.keyboard.press("Enter")
    problem = page.locator("#filter-problem")
    expect(problem).to_have_text(re.compile("^Position 720: met `nix`"))
    expect(problem).to_be_in_viewport(ratio=1)
