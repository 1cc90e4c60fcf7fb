"""The page of tasks: what is left of one account is neither shown nor sent once another one has logged in."""

import re

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, Route, expect

from tests.routers.test_app import desk, log_in, row
from tests.routers.test_app_beyond import until
from tests.routers.test_app_meanwhile import shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage
from tests.support.holding import answer_to, hold

__all__ = ["desk"]
pytestmark = pytest.mark.thorough

# The session of the browser becomes that of another account, as the login of a second tab does it.
LOG_IN = """async ([username, password]) => {
    const body = JSON.stringify({ username, password, remember: false });
    await fetch("/auth/page/login", { method: "POST", headers: { "Content-Type": "application/json" }, body });
}"""
TELL = "new BroadcastChannel(`task-platform:${document.body.dataset.root}`).postMessage('in')"


def second_tab_of_bob(desk: BrowserPage) -> Page:
    other = desk.page.context.new_page()
    other.route(re.compile("/auth/page/token"), lambda route: route.abort())
    other.goto(f"{desk.base_url}/app")
    other.evaluate(LOG_IN, ["bob", PASSWORD])
    return other


@sqlite_only
def test_a_deletion_is_not_sent_by_another_account(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    ada.task("Measure", project_id=project)
    page = log_in(desk, f"/app?project={project}")
    page.get_by_label("Add a task").fill("A line of ada's")
    # Nobody is asked whether the page of the former account may go.
    asked: list[str] = []
    page.on("dialog", lambda dialog: asked.append(dialog.type))
    row(page, "Measure").focus()
    page.keyboard.press("Delete")
    page.locator(".toast", has_text="Deleted").wait_for()
    second_tab_of_bob(desk).evaluate(TELL)
    page.locator("#side .me", has_text="bob").wait_for()
    row(page, "Measure").wait_for()
    expect(page.get_by_label("Add a task")).to_have_value("")
    page.wait_for_timeout(300)
    assert asked == []
    assert [each["kind"] for each in ada.get("/tasks/1/history").json()] == ["created"]


@sqlite_only
def test_a_page_from_the_browsers_cache_becomes_that_of_who_is_logged_in(api: Api, desk: BrowserPage) -> None:
    ada, _ = api.person(), api.person("bob")
    ada.task("Measure")
    page = log_in(desk)
    row(page, "Measure").wait_for()
    second_tab_of_bob(desk)
    page.evaluate("dispatchEvent(new PageTransitionEvent('pageshow', { persisted: true }))")
    page.locator("#side .me", has_text="bob").wait_for()
    expect(row(page, "Measure")).to_have_count(0)


@sqlite_only
def test_a_change_on_its_way_is_not_sent_again_by_another_account(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    ada.task("Measure", project_id=project)
    page = log_in(desk, f"/app?project={project}")
    row(page, "Measure").focus()
    change = hold(page, "/tasks/1$", "PATCH")
    page.keyboard.press("3")
    change.wait()
    second_tab_of_bob(desk)
    # The token has expired when the change arrives.
    change.refuse(401, "Invalid token")
    page.locator("#side .me", has_text="bob").wait_for()
    page.wait_for_timeout(300)
    assert ada.get("/tasks/1").json()["priority"] == 0


@sqlite_only
def test_a_late_answer_does_not_end_the_session_of_the_next_login(api: Api, desk: BrowserPage) -> None:
    """The same account logs in again in another tab, and what is typed meanwhile stays."""
    ada = api.person()
    ada.task("Measure")
    page = log_in(desk)
    page.get_by_label("Add a task").fill("A line of ada's")
    tasks = hold(page, "/tasks/1$")
    row(page, "Measure").get_by_role("link").click()
    tasks.wait()
    other = page.context.new_page()
    other.goto(f"{desk.base_url}/app")
    other.get_by_role("button", name="Log out").click()
    page.get_by_text("You were logged out in another tab.").wait_for()
    name = page.get_by_label("Username or email")
    name.fill("ada")
    # The answer to the former session is refused while somebody types.
    tasks.refuse(401, "Invalid token")
    page.wait_for_timeout(300)
    expect(name).to_have_value("ada")
    log_in(desk, page=other)
    page.locator("#side .me", has_text="ada").wait_for()
    expect(page.get_by_label("Add a task")).to_have_value("A line of ada's")
    until(page, lambda: page.locator("#panel h2").inner_text() == "Measure")


def register(page: Page, username: str, password: str) -> None:
    page.get_by_role("button", name="Make an account").click()
    page.get_by_label("Username").fill(username)
    page.get_by_label("Email").fill(f"{username}@example.com")
    page.get_by_label(re.compile("^Password")).fill(password)
    page.keyboard.press("Enter")


@sqlite_only
@pytest.mark.parametrize("path", ["/auth/register", "/auth/page/login"])
def test_registering_again_after_an_answer_was_lost_logs_in(
    client: TestClient, desk: BrowserPage, path: str
) -> None:
    page = desk.page
    desk.open("/app")

    def lose(route: Route) -> None:
        assert answer_to(route.request).status_code == 200
        route.abort()

    page.route(re.compile(path), lose, times=1)
    register(page, "grace", PASSWORD)
    page.get_by_text("The server can't be reached.").wait_for()
    page.get_by_role("button", name="Make the account").click()
    page.locator("#side .me", has_text="grace").wait_for()


@sqlite_only
def test_registering_again_logs_nobody_in_with_another_password(api: Api, desk: BrowserPage) -> None:
    api.person("grace")
    page = desk.page
    desk.open("/app")
    logins: list[str] = []

    def note(route: Route) -> None:
        logins.append(route.request.method)
        route.continue_()

    page.route(re.compile("/auth/page/login"), note)
    page.route(re.compile("/auth/register"), lambda route: route.abort(), times=1)
    register(page, "grace", "another password than hers")
    page.get_by_text("The server can't be reached.").wait_for()
    button = page.get_by_role("button", name="Make the account")
    button.click()
    page.get_by_text("Username already registered").wait_for()
    assert logins == ["POST"]
    # A name that is known to be taken is not tried as a login.
    page.get_by_label(re.compile("^Password")).fill(PASSWORD)
    button.click()
    page.get_by_text("Username already registered").wait_for()
    expect(button).to_be_enabled()
    assert logins == ["POST"]
