"""The page of tasks: late answers, lost places and odd texts, as a person in a hurry meets them."""

import json
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.routers.test_app import desk, log_in, row, side
from tests.routers.test_app_beyond import until
from tests.routers.test_app_meanwhile import live, shared
from tests.routers.test_dashboard import sqlite_only
from tests.support.api import Api
from tests.support.chromium import BrowserPage
from tests.support.holding import hold

__all__ = ["desk"]
pytestmark = pytest.mark.thorough


def run(page: Page, module: str, script: str) -> Any:
    """Run a script on the names that a module of the page exports, as `it`."""
    load = f"import(document.querySelector('script[type=module]').src.replace('main.js', '{module}.js'))"
    return page.evaluate(f"{load}.then((it) => {script})")


@sqlite_only
def test_the_focus_stays_on_a_button_while_others_change_the_page(api: Api, desk: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    project = shared(ada, bob)
    page = log_in(desk, f"/app?page=project&project={project}")
    live(page)
    button = side(page).get_by_role("button", name="Log out")
    button.focus()
    bob.patch(f"/projects/{project}", json={"name": "Science"})
    side(page).get_by_role("link", name="Science").wait_for()
    expect(button).to_be_focused()

    # A role that is changed by keys keeps the focus, too.
    role = page.get_by_label("Role of bob")
    role.focus()
    page.keyboard.press("v")
    until(page, lambda: "viewer" in ada.get(f"/projects/{project}/members").text)
    page.get_by_label("Role of bob").and_(page.locator("select:focus")).wait_for()
    expect(role).to_have_value("viewer")


@sqlite_only
def test_a_marked_task_that_was_deleted_is_not_meant_by_keys(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    other, gone = ada.task("Other")["id"], ada.task("Gone")["id"]
    page = log_in(desk)
    row(page, "Gone").get_by_label("Mark: Gone").check()
    page.locator(".bulk").wait_for()
    row(page, "Gone").get_by_role("link", name="Gone").click()
    page.locator("#panel").get_by_role("button", name="Delete").first.click()
    expect(row(page, "Gone")).to_have_count(0)
    expect(page.locator(".bulk")).to_be_hidden()
    row(page, "Other").focus()
    page.keyboard.press("4")
    until(page, lambda: ada.get(f"/tasks/{other}").json()["priority"] == 4)
    assert ada.get(f"/tasks/{gone}").json()["priority"] == 0
    page.keyboard.press("z")


@sqlite_only
def test_a_late_refusal_replaces_no_newer_comments(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    task = ada.task("Measure")["id"]
    ada.post(f"/tasks/{task}/comments", json={"text": "In the old lab"})
    page = log_in(desk)
    live(page)
    held = hold(page, rf"/tasks/{task}/comments")
    row(page, "Measure").get_by_role("link", name="Measure").click()
    held.wait()
    held.is_open = True
    ada.post(f"/tasks/{task}/comments", json={"text": "Or in the new one"})
    comments = page.locator("#panel .comments")
    comments.get_by_text("Or in the new one").wait_for()
    with page.expect_response(lambda answer: answer.status == 503):
        held.refuse()
    page.wait_for_timeout(100)
    expect(comments).to_contain_text("Or in the new one")


@sqlite_only
def test_a_list_that_was_refused_for_now_can_be_asked_for_again(api: Api, desk: BrowserPage) -> None:
    api.person().task("Measure")
    refusal = {"status": 429, "json": {"detail": "Too many", "code": "busy"}}
    desk.page.route("**/tasks/1", lambda route: route.fulfill(**refusal))
    desk.page.route("**/tasks?*", lambda route: route.fulfill(**refusal))
    page = log_in(desk)
    page.locator("#filter-problem", has_text="Too many").wait_for()
    page.unroute("**/tasks?*")
    page.locator("#filter-problem").get_by_role("button", name="Retry").click()
    row(page, "Measure").get_by_role("link").click()
    panel = page.locator("#panel")
    panel.get_by_text("Too many").wait_for()
    page.unroute("**/tasks/1")
    panel.get_by_role("button", name="Retry").click()
    panel.get_by_role("heading", name="Measure").wait_for()


@sqlite_only
def test_texts_that_others_wrote_and_days_without_a_midnight_are_read(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    page = log_in(desk)
    # The clock is put forward at midnight on 6 September there.
    page.context.new_cdp_session(page).send(
        "Emulation.setTimezoneOverride", {"timezoneId": "America/Santiago"}
    )
    page.reload()
    live(page)
    assert run(page, "words", "it.moment('2026-09-06 14:00').toISOString()") == "2026-09-06T17:00:00.000Z"
    assert run(page, "words", "it.moment('2026-02-30T14:00:00')") is None
    assert run(page, "words", "it.dueText(it.moment('2026-09-06').toISOString())") == "2026-09-06"
    clock = "new Date(2026, 8, 6, 12)"
    assert run(page, "words", f"it.due(it.moment('today', {clock}).toISOString(), {clock})") == "Today"
    assert run(page, "words", f"it.dueText(it.moment('today+1d', {clock}).toISOString())") == "2026-09-07"
    overdue = f"it.isOverdue({{due_at: it.moment('today', {clock}).toISOString()}}, {clock})"
    assert run(page, "words", overdue) is False

    # A title is cut between two letters, never within one.
    source = "{rows: [['a'.repeat(499) + '🙂🙂', '🙂'.repeat(51)]], columns: ['Title', 'Tags']}"
    (task,) = run(page, "mapping", f"it.tasksFrom({source}, ['title', 'tags']).tasks")
    assert (task["title"], task["tags"]) == ("a" * 499 + "🙂", ["🙂" * 50])

    # A tag stays whole, whatever signs it has: in its field, and in a file.
    tags = ["a, b", "#1", '5" disk', '"c"', "d;e", "plain"]
    in_csv = json.dumps(tags).replace('"', '""')
    for text in (json.dumps([{"title": "Measure", "tags": tags}]), f'title,tags\nMeasure,"{in_csv}"\n'):
        source = run(page, "formats", f"it.readFile('tasks', {json.dumps(text)})")
        (task,) = run(page, "mapping", f"it.tasksFrom({json.dumps(source)}, {source['meaning']}).tasks")
        assert task["tags"] == tags
    task_id = ada.task("Measure", tags=tags)["id"]

    # A name that never ends holds up nobody who reads it.
    for _ in range(8):
        ada.post(f"/tasks/{task_id}/comments", json={"text": "@a" + "-" * 9990})
    page.evaluate(
        "() => { window.held = 0; let last = performance.now();"
        " setInterval(() => { const at = performance.now(); held = Math.max(held, at - last); last = at; }, 5); }"
    )
    row(page, "Measure").get_by_role("link", name="Measure").click()
    expect(page.locator("#panel .said")).to_have_count(8)
    page.wait_for_timeout(50)
    assert page.evaluate("held") < 1000
    field = page.locator("#panel").get_by_label("Tags")
    field.press("End")
    page.keyboard.type(', #new, "not, closed')
    field.blur()
    until(
        page,
        lambda: ada.get(f"/tasks/{task_id}").json()["tags"] == [*tags, "new", '"not', "closed"],
    )


@sqlite_only
def test_the_pages_do_without_a_store(api: Api, desk: BrowserPage) -> None:
    api.person()
    page = desk.page
    page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, {get() { throw new DOMException('Denied', 'SecurityError'); }})"
    )
    log_in(desk)
    side(page).get_by_role("button", name="Use dark colours").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    desk.open("/docs")
    page.get_by_text("/tasks/search").first.wait_for()


@sqlite_only
def test_long_words_stay_within_a_narrow_page(api: Api, desk: BrowserPage) -> None:
    ada, long = api.person(), api.person("a" * 50)
    project = shared(ada, long)
    ada.patch(f"/projects/{project}", json={"name": "W" * 100, "description": "W" * 200 + "\n- here"})
    task = ada.task("W" * 100, project_id=project)["id"]
    long.post(f"/tasks/{task}/comments", json={"text": "W" * 200})
    page = desk.page
    page.set_viewport_size({"width": 320, "height": 700})
    log_in(desk, f"/app?project={project}")

    def fits(place: str) -> bool:
        return bool(page.locator(place).evaluate("(place) => place.scrollWidth <= place.clientWidth"))

    row(page, "W").focus()
    for key in ("a", "m", "?"):
        page.keyboard.press(key)
        page.get_by_role("dialog").wait_for()
        assert fits("dialog"), key
        page.keyboard.press("Escape")
    page.keyboard.press("3")
    undo = page.get_by_role("button", name="Undo").bounding_box()
    assert undo
    assert undo["x"] + undo["width"] <= 320
    page.goto(f"{desk.base_url}/app?project={project}&task={task}")
    page.locator(".comments .said").wait_for()
    assert fits("#panel")
    page.goto(f"{desk.base_url}/app?page=project&project={project}")
    about = page.locator(".page > .said")
    expect(about).to_contain_text("W\n- here")
    assert fits(".page > .said")
    desk.open(f"/dashboard?project_id={project}")
    page.locator(".period").wait_for()
    assert fits("html")


@sqlite_only
def test_addresses_lead_to_what_they_name_or_say_what_is_missing(api: Api, desk: BrowserPage) -> None:
    ada = api.person()
    ada.task("Measure", priority=3)
    view = ada.post("/views", json={"name": "Urgent", "filter": "priority >= 3"}).json()["id"]
    page = log_in(desk)
    row(page, "Measure").wait_for()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{desk.base_url}/app?view={view}")
    page.get_by_role("heading", name="Urgent").wait_for()
    row(page, "Measure").wait_for()
    page.locator("#side").get_by_role("link", name="Urgent").wait_for()
    assert len([url for url in asked if "/tasks?" in url]) == 1
    # A mistyped group is none, and a mistyped task is not there.
    page.goto(f"{desk.base_url}/app?group=constructor&task=1.")
    row(page, "Measure").wait_for()
    page.get_by_text("This task is not there").wait_for()
