"""The page of tasks on a slow network: what a person does while an answer is awaited goes where they see it."""

import pytest
from playwright.sync_api import expect

from tests.routers.test_app import desk, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage
from tests.support.holding import hold

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def two_projects(person: Person) -> tuple[int, int]:
    """Make the projects Research, with the task Measure, and Garden, with the task Dig; their ids."""
    first, second = (
        person.post("/projects", json={"name": name}).json()["id"] for name in ("Research", "Garden")
    )
    person.task("Measure", project_id=first)
    person.task("Dig", project_id=second)
    return first, second


@sqlite_only
def test_a_line_that_is_typed_while_the_list_loads_keeps_the_focus(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    row(page, "Measure").wait_for()
    lists = hold(page, r"/tasks\?")
    page.get_by_role("link", name="Due in a week").click()
    lists.wait()
    page.get_by_role("heading", name="Due in a week").wait_for()
    line = page.get_by_label("Add a task")
    line.click()
    page.keyboard.type("Call ")
    lists.let_go()
    page.get_by_role("heading", name="Nothing fits").wait_for()
    page.go_back()
    row(page, "Measure").wait_for()
    lists.is_open = False
    lists.routes.clear()
    page.get_by_role("link", name="Due in a week").click()
    page.go_back()
    lists.wait(2)
    line.click()
    lists.let_go()
    row(page, "Measure").wait_for()
    page.wait_for_timeout(300)
    page.keyboard.type("dad")
    expect(line).to_have_value("Call dad")
    assert ada.get("/tasks/1").json()["status"] == "pending"


@sqlite_only
def test_a_task_does_not_wait_for_a_slow_list(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("First")
    ada.task("Second")
    page = log_in(desk)
    row(page, "First").wait_for()
    lists = hold(page, r"/tasks\?")
    page.goto(f"{desk.base_url}/app?task=1")
    lists.wait()
    page.locator("#panel").get_by_role("heading", name="First").wait_for()
    lists.let_go()
    row(page, "Second").wait_for()
    # The keyboard goes on in the row of the open task.
    page.keyboard.press("Escape")
    expect(row(page, "First")).to_be_focused()


@sqlite_only
def test_a_task_that_is_opened_while_the_list_loads_stays_open(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure", priority=2)
    page = log_in(desk)
    row(page, "Measure").wait_for()
    lists = hold(page, r"/tasks\?")
    page.keyboard.press("v")
    lists.wait()
    page.get_by_role("link", name="Measure").click()
    panel = page.locator("#panel")
    panel.get_by_role("heading", name="Measure").wait_for()
    lists.let_go()
    page.wait_for_timeout(500)
    expect(panel).to_be_visible()


@sqlite_only
def test_the_title_above_the_tasks_is_that_of_their_project(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    first, second = two_projects(ada)
    page = log_in(desk, f"/app?project={second}")
    row(page, "Dig").wait_for()
    members = hold(page, f"/projects/{first}/members")
    page.get_by_role("link", name="Research").click()
    members.wait()
    # The line belongs to the project whose name is above it.
    page.get_by_label("Add a task").fill("Water")
    page.keyboard.press("Enter")
    until(page, lambda: len(ada.get("/tasks").json()) == 3)
    page.get_by_role("link", name="Garden").click()
    members.let_go()
    page.wait_for_timeout(500)
    row(page, "Dig").wait_for()
    expect(page.get_by_role("heading", level=1)).to_have_text("Garden")
    assert ada.get("/tasks/3").json()["project_id"] == second


@sqlite_only
def test_a_late_error_of_one_task_does_not_hide_another(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    for title in ("First", "Second"):
        ada.task(title)
    page = log_in(desk)
    panel = page.locator("#panel")
    first = hold(page, "/tasks/1$")
    row(page, "First").get_by_role("link").click()
    first.wait()
    row(page, "Second").get_by_role("link").click()
    panel.get_by_role("heading", name="Second").wait_for()
    first.refuse()
    page.wait_for_timeout(300)
    expect(panel.get_by_role("heading", name="Second")).to_be_attached()


@sqlite_only
def test_a_choice_goes_to_the_task_that_is_shown(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.task("First")
    ada.task("Second", project_id=project)
    page = log_in(desk, "/app?task=1")
    panel = page.locator("#panel")
    panel.get_by_role("heading", name="First").wait_for()
    members = hold(page, "/members")
    row(page, "Second").get_by_role("link").click()
    members.wait()
    panel.get_by_label("Description").fill("About the first")
    panel.get_by_label("Priority").select_option("4")
    until(page, lambda: [ada.get(f"/tasks/{each}").json()["priority"] for each in (1, 2)] == [4, 0])
    members.let_go()
    panel.get_by_role("heading", name="Second").wait_for()
    texts = ["About the first", None]
    until(page, lambda: [ada.get(f"/tasks/{each}").json()["description"] for each in (1, 2)] == texts)


@sqlite_only
def test_a_title_is_edited_by_key_once_its_task_is_shown(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    for title in ("First", "Second"):
        ada.task(title)
    page = log_in(desk, "/app?task=1")
    panel = page.locator("#panel")
    panel.get_by_role("heading", name="First").wait_for()
    second = hold(page, "/tasks/2$")
    row(page, "Second").focus()
    page.keyboard.press("e")
    second.wait()
    page.wait_for_timeout(300)
    expect(panel.get_by_label("Title")).not_to_be_focused()
    second.let_go()
    expect(panel.get_by_label("Title")).to_be_focused()
    expect(panel.get_by_label("Title")).to_have_value("Second")


@sqlite_only
def test_a_text_stays_though_the_panel_is_drawn_again(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk, "/app?task=1")
    panel = page.locator("#panel")
    changes = hold(page, "/tasks/1$", "PATCH")
    panel.get_by_label("State").select_option("in_progress")
    changes.wait()
    text = panel.get_by_label("Description")
    text.fill("Twice, ")
    changes.routes.pop().continue_()
    until(page, lambda: ada.get("/tasks/1").json()["status"] == "in_progress")
    page.wait_for_timeout(300)
    expect(text).to_be_focused()
    page.keyboard.type("and in the morning")
    changes.let_go()
    expect(text).to_have_value("Twice, and in the morning")
    text.blur()
    until(page, lambda: ada.get("/tasks/1").json()["description"] == "Twice, and in the morning")


@sqlite_only
def test_closing_a_task_while_it_is_changed_is_no_error(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk, "/app?task=1")
    changes = hold(page, "/tasks/1$", "PATCH")
    panel = page.locator("#panel")
    panel.get_by_role("button", name="Complete").click()
    panel.get_by_role("button", name="Close").click()
    changes.let_go()
    until(page, lambda: ada.get("/tasks/1").json()["status"] == "completed")
    page.wait_for_timeout(500)
    assert page.locator("#status").inner_text() == ""
