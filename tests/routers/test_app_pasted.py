"""The page of tasks: many lines that are pasted become a task each, or one line, as the person chooses."""

import re
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from tests.routers.test_app import assert_accessible, browser, desk, log_in, row
from tests.routers.test_app_beyond import undo, until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage
from tests.support.holding import answer_to

__all__ = ["browser", "desk"]
pytestmark = pytest.mark.thorough

LIST = "- [ ] Milk #shopping !3\n\n* Bread due tomorrow\r\n  Butter\nCall due:never\n"


def paste(page: Page, text: str) -> None:
    """Copy a text elsewhere, and paste it into the field for a new task."""
    page.evaluate(
        "text => document.body.append(Object.assign(document.createElement('textarea'),"
        " {id: 'copied', value: text}))",
        text,
    )
    page.locator("#copied").focus()
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+C")
    page.evaluate("document.getElementById('copied').remove()")
    page.get_by_label("Add a task").focus()
    page.keyboard.press("Control+V")


def tasks(ada: Person, query: str = "") -> list[dict[str, Any]]:
    return list(ada.get(f"/tasks?sort_by=id&sort_order=asc{query}").json())


@sqlite_only
def test_many_pasted_lines_are_many_tasks(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    page = log_in(browser, f"/app?project={project}")
    line = page.get_by_label("Add a task")
    line.fill("Buy: ")
    paste(page, LIST)
    question = page.get_by_role("group", name="Pasted lines")
    expect(question.get_by_role("listitem")).to_have_count(4)
    expect(question.get_by_role("button", name="Make 4 tasks")).to_be_focused()
    assert_accessible(page)
    # The words in the empty list make room for the question.
    above, below = question.bounding_box(), page.locator("#empty h2").bounding_box()
    assert above
    assert below
    assert above["y"] + above["height"] <= below["y"]
    page.keyboard.press("Escape")
    expect(question).to_have_count(0)
    expect(line).to_be_focused()
    expect(line).to_have_value("Buy: ")
    line.fill("")

    # By the keyboard alone: Enter makes them, in one call that one Undo takes back.
    paste(page, LIST)
    page.keyboard.press("Enter")
    page.locator(".toast", has_text="Added 4 tasks").wait_for()
    expect(line).to_be_focused()
    found = tasks(ada, f"&project_id={project}")
    assert [each["title"] for each in found] == ["Milk", "Bread", "Butter", "Call due:never"]
    assert (found[0]["tags"], found[0]["priority"], found[1]["due_at"] is None) == (["shopping"], 3, False)
    row(page, "Butter").wait_for()
    ada.patch(f"/tasks/{found[0]['id']}", json={"description": "Two litres"})
    undo(page)
    page.locator("#status", has_text='Not undone: "Milk" changed meanwhile.').wait_for()
    assert [each["title"] for each in tasks(ada)] == ["Milk"]
    expect(row(page, "Butter")).to_have_count(0)


@sqlite_only
def test_pasted_lines_may_be_one_line_and_are_too_many(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    line = page.get_by_label("Add a task")
    paste(page, "Write\nthe report\n")
    page.get_by_role("button", name="Keep as one line").click()
    expect(line).to_have_value("Write the report")
    page.keyboard.press("Enter")
    row(page, "Write the report").wait_for()
    paste(page, "Only one\n")
    expect(line).to_have_value("Only one")
    page.keyboard.press("Control+A")

    paste(page, "\n".join(f"Line {number}" for number in range(1001)))
    question = page.get_by_role("group", name="Pasted lines")
    question.get_by_text("1,001 lines, at most 1,000 at once").wait_for()
    expect(question.get_by_role("button", name="Make")).to_have_count(0)
    page.keyboard.press("Escape")

    # The lines stay if one of them is refused.
    paste(page, f"Short\n{'x' * 501}")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="Line 2: ").wait_for()
    expect(question.get_by_role("button", name="Make 2 tasks")).to_be_visible()
    assert len(tasks(ada)) == 1


@sqlite_only
def test_pasted_lines_are_made_once_though_the_answer_was_lost(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    answers = []

    def lose(route: Route) -> None:
        answers.append(answer_to(route.request).status_code)
        route.abort()

    page.route(re.compile("/tasks/batch"), lose, times=1)
    paste(page, "One\nTwo")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="can't be reached").wait_for()
    page.keyboard.press("Enter")
    page.locator(".toast", has_text="Added 2 tasks").wait_for()
    until(page, lambda: len(tasks(ada)) == 2)
    assert answers == [200]
