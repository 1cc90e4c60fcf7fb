"""The menu of `/app` on a narrow page, and what screen readers are told."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.routers.test_app import PHONE, assert_accessible, desk, log_in, row
from tests.routers.test_app_meanwhile import live, shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def menu_of(page: Page) -> tuple[Locator, Locator]:
    return page.get_by_role("button", name="Menu", exact=True), page.locator("#side")


@sqlite_only
def test_the_menu_of_a_phone_is_closed_again(api: Api, desk: BrowserPage) -> None:
    api.person().task("Measure")
    desk.page.set_viewport_size(PHONE)
    page = log_in(desk)
    button, side = menu_of(page)
    expect(button).to_have_attribute("aria-expanded", "false")
    ways: list[Callable[[], None]] = [
        lambda: page.keyboard.press("Escape"),
        lambda: page.mouse.click(PHONE["width"] - 20, 400),
        lambda: page.get_by_role("button", name="Close the menu").click(),
        # The page is the same, so nothing else takes the focus.
        lambda: side.get_by_role("link", name="My tasks").click(),
    ]
    for close in ways:
        button.focus()
        page.keyboard.press("Enter")
        expect(side.get_by_role("link", name="My tasks")).to_be_focused()
        assert page.locator("#content button.menu").get_attribute("aria-expanded") == "true"
        # The keyboard does not go to what the menu hides.
        for _ in range(30):
            page.keyboard.press("Tab")
            assert page.evaluate("!document.activeElement.closest('#content')")
        close()
        expect(side).to_be_hidden()
        expect(button).to_be_focused()
    # Nothing was clicked through the open menu.
    assert "task=" not in page.url


@sqlite_only
def test_a_dialog_from_the_menu_of_a_phone_gives_the_focus_back(api: Api, desk: BrowserPage) -> None:
    api.person().task("Measure")
    desk.page.set_viewport_size(PHONE)
    page = log_in(desk)
    button, side = menu_of(page)
    button.click()
    side.get_by_role("button", name="New project").click()
    page.get_by_role("dialog").wait_for()
    expect(side).to_be_hidden()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()
    # A page that becomes wide, as by turning a tablet, has both.
    button.click()
    page.set_viewport_size({"width": 1100, "height": 700})
    row(page, "Measure").get_by_role("link").click()
    page.locator("#panel").get_by_role("heading", name="Measure").wait_for()


@sqlite_only
def test_screen_readers_are_told_what_was_found_and_done(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    for title in ("Measure", "Measure twice", "Cut"):
        ada.task(title)
    page = log_in(desk)
    told = page.get_by_role("status")
    told.filter(has_text=re.compile("^3 tasks$")).wait_for(state="attached")
    page.keyboard.press("/")
    page.keyboard.type("measure")
    page.keyboard.press("Enter")
    told.filter(has_text=re.compile("^2 tasks$")).wait_for(state="attached")
    # A message is announced if the place that it comes into is watched before.
    place = page.locator("[aria-live=polite]#toasts")
    place.wait_for(state="attached")
    row(page, "Measure twice").focus()
    page.keyboard.press("d")
    expect(place).to_contain_text("Completed")


@sqlite_only
def test_marks_stay_if_nothing_may_be_deleted(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(bob, ada, "member")
    for title in ("One", "Two"):
        bob.task(title, project_id=project)
    page = log_in(desk, f"/app?project={project}")
    live(page)
    row(page, "One").focus()
    page.keyboard.press("*")
    page.keyboard.press("Delete")
    page.locator("#status", has_text="Only its owner").wait_for()
    expect(page.locator(".bulk")).to_contain_text("2 tasks")


@sqlite_only
@pytest.mark.parametrize(
    ("width", "height"), [(640, 360), (320, 480)], ids=["letters of 200%", "a small phone"]
)
def test_open_filters_leave_the_tasks_some_room(
    api: Api, desk: BrowserPage, *, width: int, height: int
) -> None:
    ada = api.person()
    for number in range(30):
        ada.task(f"Step {number}")
    page = desk.page
    page.set_viewport_size({"width": width, "height": height})
    log_in(desk)
    row(page, "Step 29").wait_for()
    page.get_by_role("button", name="Filter", exact=True).click()
    page.locator(".row.active").focus()
    page.keyboard.press("x")
    for _ in range(6):
        page.keyboard.press("ArrowDown")
    # The row with the focus is in sight, and the bar of marked tasks does not lie over it.
    focused = page.locator(".row:focus")
    box = focused.bounding_box()
    assert box
    assert page.evaluate(
        "([x, y]) => document.elementFromPoint(x, y).closest('.row') === document.activeElement",
        [box["x"] + 5, box["y"] + box["height"] - 5],
    )
    assert page.evaluate("document.querySelector('div.list').clientHeight") > 150
    page.locator(".bulk").get_by_role("button", name="Delete").click()
    page.locator(".toast", has_text="Deleted").wait_for()


@sqlite_only
def test_buttons_of_the_same_name_say_what_they_are_about(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(bob, ada, "member")
    names = ["nightly import", "weekly report"]
    for name in names:
        ada.post("/auth/tokens", json={"name": name, "scopes": ["tasks:read"]})
        ada.post("/webhooks", json={"url": f"https://example.com/{name.split()[0]}", "types": ["task.*"]})
    ada.task("Measure", status="completed")
    bob.task("Cut", project_id=project, user_id=ada.id)

    def descriptions(place: str, button: str) -> list[str]:
        buttons = page.locator(place).get_by_role("button", name=button, exact=True)
        buttons.first.wait_for()
        about = """(each) => each.getAttribute('aria-describedby').split(' ')
          .map((id) => document.getElementById(id).textContent).join(' ')"""
        return [each.evaluate(about) for each in buttons.all()]

    page = log_in(desk, "/app?page=settings")
    assert sorted(descriptions("#content", "Revoke")) == names
    assert sorted(descriptions(".hooks", "Ping")) == [
        "https://example.com/nightly",
        "https://example.com/weekly",
    ]
    # Entries that begin alike are told apart by their times too.
    ada.post("/calendars", json={"tz": "UTC"})
    ada.post("/calendars", json={"tz": "UTC"})
    page.reload()
    calendars = page.locator("section", has=page.get_by_role("heading", name="Calendars"))
    calendars.get_by_role("button", name="Delete").nth(1).wait_for()
    assert all(re.fullmatch("All of mine .+", each) for each in descriptions("section", "Delete")[-2:])
    page.goto(f"{desk.base_url}/app?page=notifications")
    assert any("Cut" in each for each in descriptions(".told", "Read"))
    page.goto(f"{desk.base_url}/dashboard")
    page.locator("main[data-ready]").wait_for()
    assert descriptions("#throughput", "CSV") == ["Throughput"]
    assert descriptions("#cycle-times", "CSV") == ["Cycle time"]


@sqlite_only
def test_the_fields_of_each_state_have_names_of_their_own(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    page = log_in(desk, f"/app?page=project&project={project}")
    add = page.get_by_role("button", name="Add a state")
    add.click()
    add.click()
    states = page.locator("ol.states").last

    def names() -> list[str]:
        return [
            str(each.get_attribute("aria-label")) for each in states.locator("input, select, button").all()
        ]

    assert len(names()) == len(set(names())) == 5 * 8
    page.get_by_label("Name of state 4").fill("In review")
    expect(page.get_by_label("Waiting: In review")).not_to_be_checked()
    page.get_by_role("button", name="In review earlier").click()
    expect(page.get_by_label("Name of state 3")).to_have_value("In review")
    page.get_by_role("button", name="Take In review out").click()
    assert len(names()) == len(set(names())) == 4 * 8
    assert_accessible(page)


@sqlite_only
def test_keys_do_not_reach_what_lies_below_an_open_task(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("First")
    page = log_in(desk)
    # A wide page at 200% is as narrow.
    page.set_viewport_size({"width": 640, "height": 450})
    row(page, "First").get_by_role("link").press("Enter")
    expect(page.locator("#panel").get_by_role("heading", name="First")).to_be_focused()
    for _ in range(40):
        page.keyboard.press("Tab")
        assert not page.evaluate("document.getElementById('content').contains(document.activeElement)")
    page.locator("#panel").get_by_role("button", name="Close").focus()
    page.keyboard.press("Enter")
    expect(row(page, "First")).to_be_focused()


@sqlite_only
def test_the_tab_key_brings_a_column_of_a_narrow_board_into_sight(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    for state in ("pending", "in_progress", "completed"):
        ada.task(f"Step {state}", project_id=project, state=state)
    page = log_in(desk)
    page.set_viewport_size(PHONE)
    page.goto(f"{desk.base_url}/app?project={project}&layout=board")
    page.locator("#count", has_text=re.compile("^3$")).wait_for()
    page.locator(".task", has_text="Step pending").focus()
    for state in ("in_progress", "completed"):
        page.keyboard.press("Tab")
        while not page.evaluate("document.activeElement.matches('.task')"):
            page.keyboard.press("Tab")
        card = page.locator(".task", has_text=f"Step {state}")
        expect(card).to_be_focused()
        expect(card).to_be_in_viewport(ratio=0.99)


@sqlite_only
def test_two_versions_with_long_words_fit_on_a_phone(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk, "/app?task=1")
    page.set_viewport_size(PHONE)
    live(page)
    text = page.locator("#panel").get_by_label("Description")
    text.fill("https://example.com/" + "heat-" * 30)
    ada.patch("/tasks/1", json={"description": "https://example.com/" + "mass-" * 30})
    page.locator("#status", has_text="Somebody else").wait_for()
    text.blur()
    dialog = page.get_by_role("dialog", name="Somebody else was first")
    dialog.wait_for()
    assert dialog.evaluate("(each) => each.scrollWidth <= each.clientWidth")
    assert dialog.locator("table").evaluate("(each) => each.offsetWidth <= each.parentNode.offsetWidth")


@sqlite_only
def test_a_view_says_who_gets_it_before_it_is_saved_and_a_viewer_saves_none(
    api: Api, desk: BrowserPage
) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    page = log_in(desk)
    dialog = page.get_by_role("dialog", name="Save as a view")
    for path, said in (
        ("", "Only you get it."),
        (f"?project={project}", "All members of Research get it too."),
    ):
        page.goto(f"{desk.base_url}/app{path}")
        page.get_by_role("button", name="Filter", exact=True).click()
        page.get_by_role("button", name="Save as a view").click()
        expect(dialog.get_by_text(said)).to_be_visible()
        dialog.get_by_label("Name").fill("All of them")
        page.keyboard.press("Enter")
        expect(dialog).to_have_count(0)
    assert [each["project_id"] for each in ada.get("/views").json()] == [project, None]
    assert [each["project_id"] for each in bob.get("/views").json()] == [project]
    page.goto(f"{desk.base_url}/app?project={shared(bob, ada, 'viewer')}")
    page.get_by_role("button", name="Filter", exact=True).click()
    expect(page.get_by_role("button", name="Clear")).to_be_visible()
    expect(page.get_by_role("button", name="Save as a view")).to_have_count(0)


@sqlite_only
def test_messages_about_a_long_title_leave_the_page_in_sight(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    page.set_viewport_size(PHONE)
    live(page)
    status = page.locator("#status")
    page.get_by_label("Add a task").fill("Measure " + "twice and " * 45)
    page.keyboard.press("Enter")
    expect(status).to_contain_text("Added")
    assert len(status.inner_text()) < 80
    row(page, "Measure").get_by_role("link").click()
    page.locator("#panel h2").wait_for()
    ada.delete("/tasks/1")
    expect(status).to_contain_text("deleted")
    assert len(status.inner_text()) < 80
    ada.task("Measure " + "thrice and " * 40)
    row(page, "thrice").press("e")
    ada.delete("/tasks/2")
    expect(status).to_contain_text("thrice")
    assert len(status.inner_text()) < 80
