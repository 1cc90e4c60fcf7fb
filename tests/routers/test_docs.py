"""The two pages of documentation, over HTTP and in a browser without internet."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from main import app as program
from routers.docs import DOCS_CSP, STATIC, add_docs_pages
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page
from tests.support.serving import served

pytestmark = pytest.mark.thorough

PAGES = ("/docs", "/redoc")


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI(title="Tasks & <more>", docs_url=None, redoc_url=None)
    bearer = OAuth2PasswordBearer(tokenUrl="auth/login")

    @app.post("/auth/login")
    def log_in(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, str]:
        if (form.username, form.password) != ("ada", "correct horse"):
            raise HTTPException(401)
        return {"access_token": "a-token", "token_type": "bearer", "refresh_token": "a-refresh-token"}

    @app.get("/auth/me")
    def read_me(token: Annotated[str, Depends(bearer)]) -> dict[str, str]:
        return {"username": "ada who has " + token}

    add_docs_pages(app)
    return app


@pytest.fixture
def client(app: FastAPI) -> TestClient:
    return TestClient(app, follow_redirects=False)


def loaded_by(html: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"]+)"', html)


@pytest.mark.parametrize("path", [*PAGES, *(page + "/" for page in PAGES)])
def test_page_and_all_it_loads_come_from_the_program(client: TestClient, path: str) -> None:
    page = client.get(path)
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["content-security-policy"] == DOCS_CSP
    assert not re.search(r"(https?:)?//", page.text)
    assert "Tasks &amp; &lt;more&gt;" in page.text
    assert len(loaded_by(page.text)) >= 4
    for address in loaded_by(page.text):
        asset = client.get(address)
        assert asset.status_code == 200
        assert "immutable" in asset.headers["cache-control"]
        kind = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "png": "image/png"}
        assert asset.headers["content-type"] == kind[address.rsplit(".", 1)[1]]


@pytest.mark.parametrize("page", PAGES)
def test_addresses_lie_below_the_root_path(app: FastAPI, page: str) -> None:
    client = TestClient(app, root_path="/behind/a/proxy")
    html = client.get(page).text
    assert 'data-openapi-url="/behind/a/proxy/openapi.json"' in html
    assert all(address.startswith("/behind/a/proxy/docs/assets/") for address in loaded_by(html))


def test_an_asset_that_is_not_there_is_404(client: TestClient) -> None:
    favicon = loaded_by(client.get("/docs").text)[0]
    assert client.get(favicon.replace("favicon.png", "other.png")).status_code == 404
    assert client.get(favicon.replace("favicon.png", "..%2f..%2fconfig.py")).status_code == 404


def test_neither_page_is_in_the_openapi_document(client: TestClient) -> None:
    assert set(client.get("/openapi.json").json()["paths"]) == {"/auth/login", "/auth/me"}


def test_policy_allows_no_script_but_the_programs_own() -> None:
    assert "script-src 'self';" in DOCS_CSP
    assert "unsafe-eval" not in DOCS_CSP


def test_the_vendored_bundle_has_its_licence_beside_it() -> None:
    assert "Permission is hereby granted" in (STATIC / "redoc" / "LICENSE").read_text()


@pytest.fixture
def browser(app: FastAPI, request: pytest.FixtureRequest) -> Iterator[BrowserPage]:
    root: str = getattr(request, "param", "")
    app.root_path = root
    with served(app) as base_url:
        try:
            with browser_page(base_url) as browser:
                browser.base_url += root
                yield browser
        except ChromiumUnavailable as error:
            pytest.skip(error.reason)


def assert_content_and_alone(browser: BrowserPage) -> None:
    assert browser.foreign_requests == []
    assert browser.console_errors == []


@pytest.mark.parametrize("browser", ["/behind/a/proxy"], indirect=True)
def test_docs_below_a_path_logs_in_and_calls_in_a_browser(browser: BrowserPage, tmp_path: Path) -> None:
    page = browser.page
    browser.open("/docs")
    page.locator(".opblock").first.wait_for()
    assert page.locator(".opblock").count() == 2

    page.get_by_role("button", name="Authorize").click()
    # The program has no OAuth2 clients, so the form does not ask for any.
    form = page.locator(".auth-container")
    assert [each for each in form.locator("input, select").all() if each.is_visible()]
    for name in ("client_id", "client_secret", "Client credentials", "Scopes are used"):
        expect(form.get_by_text(name).first).to_be_hidden()
    page.locator("#oauth_username").fill("ada")
    page.locator("#oauth_password").fill("correct horse")
    page.get_by_label("Apply given OAuth2 credentials").click()
    page.get_by_text("Logout").wait_for()
    page.locator(".btn-done").click()

    # The page still has the token after reloading.
    browser.open("/docs")
    page.locator("#operations-default-read_me_auth_me_get").click()
    page.get_by_role("button", name="Execute").click()
    page.get_by_text("ada who has a-token").first.wait_for()
    browser.screenshot(tmp_path / "docs.png")
    kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
    assert "a-token" in kept
    assert "correct horse" not in kept
    assert "a-refresh-token" not in kept
    # Another tab of the same browser does not have the token.
    other = page.context.new_page()
    other.goto(f"{browser.base_url}/docs")
    assert other.evaluate("Object.keys(localStorage).length + Object.keys(sessionStorage).length") == 0
    other.close()
    page.locator(".auth-wrapper .authorize").first.click()
    page.get_by_text("Logout").first.click()
    assert page.evaluate("Object.keys(sessionStorage).length") == 0
    assert_content_and_alone(browser)


def test_both_pages_are_dark_where_the_system_is(browser: BrowserPage) -> None:
    page = browser.page
    brightness = """(selector) => {
        const colour = getComputedStyle(document.querySelector(selector)).backgroundColor;
        return Math.max(...colour.match(/[0-9]+/g).slice(0, 3).map(Number));
    }"""
    page.emulate_media(color_scheme="dark")
    for path, shown, ground in (("/docs", ".opblock", "html"), ("/redoc", "#docs h1", "body")):
        browser.open(path)
        page.locator(shown).first.wait_for()
        assert page.evaluate(brightness, ground) < 60, path
        assert browser.console_errors == []
    browser.open("/docs")
    page.locator(".opblock").first.wait_for()
    page.emulate_media(color_scheme="light")
    expect(page.locator("html")).not_to_have_class("dark-mode")
    browser.open("/redoc")
    page.locator("#docs h1").first.wait_for()
    # The choice of colours on another page holds here too.
    page.evaluate("localStorage.setItem('task-platform-theme', 'dark')")
    browser.open("/docs")
    expect(page.locator("html")).to_have_class("dark-mode")


def test_docs_says_so_when_the_password_is_wrong(browser: BrowserPage) -> None:
    page = browser.page
    browser.open("/docs")
    page.get_by_role("button", name="Authorize").click()
    page.locator("#oauth_username").fill("ada")
    page.locator("#oauth_password").fill("wrong")
    page.get_by_label("Apply given OAuth2 credentials").click()
    page.locator(".auth-container .errors").wait_for()
    assert browser.foreign_requests == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_task_is_created_through_the_programs_own_docs(database_url: str, tmp_path: Path) -> None:
    ada = Api(TestClient(program)).person()
    with served(program) as base_url:
        try:
            with browser_page(base_url) as browser:
                page = browser.page
                browser.open("/docs")
                page.locator(".auth-wrapper .authorize").click()
                page.locator("#oauth_username").fill("ada")
                page.locator("#oauth_password").fill(PASSWORD)
                page.get_by_label("Apply given OAuth2 credentials").click()
                page.get_by_text("Logout").first.wait_for()
                page.locator(".btn-done").first.click()

                operation = page.locator("#operations-tasks-create_task")
                operation.locator(".opblock-summary").click()
                operation.locator("textarea").first.fill('{"title": "Typed into the docs", "tags": ["ü"]}')
                operation.get_by_role("button", name="Execute").click()
                operation.locator(".responses-table.live-responses-table").get_by_text("201").wait_for()
                # The picture shows only the operation, because drawing the whole page takes as long as all the rest.
                operation.screenshot(path=tmp_path / "docs.png")
                assert_content_and_alone(browser)
                browser.open("/redoc")
                page.get_by_role("heading", name="Task Platform").first.wait_for()
                page.get_by_role("textbox").fill("throughput")
                page.locator("[data-role='search:results'] li").first.wait_for()
                assert_content_and_alone(browser)
        except ChromiumUnavailable as error:
            pytest.skip(error.reason)
    assert [task["title"] for task in ada.get("/tasks").json()] == ["Typed into the docs"]
