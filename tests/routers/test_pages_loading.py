"""The pages while they load and with thousands of tasks: nothing moves, and nothing is done in vain."""

import re
import time

import pytest
from playwright.sync_api import Route, expect

from tests.routers.test_app import DESK, PHONE, browser, desk
from tests.routers.test_app import log_in as log_in_at
from tests.routers.test_dashboard import YEAR, complaints, sqlite_only, tracker, wait_for_charts
from tests.support.api import Person
from tests.support.chromium import BrowserPage
from tests.support.tracker import issues

__all__ = ["browser", "desk", "tracker"]
pytestmark = pytest.mark.thorough

SHIFTS = """
window.shifts = [];
const note = (list) => list.getEntries().forEach((each) => each.hadRecentInput || shifts.push(each.value));
new PerformanceObserver(note).observe({ type: "layout-shift", buffered: true });
"""
# Counts the formats that are made, which take most of the time of a row with a date.
FORMATS = """
window.formats = 0;
Intl.DateTimeFormat = new Proxy(Intl.DateTimeFormat, {
  construct: (...given) => (window.formats++, Reflect.construct(...given)),
});
"""
# Counts how often the address is read.
READINGS = """
window.readings = 0;
window.URLSearchParams = new Proxy(URLSearchParams, {
  construct: (...given) => (window.readings++, Reflect.construct(...given)),
});
"""


def slowly(route: Route) -> None:
    time.sleep(0.3)
    route.fallback()


@sqlite_only
@pytest.mark.parametrize("path", ["/app", "/dashboard", f"/dashboard?{YEAR}"])
def test_nothing_moves_aside_while_a_page_loads(tracker: Person, browser: BrowserPage, path: str) -> None:
    page = log_in_at(browser)
    page.add_init_script(SHIFTS)
    page.goto(browser.base_url + path)
    page.locator("main[data-ready], .row").first.wait_for()
    page.locator("#log-out").wait_for(state="attached")
    page.wait_for_timeout(500)
    # A hundredth is the name of the account that comes into the header.
    assert page.evaluate("shifts.reduce((sum, each) => sum + each, 0)") < 0.01
    assert complaints(browser) == []


# Counts how often the styles of the page are computed for its programs.
STYLES = """
window.styles = 0;
window.getComputedStyle = new Proxy(getComputedStyle, {
  apply: (...given) => (window.styles++, Reflect.apply(...given)),
});
"""
SIX_YEARS = "from=2012-07-01&to=2018-07-31&interval=week&tz=UTC"

# The pages with something that comes late, and what comes last on them.
LATE = {
    "page=settings": "section:nth-of-type(5) button",
    "page=project&project=1": "section:nth-of-type(3) button",
    "page=notifications": "section:nth-of-type(2) select",
    "status=all&task=1": "#panel h2",
}


@sqlite_only
@pytest.mark.parametrize("query", LATE)
def test_what_comes_late_moves_nothing_aside(tracker: Person, browser: BrowserPage, query: str) -> None:
    tracker.post("/projects", json={"name": "Research"})
    page = log_in_at(browser)
    page.add_init_script(SHIFTS)
    # The beginning of each page comes last.
    page.route(re.compile("/(auth/sessions|projects/1/members|notifications\\?.*|tasks/1)$"), slowly)
    page.goto(f"{browser.base_url}/app?{query}")
    page.locator(LATE[query]).first.wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("shifts.reduce((sum, each) => sum + each, 0)") < 0.01
    assert complaints(browser) == []


@sqlite_only
def test_the_login_stands_in_the_middle_and_comes_without_moving(desk: BrowserPage) -> None:
    page = desk.page
    page.add_init_script(SHIFTS)
    for size in (DESK, PHONE):
        page.set_viewport_size(size)
        desk.open("/app")
        page.get_by_label("Username or email").wait_for()
        page.wait_for_timeout(300)
        assert page.evaluate("shifts.reduce((sum, each) => sum + each, 0)") < 0.01
        box = page.locator(".login").bounding_box()
        assert box
        assert abs(box["x"] + box["width"] / 2 - size["width"] / 2) < 1
        # The page has nothing to scroll to.
        assert page.evaluate("document.documentElement.scrollHeight") == size["height"]


@sqlite_only
def test_the_rows_of_a_table_are_made_when_it_is_opened(tracker: Person, desk: BrowserPage) -> None:
    page = log_in_at(desk)
    page.add_init_script(FORMATS)
    page.goto(f"{desk.base_url}/dashboard?{YEAR}")
    wait_for_charts(desk)
    # There are nine hundred completed tasks.
    assert page.evaluate("formats") < 100
    page.locator("#cycle-times summary", has_text="Table").click()
    page.locator("#cycle-times tbody tr").nth(400).wait_for()
    assert page.evaluate("formats") < 100


@sqlite_only
def test_other_colours_are_put_on_without_working_out_what_is_not_shown(
    tracker: Person, desk: BrowserPage
) -> None:
    page = log_in_at(desk)
    page.add_init_script(READINGS + STYLES)
    page.goto(f"{desk.base_url}/dashboard?{SIX_YEARS}")
    wait_for_charts(desk)
    page.evaluate("readings = styles = 0")
    page.get_by_role("button", name="Use dark colours").click()
    page.wait_for_timeout(100)
    # There are three hundred weeks, whose names are shown only beside the pointer, and twelve colours.
    assert page.evaluate("readings") < 10
    assert page.evaluate("styles") < 20
    page.locator("#throughput .u-over").hover()
    expect(page.locator("#throughput .u-legend")).to_contain_text("Week of")


@sqlite_only
def test_the_address_is_not_read_for_each_of_thousands_of_tasks(tracker: Person, desk: BrowserPage) -> None:
    desk.page.add_init_script(READINGS)
    page = log_in_at(desk, "/app?status=all")
    page.locator("#count", has_text=f"{len(issues()):,}").wait_for()
    page.locator(".row").first.focus()
    page.keyboard.press("*")
    page.keyboard.press("2")
    page.locator(".toast").wait_for()
    page.wait_for_timeout(1000)
    page.locator("[name=sort]").select_option("title asc")
    page.locator("#count", has_text=f"{len(issues()):,}").and_(page.locator(":not(:text('…'))")).wait_for()
    assert page.evaluate("readings") < len(issues())
