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


# The card at the top of the first column, where it stands, and how far the board is scrolled aside.
PLACE = """() => {
  const top = document.querySelector(".cards")?.getBoundingClientRect().top;
  const card = [...document.querySelectorAll(".column .task")]
    .filter((each) => each.closest(".column").dataset.key === "pending" && each.getBoundingClientRect().bottom > top)
    .sort((one, other) => one.getBoundingClientRect().top - other.getBoundingClientRect().top)[0];
  return card ? [card.dataset.id, card.getBoundingClientRect().top, document.querySelector(".columns").scrollLeft] : null;
}"""


@sqlite_only
def test_the_columns_of_a_board_keep_their_places_on_the_way_back(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    states = ada.get(f"/projects/{project}").json()["states"]
    more = [
        {"key": f"more_{number}", "name": f"More {number}", "status": "in_progress"} for number in range(6)
    ]
    ada.patch(f"/projects/{project}", json={"states": [*states, *more]})
    # The cards have different heights, which are known only when they were drawn.
    rows = [{"title": f"Step {number} " + "and more " * (number * 7 % 23)} for number in range(300)]
    assert ada.post(f"/tasks/import?project_id={project}", json=rows).status_code == 201
    page = log_in(desk, f"/app?project={project}&layout=board")
    live(page)
    page.locator("#count", has_text="300").and_(page.locator(":not(:text('…'))")).wait_for()
    for _ in range(10):
        page.locator(".cards").first.hover()
        page.mouse.wheel(0, 900)
        page.wait_for_timeout(50)
    page.evaluate("document.querySelector('.columns').scrollLeft = 600")
    page.wait_for_timeout(300)
    before = page.evaluate(PLACE)
    assert before[2] > 0

    def is_there() -> bool:
        now = page.evaluate(PLACE)
        return bool(now) and now[0] == before[0] and abs(now[1] - before[1]) < 2 and now[2] == before[2]

    page.locator("#side").get_by_role("link", name="Settings").click()
    page.get_by_role("heading", name="Settings").wait_for()
    page.evaluate("document.activeElement.blur()")
    page.go_back()
    until(page, is_there)
    # The focus is back on the board, and takes nothing out of its place.
    expect(page.locator(".task.active")).to_be_focused()
    assert is_there()
    page.reload()
    until(page, is_there)
    bob.patch(f"/projects/{project}", json={"name": "Development"})
    page.get_by_role("heading", name="Development").wait_for()
    until(page, is_there)

    page.locator("#side").get_by_role("link", name="My tasks").click()
    page.get_by_role("heading", name="My tasks").wait_for()
    page.goto(f"{desk.base_url}/app?project={project}&layout=board")
    page.locator(".task").first.wait_for()
    assert page.evaluate("document.querySelector('.cards').scrollTop") == 0
