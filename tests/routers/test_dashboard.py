"""The dashboard in a browser without internet: a real tracker's figures, no tasks, a phone, a keyboard."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from main import app
from routers.docs import STATIC
from routers.pages import PAGES_CSP
from tests.support.api import PASSWORD, Api, Person
from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page
from tests.support.serving import served
from tests.support.tracker import issues

pytestmark = pytest.mark.thorough

YEAR = "from=2017-08-01&to=2018-07-31&interval=month&tz=Europe/Berlin"
CHARTS = ("throughput", "cumulative-flow", "cycle-times", "aging", "forecast")


@pytest.fixture
def browser(client: TestClient) -> Iterator[BrowserPage]:
    with served(app) as base_url:
        try:
            with browser_page(base_url) as browser:
                yield browser
        except ChromiumUnavailable as error:
            pytest.skip(error.reason)


@pytest.fixture
def tracker(api: Api) -> Person:
    """Somebody who has imported the tracker's issues."""
    ada = api.person()
    assert ada.post("/tasks/import", json=issues()).status_code == 201
    return ada


def log_in(browser: BrowserPage, query: str = "") -> None:
    browser.open(f"/dashboard?{query}")
    # The first field has the focus, and Enter sends the form.
    browser.page.keyboard.type("ada")
    browser.page.keyboard.press("Tab")
    browser.page.keyboard.type(PASSWORD)
    browser.page.keyboard.press("Enter")


def wait_for_charts(browser: BrowserPage) -> None:
    for name in CHARTS:
        browser.page.locator(f"#{name} canvas").wait_for()
    browser.page.locator("main[data-ready]").wait_for()


def complaints(browser: BrowserPage) -> list[str]:
    """Errors on the console, except the one about a header that browsers accept with HTTPS only."""
    return [error for error in browser.console_errors if "Cross-Origin-Opener-Policy" not in error]


def assert_content_and_alone(browser: BrowserPage) -> None:
    assert browser.foreign_requests == []
    assert complaints(browser) == []


sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@sqlite_only
def test_the_figures_of_a_view_that_was_sent(tracker: Person, browser: BrowserPage, tmp_path: Path) -> None:
    page = browser.page
    log_in(browser, YEAR)
    wait_for_charts(browser)
    asked = tracker.get(f"/analytics/flow?{YEAR.replace('interval=month&', '')}").json()["current"]
    assert page.locator(".tile strong").first.text_content() == str(asked["throughput"])

    # Every chart has a table, and a summary for people who can't see it.
    for name in CHARTS:
        page.locator(f"#{name} summary", has_text="Table").click()
        # The table is made when it is opened, a moment after the click.
        page.locator(f"#{name} tbody tr").nth(3).wait_for()
        assert page.locator(f"#{name} [role=img]").get_attribute("aria-label")

    # A filter goes into the address, and back.
    # A label has another name than a shared project, here as in /app.
    page.get_by_label("Project label").select_option("docs")
    page.locator(".period", has_text=", label docs").wait_for()
    page.wait_for_url("**project=docs**")
    wait_for_charts(browser)
    assert page.locator("[name=from]").input_value() == "2017-08-01"
    page.go_back()
    wait_for_charts(browser)
    assert page.locator("[name=project]").input_value() == ""

    # A person may look at the screenshots: SCREENSHOTS names a folder to keep them in.
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    for width in (1280, 390):
        for theme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=theme)
            wait_for_charts(browser)
            page.wait_for_timeout(50)  # The canvases are drawn in the next frame.
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            browser.screenshot(folder / f"dashboard-{width}-{theme}.png")
    assert_content_and_alone(browser)


@sqlite_only
def test_an_empty_account_is_told_what_to_do_first(api: Api, browser: BrowserPage) -> None:
    api.person()
    page = browser.page
    log_in(browser)
    page.get_by_role("heading", name="There are no tasks yet").wait_for()
    page.get_by_label("What is to be done?").fill("Write the report")
    page.get_by_role("button", name="Add the first task").click()
    page.locator("#aging canvas").wait_for()
    page.get_by_text("Too little history for a forecast").wait_for()
    # The browser would write a refused call to the console.
    assert_content_and_alone(browser)

    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="Log in").wait_for()
    assert page.evaluate("[sessionStorage.length, JSON.stringify(localStorage).includes('ey')]") == [0, False]


@sqlite_only
def test_a_wrong_password_is_said_and_an_old_session_renewed(tracker: Person, browser: BrowserPage) -> None:
    page = browser.page
    browser.open("/dashboard")
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill("not this one")
    page.get_by_role("button", name="Log in").click()
    page.get_by_text("Invalid credentials").wait_for()
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    page.get_by_text("Nothing was completed in this period").wait_for()
    page.get_by_role("button", name="Show the year until").click()
    wait_for_charts(browser)
    page.reload()
    wait_for_charts(browser)


def test_the_page_and_all_it_loads_come_from_the_program() -> None:
    client, assets = TestClient(app, root_path="/behind/a/proxy"), [""]
    for path in ("/dashboard", "/dashboard/", "/app", "/app/"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-security-policy"] == PAGES_CSP
        assert 'data-root="/behind/a/proxy"' in page.text
        # Slow networks take seconds until the scripts are there.
        assert ">Loading<" in page.text
        addresses = re.findall(r'(?:src|href)="(/[^"]+)"', page.text)
        assets = [address for address in addresses if "/assets/" in address]
        assert len(assets) > 4
        for address in assets:
            assert address.startswith("/behind/a/proxy/assets/")
            asset = TestClient(app).get(address.removeprefix("/behind/a/proxy"))
            assert (asset.status_code, "immutable" in asset.headers["cache-control"]) == (200, True)
    assert (
        client.get(
            assets[0].removeprefix("/behind/a/proxy").rpartition("/")[0] + "/..%2fconfig.py"
        ).status_code
        == 404
    )


def test_policy_allows_nothing_inline() -> None:
    assert "unsafe" not in PAGES_CSP
    assert "script-src 'self';" in PAGES_CSP


def test_the_vendored_library_has_its_licence_beside_it() -> None:
    assert "Permission is hereby granted" in (STATIC / "uplot" / "LICENSE").read_text()
