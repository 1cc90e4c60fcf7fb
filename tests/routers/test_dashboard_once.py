"""The dashboard on a slow network: a task is made once, a question stays, and nothing of another account is offered."""

import pytest
from playwright.sync_api import expect

from tests.routers.test_app import desk
from tests.routers.test_dashboard import log_in, sqlite_only
from tests.support.api import PASSWORD, Api
from tests.support.chromium import BrowserPage
from tests.support.holding import hold

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


@sqlite_only
def test_the_first_task_is_made_once(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = desk.page
    log_in(desk)
    tasks = hold(page, "/tasks$", "POST")
    page.get_by_label("What is to be done?").fill("Write the report")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    tasks.wait()
    page.wait_for_timeout(300)
    tasks.let_go()
    page.locator("#aging canvas").wait_for()
    assert len(ada.get("/tasks").json()) == 1


@sqlite_only
def test_a_question_that_is_being_typed_stays(api: Api, desk: BrowserPage) -> None:
    api.person().task()
    page = desk.page
    log_in(desk)
    page.locator("main[data-ready]").wait_for()
    flow = hold(page, "/analytics/flow")
    page.get_by_role("button", name="7 days").click()
    flow.wait()
    number = page.get_by_label("Tasks to be done")
    number.click()
    page.keyboard.type("5")
    flow.let_go()
    page.locator("main[data-ready]").wait_for()
    expect(number).to_have_value("5")


@sqlite_only
def test_the_tags_of_another_account_are_not_offered(api: Api, desk: BrowserPage) -> None:
    api.person().task(tags=["secret"])
    api.person("bob").task(tags=["open"])
    page = desk.page
    log_in(desk)
    field = page.get_by_role("combobox", name="Filter", exact=True)
    field.fill("tag = ")
    page.get_by_role("option", name="secret").wait_for()
    page.get_by_role("button", name="Log out").click()
    page.get_by_label("Username or email").fill("bob")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.keyboard.press("Enter")
    field.fill("tag = ")
    page.get_by_role("option", name="open").wait_for()
    expect(page.get_by_role("option", name="secret")).to_have_count(0)


@sqlite_only
def test_an_error_of_a_former_filter_leaves_the_typed_one_alone(api: Api, desk: BrowserPage) -> None:
    api.person().task(tags=["open"])
    page = desk.page
    log_in(desk)
    page.locator("main[data-ready]").wait_for()
    flow = hold(page, "/analytics/(flow|aging)")
    field = page.get_by_role("combobox", name="Filter", exact=True)
    field.fill("nix = 1")
    page.keyboard.press("Enter")
    flow.wait()
    field.fill("tag = ")
    offered = page.get_by_role("option", name="open")
    offered.wait_for()
    flow.let_go()
    expect(page.locator(".asking .problem")).not_to_be_empty()
    page.wait_for_timeout(500)
    page.keyboard.type("o")
    expect(field).to_have_value("tag = o")
    expect(offered).to_be_visible()


@sqlite_only
def test_a_link_to_a_picture_is_made_once(api: Api, desk: BrowserPage) -> None:
    api.person().task()
    page = desk.page
    log_in(desk)
    page.locator("main[data-ready]").wait_for()
    pictures = hold(page, "/analytics/pictures$", "POST")
    button = page.locator("#aging").get_by_role("button", name="Link to the picture")
    for _ in range(2):
        button.evaluate("(each) => each.click()")
    pictures.wait()
    page.wait_for_timeout(300)
    pictures.let_go()
    page.get_by_label("Link to the picture").wait_for()
    assert len(pictures.routes) == 1

    # A chart that could not be loaded is dimmed until it is.
    flow, body = hold(page, "/analytics/cumulative-flow"), page.locator("#cumulative-flow .body")
    box = page.get_by_label("Leave out what was completed before")
    box.check()
    flow.wait()
    flow.refuse()
    expect(body).to_have_class("body stale")
    page.unroute_all()
    page.get_by_role("button", name="Retry").click()
    expect(body).to_have_class("body")


@sqlite_only
def test_a_late_answer_does_not_take_the_place_of_the_login(api: Api, desk: BrowserPage) -> None:
    api.person().task()
    page = desk.page
    log_in(desk)
    page.locator("#aging canvas").wait_for()
    me = hold(page, "/auth/me$")
    page.reload()
    me.wait()
    log_out = "new BroadcastChannel(`task-platform:${document.body.dataset.root}`).postMessage('out')"
    page.evaluate(log_out)
    page.get_by_label("Username or email").fill("bob")
    me.let_go()
    # Another tab may tell of the end later.
    page.evaluate(log_out)
    page.wait_for_timeout(500)
    expect(page.get_by_label("Username or email")).to_have_value("bob")
