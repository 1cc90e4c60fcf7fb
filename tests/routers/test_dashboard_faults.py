"""Former faults of the dashboard: typing, bad filters, ended sessions, other tabs, paper."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import Page, expect

from main import app
from tests.routers.test_dashboard import log_in, sqlite_only, wait_for_charts
from tests.support.api import Api, Person
from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page
from tests.support.serving import served

pytestmark = pytest.mark.thorough

YEAR = "from=2017-08-01&to=2018-07-31&interval=month&tz=Europe/Berlin"
MANY = 5_200


@pytest.fixture
def browser(client: TestClient) -> Iterator[BrowserPage]:
    with served(app) as base_url:
        try:
            with browser_page(base_url) as browser:
                yield browser
        except ChromiumUnavailable as error:
            pytest.skip(error.reason)


def imported(ada: Person, rows: list[dict[str, Any]]) -> None:
    assert ada.post("/tasks/import", json=rows).status_code == 201


def done(number: int, at: datetime, hours: float) -> dict[str, Any]:
    return {
        "title": f"Task {number}",
        "status": "completed",
        "created_at": (at - timedelta(hours=hours)).isoformat(),
        "completed_at": at.isoformat(),
    }


@pytest.fixture
def ada(api: Api) -> Person:
    """Somebody with tasks of the two years before the summer of 2018, and three open ones."""
    ada = api.person()
    end = datetime(2018, 7, 30, 12, tzinfo=UTC)
    imported(ada, [done(number, end - timedelta(days=number), 30 + number % 50) for number in range(700)])
    for title in ("One", "Two", "Three"):
        ada.task(title)
    return ada


def session_storage(page: Page) -> Any:
    return page.evaluate("[JSON.stringify(sessionStorage), JSON.stringify(localStorage), document.cookie]")


def value_of(page: Page, name: str) -> str:
    return page.locator(f".filters [name={name}]").input_value()


def problem_of(page: Page, name: str) -> str:
    field = page.locator(f".filters .field:has([name={name}]) .problem")
    field.and_(page.locator(":not(:empty)")).wait_for()
    return field.text_content() or ""


def watch_drawing(page: Page) -> None:
    """Mark the drawn charts: a chart that is drawn again has no mark."""
    page.evaluate("document.querySelectorAll('canvas').forEach((each) => (each.dataset.old = '1'))")


def drawn_anew(page: Page) -> Any:
    return page.evaluate(
        "[...document.querySelectorAll('section.card:has(canvas:not([data-old]))')].map((each) => each.id)"
    )


@sqlite_only
def test_the_form_outlives_what_is_typed_into_it(ada: Person, browser: BrowserPage) -> None:
    page = browser.page
    log_in(browser, YEAR)
    wait_for_charts(browser)

    # A date is applied when it is whole and the field is left, so typing never loses the focus.
    watch_drawing(page)
    page.locator("[name=from]").focus()
    page.keyboard.type("09012017")
    assert page.evaluate("document.activeElement.name") == "from"
    assert drawn_anew(page) == []
    page.keyboard.press("Enter")
    page.wait_for_url("**from=2017-09-01**")
    wait_for_charts(browser)
    assert page.evaluate("document.activeElement.name") == "from"

    # A message stands beside its field, and the old figures stay, dimmed.
    before = page.locator(".tile strong").first.text_content()
    page.locator("[name=to]").fill("2017-01-01")
    page.keyboard.press("Enter")
    assert problem_of(page, "from") == "Should be before `to`"
    assert page.locator(".tiles-place.stale strong").first.text_content() == before
    page.get_by_role("button", name="A year").click()
    # The last year has too little history for a forecast, so not every chart is drawn.
    page.locator(".stale").first.wait_for(state="detached")
    assert problem_text(page) == ""

    # So does a message about a field that only some charts have.
    page.evaluate(
        "history.pushState(null, '', '?from=1990-01-01&to=2018-01-01&interval=day');"
        "dispatchEvent(new Event('popstate'))"
    )
    assert problem_of(page, "interval").startswith("Makes more than 4,000 intervals")
    assert page.locator(".card .problem button").count() == 0

    # The address may contain wrong values too.
    for query, name in (("priority=9", "priority"), ("tz=Mars/Base", "tz")):
        page.evaluate(f"history.pushState(null, '', '?{query}'); dispatchEvent(new Event('popstate'))")
        assert problem_of(page, name)
        assert value_of(page, name) == query.partition("=")[2]
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("button", name="Show the year until").click()
    wait_for_charts(browser)

    # If the server can't be reached, a message offers to try again, and the figures stay.
    page.route("**/analytics/**", lambda route: route.abort())
    page.locator("[name=interval]").select_option("")
    page.locator(".notice", has_text="The server can't be reached.").wait_for()
    assert page.locator(".stale strong").first.text_content() != "0"
    page.unroute("**/analytics/**")
    page.get_by_role("button", name="Retry").first.click()
    wait_for_charts(browser)
    assert page.locator(".notice").count() == 0


def problem_text(page: Page) -> str:
    return "".join(page.locator(".filters .problem").all_text_contents())


@sqlite_only
def test_the_figures_say_what_they_are_of(ada: Person, browser: BrowserPage) -> None:
    page = browser.page
    log_in(browser, YEAR.replace("interval=month", "interval="))
    wait_for_charts(browser)
    assert "Aug 1, 2017 to Jul 31, 2018" in (page.locator(".period").text_content() or "")
    assert "as of" in (page.locator(".period").text_content() or "")
    tiles = page.locator(".tile")
    assert tiles.nth(2).locator("dt").text_content() == "Cycle time, median"
    # The earlier tasks do not fill the whole period before, so no figure is compared.
    assert page.locator(".tile small").count() == 0
    page.get_by_role("button", name="30 days").click()
    wait_for_charts_of_the_present(page)
    assert page.locator(".tile small").first.text_content() == "as before"
    page.go_back()
    wait_for_charts(browser)

    # The legend names the interval, and says if it is cut.
    over = page.locator("#throughput .u-over")
    box = over.bounding_box()
    assert box
    page.mouse.move(box["x"] + 3, box["y"] + 50)
    label = page.locator("#throughput .u-legend .u-value").first
    assert label.text_content() == "Week of Jul 31 (part)"
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 50)
    assert (label.text_content() or "").startswith("Week of Jan ")

    # Each percentile is drawn in its own stroke, in the legend too.
    styles = page.evaluate(
        """[...document.querySelectorAll('#cycle-times .u-legend .u-marker')].slice(-3)
            .map((each) => getComputedStyle(each).borderTopStyle)"""
    )
    assert styles == ["dotted", "dashed", "solid"]
    assert "`" not in (page.locator("main").text_content() or "")
    assert "1 tasks" not in (page.locator("main").text_content() or "")

    # The name of a table is that of its chart, and its rows lead to tasks.
    page.locator("#cycle-times summary", has_text="Table").click()
    table = page.get_by_role("region", name="Table: Cycle time")
    assert "/app?task=" in (table.locator("a").first.get_attribute("href") or "")

    # Only the forecast is drawn again, and the page stays where it is.
    watch_drawing(page)
    page.locator("[name=remaining]").scroll_into_view_if_needed()
    at = page.evaluate("scrollY")
    page.locator("[name=remaining]").fill("40")
    page.keyboard.press("Enter")
    page.locator("#forecast .words", has_text="40 tasks are done by").wait_for()
    assert drawn_anew(page) == ["forecast"]
    assert page.evaluate("scrollY") == at

    # Tasks completed before the period may be left out of the chart.
    page.get_by_label("Leave out what was completed before").check()
    page.locator("#cumulative-flow .words", has_text="364 completed").wait_for()
    page.wait_for_url("**completed=period**")

    # A dot shows its task, and leads to it.
    page.locator("#aging").scroll_into_view_if_needed()
    dot = page.evaluate(
        """() => {
            const box = document.querySelector('#aging .u-over').getBoundingClientRect();
            return [box.left + box.width / 2, box.top, box.height];
        }"""
    )
    for step in range(0, int(dot[2]), 8):
        page.mouse.move(dot[0], dot[1] + step)
        if page.locator("#aging .tip").is_visible():
            break
    assert "Two" in (page.locator("#aging .tip").text_content() or "")
    page.mouse.down()
    page.mouse.up()
    page.wait_for_url("**/app?task=*")


@sqlite_only
def test_a_choice_follows_the_way_back(ada: Person, browser: BrowserPage) -> None:
    log_in(browser, YEAR)
    wait_for_charts(browser)
    box = browser.page.get_by_label("Leave out what was completed before")
    box.check()
    browser.page.wait_for_url("**completed=period**")
    browser.page.go_back()
    expect(box).not_to_be_checked()
    browser.page.go_forward()
    expect(box).to_be_checked()


def wait_for_charts_of_the_present(page: Page) -> None:
    page.locator("main[data-ready]").wait_for()


@sqlite_only
def test_one_login_is_for_all_tabs_and_so_is_one_logout(
    ada: Person, browser: BrowserPage, client: TestClient
) -> None:
    first = browser.page
    log_in(browser, YEAR)
    wait_for_charts(browser)
    assert all("ey" not in held and "tr_" not in held for held in session_storage(first))
    (cookie,) = first.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"], cookie["path"]) == (True, "Strict", "/auth/page")
    # The cookie ends with the browser, unless the person chose to stay logged in.
    assert cookie["expires"] == -1

    # A failed action ends in a message.
    first.route("**/analytics/pictures", lambda route: route.abort())
    first.get_by_role("button", name="Link to the picture").first.click()
    first.locator("#status", has_text="The server can't be reached.").wait_for()

    # A second tab is logged in too, also if it opens a link that somebody sent.
    second = first.context.new_page()
    second.goto(first.url)
    second.locator("#aging canvas").wait_for()

    # Logging out in one tab logs out all tabs, at once.
    second.get_by_role("button", name="Log out").click()
    first.get_by_text("You were logged out in another tab.").wait_for()
    assert first.locator("main").get_by_role("heading").all_text_contents() == ["Log in"]
    first.reload()
    first.get_by_role("heading", name="Log in").wait_for()

    # Logging in in one tab logs in all tabs.
    first.get_by_label("Username or email").fill("ada")
    first.get_by_label("Password", exact=True).fill("correct horse battery")
    first.get_by_label("Stay logged in").check()
    first.keyboard.press("Enter")
    second.locator("#aging canvas").wait_for()
    assert first.context.cookies()[0]["expires"] > datetime.now(UTC).timestamp()

    # If the session ended elsewhere, a button leads back to the login, and no exception is uncaught.
    ada.post("/auth/logout-all")
    second.get_by_role("button", name="CSV").first.click()
    second.get_by_text("Your session has ended: log in again.").wait_for()
    first.get_by_text("You were logged out in another tab.").wait_for()
    assert [error for error in browser.console_errors if "net::ERR" not in error and "401" not in error] == []


def test_the_cookie_is_for_this_programs_pages_only(api: Api, client: TestClient) -> None:
    api.person()
    client.cookies.clear()
    wanted = {"username": "ada", "password": "correct horse battery"}
    refused = client.post("/auth/page/login", json=wanted, headers={"Sec-Fetch-Site": "same-site"})
    assert (refused.status_code, refused.json()["code"]) == (403, "other_origin")
    # Forms of other origins can send only these, and they are refused.
    assert client.post("/auth/page/login", data=wanted).status_code == 415
    assert client.post("/auth/page/token").status_code == 422
    assert client.post("/auth/page/token", json={}).status_code == 401

    answer = client.post("/auth/page/login", json=wanted)
    assert "refresh_token" not in answer.json()
    token = client.post("/auth/page/token", json={}).json()["access_token"]
    headers = {"Authorization": f"Bearer {token}"}
    (held,) = client.get("/auth/sessions", headers=headers).json()[:1]
    assert held["current"]
    # A second login with this browser ends the session of the first one.
    client.post("/auth/page/login", json=wanted)
    assert client.get("/auth/me", headers=headers).status_code == 401

    token = client.post("/auth/page/token", json={}).json()["access_token"]
    assert client.post("/auth/page/logout", json={}).status_code == 200
    assert client.get("/auth/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert client.post("/auth/page/token", json={}).status_code == 401


@sqlite_only
def test_a_first_task_of_spaces_is_refused_in_words_and_paper_shows_the_period(
    api: Api, browser: BrowserPage
) -> None:
    api.person()
    page = browser.page
    page.emulate_media(color_scheme="dark")
    log_in(browser)
    page.get_by_label("What is to be done?").fill("   ")
    page.keyboard.press("Enter")
    page.locator(".problem:not(:empty)").wait_for()
    page.get_by_label("What is to be done?").fill("Write the report")
    page.keyboard.press("Enter")
    page.locator("#aging canvas").wait_for()
    # Paper is white, even if the page is dark.
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.dataset.theme") == "light"
    assert page.locator(".period").is_visible()
    for hidden in (".filters", ".actions", "#log-out", "header nav"):
        assert not page.locator(hidden).first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


@sqlite_only
def test_page_and_picture_draw_what_their_words_say(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    end = datetime(2018, 7, 30, 12, tzinfo=UTC)
    imported(ada, [done(number, end - timedelta(minutes=number), 2) for number in range(MANY)])
    query = "from=2018-07-01&to=2018-07-31&tz=UTC"
    page = ada.get(f"/analytics/cycle-times?{query}&limit=5000")
    rows = page.json()["tasks"]
    following = ada.get(page.links["next"]["url"])
    rows += following.json()["tasks"]
    assert "next" not in following.links
    assert [row["title"] for row in rows] == [f"Task {number}" for number in range(MANY)]
    picture = ada.get(f"/analytics/cycle-times?{query}", headers={"Accept": "image/svg+xml"})
    assert "The newest 500 of 5,200 tasks completed." in picture.text
    assert "next" in picture.links

    log_in(browser, query)
    wait_for_done = browser.page.locator("#cycle-times .words")
    wait_for_done.wait_for()
    words = wait_for_done.text_content() or ""
    assert words.startswith("Half of 5,200 tasks")
    assert "newest" not in words
    browser.page.locator("#cycle-times summary", has_text="Table").click()
    browser.page.get_by_text("The first 500 of 5,200: the CSV has all.").wait_for()


def test_aging_has_pages(api: Api) -> None:
    ada = api.person()
    for number in range(5):
        ada.task(f"Task {number}")
    page = ada.get("/analytics/aging?limit=2")
    titles = [row["title"] for row in page.json()["tasks"]]
    while "next" in page.links:
        page = ada.get(page.links["next"]["url"])
        titles += [row["title"] for row in page.json()["tasks"]]
    assert titles == [f"Task {number}" for number in range(5)]
    assert ada.get("/analytics/cycle-times?cursor=nonsense").status_code == 422
    table = ada.get("/analytics/aging?limit=2", headers={"Accept": "text/csv"})
    assert "next" in table.links


@sqlite_only
def test_a_chart_without_figures_is_one_sentence(api: Api, browser: BrowserPage) -> None:
    api.person().task("Measure")
    page = browser.page
    log_in(browser)
    page.locator("#cycle-times", has_text="No task was completed in this period.").wait_for()
    page.locator("main[data-ready]").wait_for()
    height = "(card) => card.offsetHeight"
    assert page.locator("#cycle-times").evaluate(height) < 200 < page.locator("#aging").evaluate(height)


@sqlite_only
def test_words_fit_times_below_a_minute_and_the_week_that_runs(api: Api, browser: BrowserPage) -> None:
    ada, page = api.person(), browser.page
    ada.patch(f"/tasks/{ada.task('Quick')['id']}", json={"status": "completed"})
    log_in(browser)
    page.locator("main[data-ready]").wait_for()
    page.locator(
        "#cycle-times", has_text="Half of 1 task took less than 1 min, 85% less than 1 min."
    ).wait_for()
    for chart in ("throughput", "cumulative-flow"):
        over = page.locator(f"#{chart} .u-over")
        over.scroll_into_view_if_needed()
        box = over.bounding_box()
        assert box
        # Early on a Monday the running week ends close behind the week before.
        page.mouse.move(box["x"] + box["width"] - 0.1, box["y"] + 50)
        assert (page.locator(f"#{chart} .u-legend .u-value").first.text_content() or "").endswith("(so far)")


@sqlite_only
def test_an_axis_of_hours_names_the_days(api: Api, browser: BrowserPage) -> None:
    ada, page = api.person(), browser.page
    past = [{"title": "Measure", "created_at": "2026-10-12T10:00:00Z"}]
    assert ada.post("/tasks/import", json=past).status_code == 201
    page.add_init_script(
        """window.written = [];
        const write = CanvasRenderingContext2D.prototype.fillText;
        CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
            window.written.push(text);
            return write.call(this, text, ...place);
        };"""
    )
    log_in(browser, "from=2026-10-12&to=2026-10-14&interval=day&tz=UTC")
    page.locator("main[data-ready]").wait_for()
    page.locator("#throughput canvas").wait_for()
    written = page.evaluate("window.written")
    assert {"Oct 13", "12:00 PM"} <= set(written)
    assert "12:00 AM" not in written
