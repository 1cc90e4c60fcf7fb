"""The pages that links in mails lead to."""

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from config import settings
from database import database
from main import app
from routers.pages import PAGES_CSP
from services.accounts import account as account_service
from tests.routers.test_app import assert_accessible
from tests.support.api import Api
from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page
from tests.support.serving import served

pytestmark = pytest.mark.one_database


@pytest.fixture
def browser(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[BrowserPage]:
    try:
        with served(app) as url, browser_page(url) as page:
            monkeypatch.setattr(settings, "public_url", page.base_url)
            yield page
    except ChromiumUnavailable as unavailable:
        pytest.skip(str(unavailable))


def test_the_pages_load_nothing_from_elsewhere(client: TestClient) -> None:
    for path in ("/reset-password", "/verify-email"):
        answer = client.get(path)
        assert answer.status_code == 200
        assert answer.headers["content-security-policy"] == PAGES_CSP
        assert "//" not in answer.text


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("path", ["/reset-password", "/verify-email"])
def test_the_pages_have_the_colours_that_were_chosen(browser: BrowserPage, path: str) -> None:
    page = browser.page
    browser.open("/app")
    page.get_by_label("Username or email").wait_for()
    page.evaluate("localStorage.setItem('task-platform-theme', 'dark')")
    colours = "[...document.querySelectorAll('body, .login, button.main')].map((each) => getComputedStyle(each).background)"
    browser.open("/app")
    page.get_by_label("Username or email").wait_for()
    chosen = page.evaluate(colours)
    browser.open(path)
    page.wait_for_timeout(300)
    assert page.evaluate(colours) == chosen
    assert len(chosen) == 3
    assert_accessible(page)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_link_resets_the_password_in_a_browser(api: Api, browser: BrowserPage) -> None:
    api.person()
    link = database.write(lambda db: account_service.link_for_operator(db, "ada"))
    page = browser.page
    page.goto(link)
    # The link is still good after a page that has lost it.
    page.reload()
    page.get_by_text("Open the link in the mail again").wait_for()
    assert page.get_by_role("button").is_disabled()
    page.goto("about:blank")
    page.goto(link)
    page.get_by_label("New password").fill("another long battery")
    page.get_by_role("button").click()
    page.get_by_text("Password changed: log in with the new one").wait_for()
    assert "token" not in page.url
    assert api.log_in("ada", "another long battery")
    page.get_by_role("link", name="To the tasks").click()
    page.get_by_label("Username or email").wait_for()
    assert not browser.foreign_requests
    assert not browser.console_errors
