"""The page of tasks: two managers of a project do not overwrite each other's changes."""

import pytest
from playwright.sync_api import Page, expect

from tests.routers.test_app import desk, log_in
from tests.routers.test_app_meanwhile import live, shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def limited(person: Person, project: int, **limits: int) -> None:
    """Set the limits of states by their keys."""
    states = person.get(f"/projects/{project}").json()["states"]
    for each in states:
        each["wip_limit"] = limits.get(each["key"], each["wip_limit"])
    assert person.patch(f"/projects/{project}", json={"states": states}).status_code == 200


def save(page: Page, heading: str) -> None:
    section = page.locator("section.card", has=page.get_by_role("heading", name=heading, exact=True))
    section.get_by_role("button", name="Save").click()


@sqlite_only
def test_managers_are_asked_which_of_their_states_stay(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    page = log_in(desk, f"/app?page=project&project={project}")
    live(page)
    limit = page.get_by_label("Limit of To do", exact=True)
    asked = page.get_by_role("dialog", name="Somebody else was first")

    def limits() -> list[int | None]:
        return [each["wip_limit"] for each in ada.get(f"/projects/{project}").json()["states"]]

    # Others have changed other fields: both changes stay, and nobody is asked.
    limit.fill("3")
    bob.patch(f"/projects/{project}", json={"description": "About heat"})
    page.locator("#status", has_text="Somebody else has just changed this project").wait_for()
    save(page, "States")
    page.locator("#status", has_text="Saved").wait_for()
    assert limits() == [3, None, None]

    limit.fill("4")
    limited(bob, project, in_progress=2)
    page.locator("#status", has_text="Somebody else has just changed this project").wait_for()
    save(page, "States")
    expect(asked.get_by_role("row", name="States")).to_contain_text("In progress (in progress, at most 2)")
    page.keyboard.press("Escape")
    page.locator("#status", has_text="choose which version stays").wait_for()
    expect(limit).to_have_value("4")
    assert limits() == [3, 2, None]
    save(page, "States")
    asked.get_by_role("button", name="Keep mine").click()
    page.locator("#status", has_text="Saved").wait_for()
    assert limits() == [4, None, None]

    limit.fill("5")
    limited(bob, project, in_progress=2)
    page.locator("#status", has_text="Somebody else has just changed this project").wait_for()
    save(page, "States")
    asked.get_by_role("button", name="Take theirs").click()
    expect(page.get_by_label("Limit of In progress", exact=True)).to_have_value("2")
    expect(limit).to_have_value("4")


@sqlite_only
def test_managers_are_asked_which_name_stays(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    page = log_in(desk, f"/app?page=project&project={project}")
    live(page)
    name = page.get_by_label("Name", exact=True).last
    name.fill("Science")
    bob.patch(f"/projects/{project}", json={"name": "Physics"})
    page.locator("#status", has_text="Somebody else has just changed this project").wait_for()
    save(page, "Project")
    page.get_by_role("dialog").get_by_role("button", name="Take theirs").click()
    expect(name).to_have_value("Physics")
    assert ada.get(f"/projects/{project}").json()["name"] == "Physics"
