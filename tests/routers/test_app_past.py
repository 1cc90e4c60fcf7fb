"""The page of tasks: a task with a long past shows its newest comments and changes first."""

from datetime import UTC, datetime

import pytest
from playwright.sync_api import expect
from sqlalchemy import insert

from database import database
from tables.projects import task_comments
from tests.routers.test_app import desk, log_in
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def comment_often(person: Person, task_id: int, number: int) -> None:
    """Write many comments, `Comment 1.` the first."""
    fields = {"task_id": task_id, "author_id": person.id, "created_at": datetime.now(UTC)}
    rows = [fields | {"text": f"Comment {each}."} for each in range(1, number + 1)]
    database.write(lambda db: db.execute(insert(task_comments), rows))


@sqlite_only
def test_the_newest_comment_of_very_many_is_seen(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    comment_often(ada, ada.task("Measure")["id"], 1000)
    page = log_in(desk, "/app?task=1")
    panel = page.locator("#panel")
    comments = panel.locator(".comments .said")
    panel.get_by_role("heading", name="Comments (the newest 500)").wait_for()
    panel.get_by_label("Comment", exact=True).fill("This one is new")
    panel.get_by_role("button", name="Comment", exact=True).click()
    expect(comments.last).to_have_text("This one is new")
    expect(comments.first).to_have_text("Comment 502.")
    # The keyboard goes back to the first comment.
    panel.get_by_role("button", name="Earlier comments").focus()
    page.keyboard.press("Enter")
    expect(comments.first).to_have_text("Comment 2.")
    expect(panel.get_by_role("button", name="Earlier comments")).to_be_focused()
    page.keyboard.press("Enter")
    expect(comments.first).to_have_text("Comment 1.")
    panel.get_by_role("heading", name="Comments (1,001)").wait_for()
    expect(panel.get_by_role("button", name="Earlier comments")).to_have_count(0)
    expect(comments.last).to_have_text("This one is new")


@sqlite_only
def test_the_newest_change_of_very_many_is_seen(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    titles = [{"op": "update", "id": 1, "task": {"title": f"Title {each}."}} for each in range(1, 601)]
    assert ada.post("/tasks/batch", json={"operations": titles}).status_code == 200
    page = log_in(desk, "/app?task=1")
    past = page.locator("#panel .past")
    past.get_by_text("History").click()
    changes = past.locator(".history > li")
    expect(changes.last).to_contain_text("Title 600.")
    expect(changes.nth(1)).to_contain_text("title: Title 100. \u2192 Title 101.")
    past.get_by_role("button", name="Earlier changes").click()
    expect(changes.first).to_contain_text("ada made it")
    expect(changes.last).to_contain_text("Title 600.")
