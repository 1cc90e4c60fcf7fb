"""The page of tasks: what is typed in a task stays its own while another task, or the login, takes its place."""

import re

import pytest
from playwright.sync_api import expect

from tests.routers.test_app import desk, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage

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
