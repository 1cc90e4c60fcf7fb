"""The page of tasks: what a person does happens once, in its order, and nothing of it is lost on the way."""

import re

import pytest
from playwright.sync_api import expect

from tests.routers.test_app import desk, log_in, row, side
from tests.routers.test_app_beyond import until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage
from tests.support.holding import hold

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


@sqlite_only
def test_a_comment_is_sent_once(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("First")
    ada.task("Second")
    page = log_in(desk, "/app?task=1")
    panel = page.locator("#panel")
    comment = panel.get_by_label("Comment", exact=True)
    comments = hold(page, "/tasks/1/comments", "POST")

    def said() -> list[str]:
        return [each["text"] for each in ada.get("/tasks/1/comments").json()]

    comment.fill("Twice a day")
    page.keyboard.press("Control+Enter")
    page.keyboard.press("Control+Enter")
    comments.wait()
    # The next comment is begun, and another task is opened, before the first one has arrived.
    comment.fill("And at night")
    row(page, "Second").get_by_role("link").click()
    panel.get_by_role("heading", name="Second").wait_for()
    comments.let_go()
    until(page, lambda: said() == ["Twice a day"])
    row(page, "First").get_by_role("link").click()
    panel.get_by_role("heading", name="First").wait_for()
    expect(comment).to_have_value("And at night")

    # A comment that can't be sent comes back.
    comments.is_open = False
    comments.routes.clear()
    page.keyboard.press("Tab")
    comment.focus()
    page.keyboard.press("Control+Enter")
    comments.wait()
    row(page, "Second").get_by_role("link").click()
    panel.get_by_role("heading", name="Second").wait_for()
    comments.refuse()
    row(page, "First").get_by_role("link").click()
    panel.get_by_role("heading", name="First").wait_for()
    expect(comment).to_have_value("And at night")
    assert said() == ["Twice a day"]


@sqlite_only
def test_a_comment_that_is_being_changed_stays_as_others_write(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    ada.task("Measure", project_id=project)
    ada.post("/tasks/1/comments", json={"text": "Twice"})
    page = log_in(desk, f"/app?project={project}&task=1")
    panel = page.locator("#panel")
    panel.get_by_role("button", name="Edit").click()
    area = panel.locator(".comments").get_by_label("Comment")
    area.fill("Twice a day")
    bob.post("/tasks/1/comments", json={"text": "Why?"})
    panel.locator(".comments", has_text="Why?").wait_for()
    expect(area).to_be_focused()
    expect(area).to_have_value("Twice a day")
    bob.patch("/tasks/1", json={"state": "in_progress"})
    panel.get_by_text("Created").wait_for()
    expect(panel.get_by_label("State")).to_have_value("in_progress")
    expect(area).to_have_value("Twice a day")
    panel.get_by_role("button", name="Save").click()
    panel.locator(".comments", has_text="Twice a day").wait_for()
    expect(area).to_have_count(0)

    # A comment is shown though a text is being typed in the task, and is no change of the task.
    panel.get_by_label("Description").fill("With the thermometer")
    bob.post("/tasks/1/comments", json={"text": "I see"})
    panel.locator(".comments", has_text="I see").wait_for()
    assert page.locator("#status").inner_text() == ""


@sqlite_only
def test_the_last_of_two_quick_choices_stays(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    row(page, "Measure").focus()
    changes = hold(page, "/tasks/1$", "PATCH")
    page.keyboard.press("1")
    changes.wait()
    page.keyboard.press("3")
    page.wait_for_timeout(300)
    first = changes.routes.pop(0)
    changes.let_go()
    page.wait_for_timeout(300)
    first.continue_()
    until(page, lambda: ada.get("/tasks/1").json()["priority"] > 0)
    page.wait_for_timeout(500)
    assert ada.get("/tasks/1").json()["priority"] == 3


@sqlite_only
def test_a_tag_is_added_to_those_that_there_are(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    page.locator("#live", has_text="Live").wait_for(state="attached")

    def tags() -> list[str]:
        return list(ada.get("/tasks/1").json()["tags"])

    field = page.get_by_role("dialog").get_by_label("Tag", exact=True)

    def tag(name: str) -> None:
        field.fill(name)
        page.keyboard.press("Enter")
        until(page, lambda: name in tags())

    row(page, "Measure").focus()
    page.keyboard.press("l")
    field.wait_for()
    ada.patch("/tasks/1", json={"tags": ["others"]})
    row(page, "Measure").get_by_text("others").wait_for()
    tag("mine")
    assert tags() == ["others", "mine"]
    row(page, "Measure").focus()
    page.keyboard.press("l")
    tag("later")
    page.locator(".toast", has_text="tagged mine").get_by_role("button", name="Undo").click()
    until(page, lambda: "mine" not in tags())
    assert tags() == ["others", "later"]


@sqlite_only
def test_a_task_that_was_deleted_just_before_the_log_out_is_gone(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    row(page, "Measure").focus()
    page.keyboard.press("Delete")
    page.locator(".toast", has_text="Deleted").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Username or email").wait_for()
    until(page, lambda: ada.get("/tasks/1").status_code == 404)


@sqlite_only
def test_a_dialog_ends_with_the_session(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    page.get_by_role("button", name="New project").first.click()
    page.get_by_label("Name", exact=True).fill("Research")
    for session in ada.get("/auth/sessions").json():
        ada.delete(f"/auth/sessions/{session['id']}")
    page.keyboard.press("Enter")
    page.get_by_text("Your session has ended").wait_for()
    page.get_by_label("Username or email").fill("ada")
    expect(page.get_by_role("dialog")).to_have_count(0)


@sqlite_only
def test_a_pull_that_ends_beside_a_dialog_leaves_it_open(api: Api, desk: BrowserPage) -> None:
    api.person()
    page = log_in(desk)
    page.get_by_role("button", name="New project").first.click()
    name = page.get_by_label("Name", exact=True)
    name.fill("Research")
    box = name.bounding_box()
    assert box
    page.mouse.move(box["x"] + 100, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(5, box["y"] + 10)
    page.mouse.up()
    page.wait_for_timeout(200)
    expect(name).to_have_value("Research")
    page.mouse.click(5, 300)
    expect(page.get_by_role("dialog")).to_have_count(0)


@sqlite_only
def test_a_line_that_is_refused_is_told_if_the_next_one_is_begun(api: Api, desk: BrowserPage) -> None:
    api.person()
    page = log_in(desk)
    tasks = hold(page, "/tasks$", "POST")
    line = page.get_by_label("Add a task")
    line.fill("Call the printer")
    page.keyboard.press("Enter")
    tasks.wait()
    line.fill("Buy paper")
    tasks.refuse()
    page.locator("#status", has_text='"Call the printer" was not added').wait_for()
    expect(line).to_have_value("Buy paper")


@sqlite_only
def test_tomorrow_is_today_after_midnight(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    desk.page.clock.install()
    page = log_in(desk)
    tomorrow = page.evaluate("new Date(new Date().setHours(24, 0, 0, 0)).toISOString()")
    ada.task("Measure", due_at=tomorrow)
    row(page, "Measure").get_by_text("Tomorrow").wait_for()
    row(page, "Measure").focus()
    page.clock.fast_forward("24:00:00")
    row(page, "Measure").get_by_text("Today").wait_for()
    expect(row(page, "Measure")).to_be_focused()


@sqlite_only
def test_a_double_click_is_one_click(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    below, above = (ada.task(title, project_id=project)["id"] for title in ("Below", "Above"))
    page = log_in(desk, f"/app?project={project}")

    def status(task: int) -> str:
        return str(ada.get(f"/tasks/{task}").json()["status"])

    # The next task is under the pointer as soon as the first one is gone.
    place = row(page, "Above").get_by_role("button", name="Complete").bounding_box()
    assert place
    page.mouse.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    page.mouse.down()
    page.mouse.up()
    expect(row(page, "Above")).to_have_count(0)
    page.mouse.down(click_count=2)
    page.mouse.up(click_count=2)
    until(page, lambda: status(above) == "completed")
    row(page, "Below").get_by_role("link", name="Below").click()
    page.locator("#panel").get_by_role("button", name="Complete").dblclick()
    page.locator("#panel").get_by_role("button", name="Open again").wait_for()
    expect(page.locator(".toast")).to_have_text([re.compile('"Above"'), re.compile('"Below"')])
    assert [status(below), status(above)] == ["completed", "completed"]

    # A dialog that the first click has opened stays open.
    side(page).get_by_role("button", name="New project").first.dblclick()
    expect(page.get_by_role("dialog", name="New project")).to_be_visible()
    page.keyboard.press("Escape")
    # A button that leads elsewhere may lie where the panel was.
    page.locator("#panel").get_by_role("button", name="Close").dblclick()
    expect(page.locator("#panel")).to_be_hidden()
    expect(page.get_by_label("Add a task")).to_be_visible()
