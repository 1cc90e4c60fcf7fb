"""Editing in the rows of the list, while others change the same tasks."""

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.routers.test_app import PHONE, assert_accessible, browser, desk, log_in, row
from tests.routers.test_app_beyond import undo, until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage

__all__ = ["browser", "desk"]
pytestmark = pytest.mark.thorough


def edit(page: Page, title: str) -> Locator:
    """Begin to edit the title of a task by the key for it, and return the field."""
    row(page, title).focus()
    page.keyboard.press("e")
    # Fields of titles that could not be saved may be open too.
    field = page.locator(".row .edit:not([aria-invalid])")
    expect(field).to_be_focused()
    return field


def is_phone(page: Page) -> bool:
    return page.viewport_size == PHONE


@sqlite_only
def test_a_title_is_edited_in_its_row(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    task = ada.task("Write the report")["id"]
    ada.task("Read the report")
    page = log_in(browser)

    def title() -> str:
        return str(ada.get(f"/tasks/{task}").json()["title"])

    # Escape leaves it as it was; Enter saves it, with the version that was seen.
    edit(page, "Write the report").fill("Something else")
    assert_accessible(page)
    page.keyboard.press("Escape")
    expect(row(page, "Write the report")).to_be_focused()
    edit(page, "Write the report").fill("Write it well")
    with page.expect_request(lambda request: request.method == "PATCH") as sent:
        page.keyboard.press("Enter")
    assert sent.value.headers["if-match"] == f'"{task}-1"'
    expect(row(page, "Write it well")).to_be_focused()
    until(page, lambda: title() == "Write it well")
    undo(page)
    expect(row(page, "Write the report")).to_be_visible()
    until(page, lambda: title() == "Write the report")
    # An empty title is not sent. Letters that are keys of the list are plain letters while somebody types.
    edit(page, "Write the report").fill(" ")
    page.keyboard.press("Enter")
    edit(page, "Write the report").press("End")
    page.keyboard.type(" #x")
    page.keyboard.press("Enter")
    expect(row(page, "Write the report #x")).to_be_focused()
    until(page, lambda: title() == "Write the report #x")
    assert len(ada.get("/tasks").json()) == 2


@sqlite_only
def test_a_row_is_edited_by_mouse(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    task = ada.task("Write the report", due_at="2026-01-01T00:00:00Z", project="Garden")["id"]
    ada.task("Read the report")
    page = log_in(browser)
    row(page, "Write the report").wait_for()
    if is_phone(page):
        # A touch opens the task, whatever of its row it meets.
        row(page, "Write the report").locator(".due").click(force=True)
        page.locator("#panel .task-title").wait_for()
        return
    # By mouse: the panel that the first click opened does not stay in the way.
    row(page, "Write the report").get_by_role("link").dblclick()
    field = page.locator(".row .edit")
    expect(field).to_be_focused()
    expect(page.locator("#panel")).to_be_hidden()
    field.fill("By mouse")
    row(page, "Read the report").locator(".box").click()
    until(page, lambda: ada.get(f"/tasks/{task}").json()["title"] == "By mouse")
    expect(page.locator(".edit")).to_have_count(0)
    # The other values of the row.
    line = row(page, "By mouse")
    line.locator("button.priority").click()
    page.get_by_role("menuitem", name="High").click()
    expect(line.locator("button.priority")).to_contain_text("High")
    line.locator(".due").click()
    assert_accessible(page)
    page.get_by_role("dialog").get_by_label("Another time").fill("tomorrow 14:00")
    page.keyboard.press("Enter")
    expect(line.locator(".due")).to_contain_text("Tomorrow, ")
    line.locator(".due").click()
    page.get_by_role("dialog").get_by_role("button", name="Tomorrow").click()
    expect(line.locator(".due")).to_have_text("Tomorrow")
    line.locator(".due").click()
    page.get_by_role("dialog").get_by_role("button", name="Choose a day").click()
    page.get_by_role("dialog").locator("[type=date]").fill("2030-01-31")
    expect(line.locator(".due")).to_contain_text("2030")
    line.locator(".project").click()
    page.get_by_role("menuitem", name="Research").click()
    expect(line.locator(".project")).to_have_text("Research")
    until(page, lambda: ada.get(f"/tasks/{task}").json()["project_id"] == project)
    assert ada.get(f"/tasks/{task}").json()["priority"] == 3


@sqlite_only
def test_a_day_is_picked_from_the_calendar_and_its_time_stays(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    ada.task("Write the report")
    page = log_in(browser, "/app?task=1")
    panel = page.locator("#panel")
    due = panel.get_by_label("Due", exact=True)
    due.fill("2026-12-30 14:00")
    due.press("Enter")
    expect(panel.locator(".meant")).to_contain_text("30")
    panel.locator(".dated [type=date]").fill("2027-01-02")
    expect(due).to_have_value("2027-01-02 14:00")
    expect(panel.locator(".meant")).to_contain_text("2027")


@sqlite_only
def test_others_are_heeded_while_a_row_is_edited(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{grace.id}", json={"role": "member"})
    task = ada.task("Write the report", project_id=project)["id"]
    other = ada.task("Read the report", project_id=project)["id"]
    page = log_in(browser, f"/app?project={project}&sort=title&order=asc")
    page.locator("#live", has_text="Live").wait_for(state="attached")
    both = page.get_by_role("dialog", name="Somebody else was first")

    # Somebody else changes another field: both changes stay. Rows that come and go around it leave the field open.
    field = edit(page, "Write the report")
    field.fill("Mine")
    grace.patch(f"/tasks/{task}", json={"priority": 4})
    for number in range(3):
        grace.task(f"A{number}", project_id=project)
    grace.patch(f"/tasks/{other}", json={"title": "Zuletzt"})
    row(page, "A2").wait_for()
    row(page, "Zuletzt").wait_for()
    expect(field).to_be_focused()
    expect(field).to_have_value("Mine")
    page.keyboard.press("Enter")
    expect(row(page, "Mine").locator("button.priority")).to_contain_text("Urgent")
    until(page, lambda: grace.get(f"/tasks/{task}").json()["title"] == "Mine")
    assert grace.get(f"/tasks/{task}").json()["priority"] == 4

    # Somebody else changes the same field: both values are shown.
    for number, (answer, kept) in enumerate([("Take theirs", "Theirs 0"), ("Keep mine", "Mine 1")]):
        edit(page, "Mine").fill(f"Mine {number}")
        grace.patch(f"/tasks/{task}", json={"title": f"Theirs {number}"})
        page.locator("#status", has_text="Somebody else has just changed").wait_for()
        page.keyboard.press("Enter")
        expect(both).to_contain_text(f"Theirs {number}")
        assert_accessible(page)
        both.get_by_role("button", name=answer).click()
        expect(row(page, kept)).to_be_visible()
        until(page, lambda kept=kept: grace.get(f"/tasks/{task}").json()["title"] == kept)  # type: ignore[misc]
        grace.patch(f"/tasks/{task}", json={"title": "Mine"})
        row(page, "Mine").wait_for()

    # Somebody else completes the task. It no longer belongs to the list, but stays until the editing ends.
    field = edit(page, "Mine")
    field.fill("Still mine")
    grace.patch(f"/tasks/{task}", json={"status": "completed"})
    expect(page.locator(".row.done")).to_have_count(0)
    page.wait_for_timeout(300)
    expect(field).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".edit")).to_have_count(0)
    until(page, lambda: grace.get(f"/tasks/{task}").json()["title"] == "Still mine")
    expect(row(page, "Still mine")).to_have_count(0)

    # The task is deleted elsewhere, which ends the editing.
    edit(page, "Zuletzt").fill("Never sent")
    ada.delete(f"/tasks/{other}")
    page.locator("#status", has_text='"Zuletzt" was deleted.').wait_for()
    expect(page.locator(".edit")).to_have_count(0)


@sqlite_only
def test_a_title_that_could_not_be_saved_stays_in_its_row(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    for title in ("Measure", "Compare", "Report"):
        ada.task(title)
    page = log_in(browser)

    def titles() -> list[str]:
        return [each["title"] for each in ada.get("/tasks?sort_by=created_at&sort_order=asc").json()]

    def not_saved(title: str) -> Locator:
        return page.locator(".row").get_by_label(f"Title of task {titles().index(title) + 1}, not saved")

    page.locator("#live", has_text="Live").wait_for(state="attached")
    # The page has loaded all that it needs at the beginning.
    for path in ("/views", "/notifications"):
        page.wait_for_function(
            "(path) => performance.getEntriesByType('resource').some((each) => each.name.includes(path))",
            arg=path,
        )
    page.context.set_offline(True)
    for title in ("Measure", "Compare", "Report"):
        edit(page, title).fill(f"{title} twice")
        page.keyboard.press("Enter")
        expect(not_saved(title)).to_have_value(f"{title} twice")
    assert_accessible(page)
    # Escape gives it up.
    not_saved("Report").focus()
    expect(page.get_by_label("Title of task 3", exact=True)).to_be_focused()
    page.keyboard.press("Escape")
    expect(row(page, "Report").get_by_role("link")).to_have_text("Report")
    page.context.set_offline(False)
    until(page, lambda: titles() == ["Measure twice", "Compare twice", "Report"])
    expect(page.locator(".row .edit")).to_have_count(0)

    # A change that is refused is there again in other views, to be corrected.
    ada.patch("/tasks/2", json={"status": "completed"})
    page.route("**/tasks/1", lambda route: route.fulfill(status=503, json={"detail": "Too busy"}))
    edit(page, "Measure twice").fill("Measure thrice")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="was not saved").wait_for()
    page.evaluate("history.pushState(null, '', '?status=all'); dispatchEvent(new PopStateEvent('popstate'))")
    row(page, "Compare twice").wait_for()
    page.unroute_all()
    again = not_saved("Measure twice")
    expect(again).to_have_value("Measure thrice")
    # Somebody else was first meanwhile: both values are shown.
    ada.patch("/tasks/1", json={"title": "Measured by others"})
    again.focus()
    page.keyboard.press("Enter")
    both = page.get_by_role("dialog", name="Somebody else was first")
    expect(both).to_contain_text("Measured by others")
    both.get_by_role("button", name="Keep mine").click()
    until(page, lambda: titles()[0] == "Measure thrice")
    expect(page.locator(".row .edit")).to_have_count(0)


@sqlite_only
def test_who_only_reads_changes_nothing(api: Api, desk: BrowserPage) -> None:
    ada, grace = api.person(), api.person("grace")
    project = grace.post("/projects", json={"name": "Theirs"}).json()["id"]
    grace.put(f"/projects/{project}/members/{ada.id}", json={"role": "viewer"})
    grace.task("Look at it", project_id=project, priority=3)
    page = log_in(desk, f"/app?project={project}")
    row(page, "Look at it").focus()
    page.keyboard.press("e")
    page.locator("#status", has_text="only be read").wait_for()
    expect(page.locator(".edit")).to_have_count(0)
    expect(row(page, "Look at it").locator("button")).to_have_count(0)
    # No key asks for something that is refused.
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    for key in ("d", "4", "p", "t", "a", "b", "Delete"):
        page.evaluate("document.getElementById('status').textContent = ''")
        page.keyboard.press(key)
        page.locator("#status", has_text="This task can only be read here.").wait_for()
        expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("v")
    page.locator(".task", has_text="Look at it").focus()
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_timeout(100)
    assert {*asked} <= {"GET"}
