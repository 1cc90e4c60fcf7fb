"""The page of tasks: Undo takes back what the person has done, and nothing that others have done since."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, Route, expect

from tests.routers.test_app import desk, log_in, row
from tests.routers.test_app_beyond import choose, undo, until
from tests.routers.test_app_meanwhile import live, shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def press(page: Page, title: str, key: str) -> None:
    row(page, title).focus()
    page.keyboard.press(key)
    page.locator(".toast").last.wait_for()


def refused(page: Page, title: str = '"Measure"') -> None:
    """Press Undo, which tells that it leaves a task as it is."""
    undo(page)
    page.locator("#status", has_text=f"Not undone: {title} changed meanwhile.").wait_for()
    page.evaluate("document.getElementById('status').textContent = ''")


@sqlite_only
@pytest.mark.parametrize("is_live", [True, False], ids=["live", "without a stream"])
def test_undo_leaves_what_others_have_changed_since(api: Api, desk: BrowserPage, *, is_live: bool) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    ada.task("Measure", project_id=project)
    if not is_live:
        desk.page.route(re.compile("/events/stream"), lambda route: route.abort())
    page = log_in(desk, f"/app?project={project}&status=all")
    if is_live:
        live(page)

    def task() -> dict[str, object]:
        return dict(ada.get("/tasks/1").json())

    def changed_by_bob(values: dict[str, object], name: str, mine: object) -> None:
        until(page, lambda: task()[name] == mine)
        bob.patch("/tasks/1", json=values)
        page.wait_for_timeout(300)

    # Another value stays, and so does another field.
    press(page, "Measure", "3")
    changed_by_bob({"priority": 2}, "priority", 3)
    refused(page)
    assert task()["priority"] == 2
    page.locator(".toast").wait_for(state="detached")
    press(page, "Measure", "4")
    changed_by_bob({"description": "Twice", "due_at": "2030-01-01T00:00:00Z"}, "priority", 4)
    undo(page)
    until(page, lambda: task()["priority"] == 2)
    assert (task()["description"], task()["due_at"]) == ("Twice", "2030-01-01T00:00:00Z")

    press(page, "Measure", "d")
    changed_by_bob({"state": "in_progress"}, "status", "completed")
    refused(page)
    assert task()["state"] == "in_progress"

    row(page, "Measure").focus()
    page.keyboard.press("e")
    page.keyboard.type("Measure twice")
    page.keyboard.press("Enter")
    page.locator(".toast", has_text="renamed").wait_for()
    changed_by_bob({"title": "Measure thrice"}, "title", "Measure twice")
    undo(page)
    page.locator("#status", has_text="Not undone").wait_for()
    assert task()["title"] == "Measure thrice"


@sqlite_only
def test_undo_of_many_leaves_those_that_others_have_changed(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    for title in ("One", "Two", "Three"):
        ada.task(title, project_id=project)
    desk.page.route(re.compile("/events/stream"), lambda route: route.abort())
    page = log_in(desk, f"/app?project={project}")
    row(page, "One").focus()
    page.keyboard.press("*")
    page.keyboard.press("3")

    def priorities() -> list[int]:
        found = {each["id"]: each["priority"] for each in ada.get(f"/tasks?project_id={project}").json()}
        return [found[task_id] for task_id in sorted(found)]

    until(page, lambda: priorities() == [3, 3, 3])
    bob.patch("/tasks/1", json={"priority": 1})
    bob.patch("/tasks/2", json={"description": "Twice"})
    refused(page, '"One"')
    assert priorities() == [1, 0, 0]
    expect(row(page, "One").get_by_title("Low")).to_be_visible()
    assert ada.get("/tasks/2").json()["description"] == "Twice"


@sqlite_only
def test_a_task_that_was_given_on_stays_with_its_new_owner(api: Api, desk: BrowserPage) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    project = shared(ada, bob)
    ada.put(f"/projects/{project}/members/{eve.id}", json={"role": "member"})
    ada.task("Measure", project_id=project)
    page = log_in(desk, f"/app?project={project}")
    live(page)

    def owner_is(person: Person) -> Callable[[], bool]:
        return lambda: bool(ada.get("/tasks/1").json()["user_id"] == person.id)

    # The answer comes later than the events of this change and the next one.
    asked: list[Route] = []

    def keep(route: Route) -> None:
        asked.append(route)

    page.route("**/assign?*", keep, times=1)
    choose(page, "Measure", "a", "bob")
    until(page, lambda: bool(asked))
    answer = ada.put(f"/tasks/1/assign?assigned_user_id={bob.id}")
    bob.put(f"/tasks/1/assign?assigned_user_id={eve.id}")
    row(page, "Measure").get_by_text("eve").wait_for()
    asked[0].fulfill(status=200, json=answer.json())
    page.locator(".toast", has_text="assigned").wait_for()
    expect(row(page, "Measure").get_by_text("eve")).to_be_visible()
    refused(page)
    assert owner_is(eve)()
    choose(page, "Measure", "a", "bob")
    until(page, owner_is(bob))
    bob.patch("/tasks/1", json={"description": "Twice"})
    page.locator(".toast", has_text="assigned").wait_for()
    undo(page)
    until(page, owner_is(eve))
