"""The page of tasks: the place in a long list is there again on the way back to it."""

import pytest
from playwright.sync_api import Page, expect

from tests.routers.test_app import PHONE, desk, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_app_meanwhile import live, shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def fill(person: Person, **values: object) -> None:
    rows = [{"op": "create", "task": {"title": f"Step {number}", **values}} for number in range(300)]
    assert person.post("/tasks/batch", json={"operations": rows}).status_code == 200


def scrolled(page: Page) -> float:
    return float(page.evaluate("document.querySelector('div.list')?.scrollTop ?? -1"))


def scroll(page: Page) -> None:
    page.locator("#count", has_text="300").and_(page.locator(":not(:text('…'))")).wait_for()
    page.evaluate("document.querySelector('div.list').scrollTop = 3000")
    page.wait_for_timeout(300)


@sqlite_only
def test_the_place_in_a_list_is_there_on_the_way_back(api: Api, desk: BrowserPage) -> None:
    fill(api.person())
    page = log_in(desk)
    scroll(page)
    page.locator("#side").get_by_role("link", name="Settings").click()
    page.get_by_role("heading", name="Settings").wait_for()
    page.go_back()
    until(page, lambda: scrolled(page) == 3000)
    page.reload()
    until(page, lambda: scrolled(page) == 3000)

    # A way that leads forward begins at the beginning.
    page.locator("#side").get_by_role("link", name="Settings").click()
    page.get_by_role("heading", name="Settings").wait_for()
    page.locator("#side").get_by_role("link", name="My tasks").click()
    row(page, "Step 299").wait_for()
    assert scrolled(page) == 0

    # On a phone the focus goes back to the row, too.
    page.set_viewport_size(PHONE)
    scroll(page)
    page.get_by_role("button", name="Menu", exact=True).click()
    page.locator("#side").get_by_role("link", name="Settings").click()
    page.get_by_role("heading", name="Settings").wait_for()
    page.go_back()
    expect(page.locator(".row.active")).to_be_focused(timeout=10_000)
    until(page, lambda: scrolled(page) == 3000)


@sqlite_only
def test_the_place_in_a_list_stays_while_its_project_changes(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    fill(ada, project_id=project)
    page = log_in(desk, f"/app?project={project}")
    live(page)
    scroll(page)
    bob.patch(f"/projects/{project}", json={"name": "Development"})
    page.get_by_role("heading", name="Development").wait_for()
    until(page, lambda: scrolled(page) == 3000)
