"""The board of a large project: it works as if all cards were in the document, though only near ones are."""

from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.routers.test_app import REVIEW, assert_accessible, browser, desk, log_in
from tests.routers.test_app_beyond import until
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage

__all__ = ["browser", "desk"]
pytestmark = pytest.mark.thorough

MANY = 5_000
# Cards of several heights: a title that takes some lines now and then.
LONG = " and some more words that fill several lines of its card"
# The number of a card in its column, its place on the screen, and the cards that overlap or leave a gap.
GAPS = """(column) => {
    const cards = [...column.querySelectorAll('.task')].map((card) => {
        const box = card.getBoundingClientRect();
        return { at: Number(card.getAttribute('aria-posinset')), top: box.top, bottom: box.bottom };
    });
    return cards.slice(1).map((card, before) => [cards[before], card])
        .filter(([one, two]) => two.at === one.at + 1 && Math.abs(two.top - one.bottom - 8) > 1)
        .map(([one]) => one.at);
}"""


def _large(ada: Any) -> int:
    """Make a project with many tasks, a quarter of them in each state, and return its id."""
    project: int = ada.post("/projects", json={"name": "Research", "states": REVIEW}).json()["id"]
    keys = [state["key"] for state in REVIEW]
    rows = [
        {"title": f"Task {number}{LONG if number % 5 == 0 else ''}", "state": keys[number % 4],
         "status": REVIEW[number % 4]["status"], "priority": number % 5}
        for number in range(MANY)
    ]  # fmt: skip
    assert ada.post(f"/tasks/import?project_id={project}", json=rows).status_code == 201
    return project


def _count(page: Page, key: str, text: str) -> None:
    expect(page.locator(f"[data-key={key}] .count")).to_have_text(text)


@sqlite_only
def test_a_board_of_thousands_of_cards(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    project = _large(ada)
    page = log_in(browser, f"/app?project={project}&layout=board")
    expect(page.locator("#count")).to_have_text("5,000")
    _count(page, "pending", "1,250")
    _count(page, "in_review", "1,250 / 1")
    assert page.locator(".task").count() < 150
    # A screen reader learns the number of all cards in the column.
    todo = page.get_by_role("region", name="To do, 1250")
    page.get_by_role("region", name="In review, 1250 of at most 1, too many").wait_for(state="attached")
    expect(todo.locator(".task").first).to_have_attribute("aria-setsize", "1250")
    assert_accessible(page)

    # By keys to the end and back.
    todo.locator(".task").first.focus()
    page.keyboard.press("End")
    last = todo.locator(".task", has_text="Task 0 ")
    expect(last).to_be_focused()
    expect(last).to_have_attribute("aria-posinset", "1250")
    expect(last).to_be_in_viewport(ratio=1)
    page.keyboard.press("ArrowUp")
    expect(todo.locator(".task", has_text="Task 4").last).to_be_focused()
    assert page.locator(".task").count() < 150
    page.keyboard.press("ArrowDown")
    # The card goes to the next state and keeps the focus. It is the last one of that column too.
    page.keyboard.press("Shift+ArrowRight")
    moved = page.locator("[data-key=in_progress] .task", has_text="Task 0 ")
    expect(moved).to_be_focused()
    expect(moved).to_be_in_viewport(ratio=1)
    _count(page, "pending", "1,249")
    _count(page, "in_progress", "1,251")
    until(page, lambda: ada.get("/tasks/1").json()["state"] == "in_progress")
    page.keyboard.press("Home")
    expect(page.locator("[data-key=in_progress] .task").first).to_be_focused()
    expect(page.locator("[data-key=in_progress] .task").first).to_have_attribute("aria-posinset", "1")

    # No card lies over another one, wherever the column is scrolled to.
    cards = page.locator("[data-key=completed] .cards")
    for part in (0.13, 0.5, 0.49, 0.48, 1, 0):
        cards.evaluate("(place, part) => { place.scrollTop = place.scrollHeight * part }", part)
        page.wait_for_timeout(100)
        assert page.locator("[data-key=completed]").evaluate(GAPS) == []
        box = cards.locator(".task").count()
        assert 3 < box < 60, (part, box)

    # Changes by others show in their places, and a scrolled column stays where it is.
    page.locator("#live", has_text="Live").wait_for(state="attached")
    cards.evaluate("(place) => { place.scrollTop = 20_000 }")
    page.wait_for_timeout(100)
    where = cards.evaluate("(place) => place.scrollTop")
    ada.task("New one", project_id=project)
    ada.patch("/tasks/2", json={"state": "completed"})
    _count(page, "pending", "1,250")
    _count(page, "completed", "1,251")
    assert abs(cards.evaluate("(place) => place.scrollTop") - where) < 2


@sqlite_only
def test_a_card_is_dragged_to_another_column(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project = _large(ada)
    page = log_in(desk, f"/app?project={project}&layout=board")
    _count(page, "pending", "1,250")
    # From the middle of a column to the middle of another one.
    for key in ("pending", "in_progress"):
        page.locator(f"[data-key={key}] .cards").evaluate("(place) => { place.scrollTop = 30_000 }")
    page.wait_for_timeout(200)
    card = page.locator("[data-key=pending] .task").nth(8)
    task = card.get_attribute("data-id")
    card.drag_to(page.locator("[data-key=in_progress] .cards"))
    _count(page, "in_progress", "1,251")
    _count(page, "pending", "1,249")
    until(page, lambda: ada.get(f"/tasks/{task}").json()["state"] == "in_progress")
    # A state that is full refuses, and the card goes back.
    card = page.locator("[data-key=pending] .task").nth(8)
    card.drag_to(page.locator("[data-key=in_review] .cards"))
    page.locator("#status", has_text="limit").wait_for()
    _count(page, "in_review", "1,250 / 1")
    _count(page, "pending", "1,249")


@sqlite_only
def test_the_board_on_paper_has_all_cards(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.post("/tasks/import", json=[{"title": f"Task {number}"} for number in range(120)])
    page = log_in(desk, "/app?layout=board")
    expect(page.locator("#count")).to_have_text("120")
    assert page.locator(".task").count() < 60
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    expect(page.locator(".task")).to_have_count(120)
    assert page.locator(".task", has_text="Task 0").last.is_visible()
    assert page.locator("[data-key=pending]").evaluate(GAPS) == []
