"""The page of tasks: the forms of the settings make a thing once, and keep what is typed."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.routers.test_app import desk, log_in
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage
from tests.support.holding import answer_to

__all__ = ["desk"]
pytestmark = pytest.mark.thorough

HOOK = "http://93.184.216.34:9/hook"


def lose_an_answer(page: Page, pattern: str) -> None:
    """Let the next POST arrive, and lose its answer."""
    answers: list[int] = []

    def lose(route: Route) -> None:
        if route.request.method != "POST" or answers:
            route.fallback()
            return
        answers.append(answer_to(route.request).status_code)
        assert answers == [201]
        route.abort()

    page.route(re.compile(pattern), lose)


@sqlite_only
def test_a_webhook_and_a_calendar_are_made_once_though_the_answer_was_lost(
    api: Api, desk: BrowserPage
) -> None:
    ada = api.person()
    page = log_in(desk, "/app?page=settings")
    hooks = page.locator("section", has_text="Standard Webhooks")
    hooks.get_by_text("New webhook").click()
    hooks.get_by_label("Address").fill(HOOK)
    lose_an_answer(page, "/webhooks$")
    hooks.get_by_role("button", name="Add a webhook").click()
    hooks.get_by_text("can't be reached").wait_for()
    hooks.get_by_role("button", name="Add a webhook").click()
    secret = hooks.get_by_label("The signing secret")
    expect(secret).to_have_value(re.compile("^whsec_"))
    assert len(ada.get("/webhooks").json()) == 1

    calendars = page.locator("section", has_text="Thunderbird")
    lose_an_answer(page, "/calendars$")
    calendars.get_by_role("button", name="Make an address").click()
    calendars.get_by_text("can't be reached").wait_for()
    calendars.get_by_role("button", name="Make an address").click()
    address = calendars.get_by_label("The address of the calendar").input_value()
    assert len(ada.get("/calendars").json()) == 1
    assert ada.get(re.sub("^http://[^/]+", "", address)).status_code == 200


@sqlite_only
def test_what_is_typed_in_the_settings_outlives_other_changes_there(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.post("/webhooks", json={"url": HOOK, "types": ["task.*"]})
    for name in ("old", "older"):
        ada.post("/auth/tokens", json={"name": name, "scopes": ["tasks:read"]})
    ada.post("/views", json={"name": "Urgent", "filter": "priority = 4"})
    page = log_in(desk, "/app?page=settings")
    hooks = page.locator("section", has_text="Standard Webhooks")
    tokens = page.locator("section", has_text="For scripts")
    hooks.get_by_text("New webhook").click()
    hooks.get_by_label("Address").fill("http://93.184.216.34:9/other")
    hooks.get_by_label("comment.*").check()
    tokens.get_by_text("New token").click()
    tokens.get_by_label("Name", exact=True).fill("new")

    hooks.get_by_role("button", name="Switch off").click()
    hooks.get_by_text("switched off").wait_for()
    tokens.get_by_role("row", name="older").get_by_role("button", name="Revoke").click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(tokens.get_by_role("row", name="older")).to_have_count(0)
    expect(hooks.get_by_label("Address")).to_have_value("http://93.184.216.34:9/other")
    expect(hooks.get_by_label("comment.*")).to_be_checked()
    expect(tokens.get_by_label("Name", exact=True)).to_have_value("new")
    page.get_by_label("Password now").fill(PASSWORD)
    page.get_by_label("New password").fill(f"{PASSWORD}-of-today")
    page.get_by_role("button", name="Change the password").click()
    expect(tokens.get_by_text("None yet.")).to_be_visible()
    expect(tokens.get_by_label("Name", exact=True)).to_have_value("new")

    # The form that was sent is empty and folded away again.
    tokens.get_by_role("button", name="Make a token").click()
    tokens.get_by_label('The token "new"').wait_for()
    expect(tokens.get_by_label("Name", exact=True)).to_be_hidden()
    tokens.get_by_text("New token").click()
    expect(tokens.get_by_label("Name", exact=True)).to_have_value("")
    expect(tokens.get_by_label("tasks:read")).to_be_checked()
    # The views are there, though the menu has come later than the settings.
    page.reload()
    page.get_by_label("Which tasks").locator("option", has_text="Urgent").wait_for(state="attached")

    # A mistake is said at its field.
    tokens.get_by_text("New token").click()
    tokens.get_by_label("Name", exact=True).fill("idle")
    tokens.get_by_label("tasks:read").uncheck()
    tokens.get_by_role("button", name="Make a token").click()
    tokens.get_by_text("Choose at least one").wait_for()
    api.person("bob")
    page.get_by_label("Username").fill("Bob")
    page.get_by_role("button", name="Rename", exact=True).click()
    expect(page.get_by_label("Username")).to_have_accessible_description("Username already registered")
    page.get_by_label("Password now").fill(PASSWORD)
    page.get_by_label("New password").fill(PASSWORD)
    page.get_by_role("button", name="Change the password").click()
    expect(page.get_by_label("Password now")).to_have_accessible_description("The password is wrong")


@sqlite_only
def test_the_next_member_has_the_usual_role_too(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    api.person("bob")
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    page = log_in(desk, f"/app?page=project&project={project}")
    name = page.get_by_label("Add somebody by username")
    name.fill("nobody")
    page.get_by_role("button", name="Add", exact=True).click()
    expect(name).to_have_accessible_description("User not found")
    name.fill("bob")
    page.get_by_label("Role", exact=True).select_option("manager")
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("#status", has_text="bob is in").wait_for()
    expect(page.get_by_label("Role", exact=True)).to_have_value("member")

    # Typed texts outlive the session.
    page.get_by_label("Add somebody by username").fill("grace")
    page.get_by_label("What it is for").fill("To find out")
    for session in ada.get("/auth/sessions").json():
        ada.delete(f"/auth/sessions/{session['id']}")
    page.get_by_role("button", name="Add", exact=True).click()
    page.get_by_text("Your session has ended").wait_for()
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("Add somebody by username")).to_have_value("grace")
    expect(page.get_by_label("What it is for")).to_have_value("To find out")
    api.person("grace")
    page.get_by_role("button", name="Add", exact=True).click()
    page.locator("#status", has_text="grace is in").wait_for()
    # Logging out drops what is typed.
    page.locator("#log-out").click()
    page.get_by_label("Username or email").fill("ada")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_label("What it is for")).to_have_value("")
