"""The dashboard's field for filters: it completes, shows errors at their place, and keeps both in the address."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from main import app
from tests.routers.test_dashboard import log_in, sqlite_only
from tests.routers.test_projects import STATES, add, project
from tests.support.api import Api
from tests.support.chromium import BrowserPage, ChromiumUnavailable, browser_page
from tests.support.serving import served

pytestmark = pytest.mark.thorough


@pytest.fixture
def browser(client: TestClient) -> Iterator[BrowserPage]:
    with served(app) as base_url:
        try:
            with browser_page(base_url) as browser:
                yield browser
        except ChromiumUnavailable as error:
            pytest.skip(error.reason)


@sqlite_only
def test_the_figures_of_a_filter_that_is_completed_while_it_is_typed(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    for title, tags in (("a", ["on hold"]), ("b", ["on hold"]), ("c", ["urgent"])):
        task = ada.task(title, tags=tags)
        ada.put(f"/tasks/{task['id']}", json={"status": "completed"})
    view = ada.post("/views", json={"name": "Urgent ones", "filter": "tag = urgent"}).json()["id"]
    page = browser.page
    log_in(browser)
    page.locator("main[data-ready]").wait_for()
    throughput = page.locator(".tile strong").first
    assert throughput.text_content() == "3"

    field = page.get_by_role("combobox", name="Filter", exact=True)
    field.click()
    offers = page.get_by_role("listbox").get_by_role("option")
    offers.get_by_text("priority", exact=True).wait_for()
    page.keyboard.type("ta")
    assert offers.all_text_contents() == ["tag"]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    offers.get_by_text("!~", exact=True).wait_for()
    page.keyboard.type("= ")
    offers.get_by_text('"on hold"').click()
    assert field.input_value() == 'tag = "on hold" '
    page.keyboard.press("Escape")
    page.keyboard.press("Enter")
    page.wait_for_url("**filter=tag*")
    page.locator("main[data-ready]").wait_for()
    page.wait_for_function("document.querySelector('.tile strong').textContent === '2'")

    # A mistake is shown beside the field with its position, and the figures stay.
    field.fill("😀 tag = urgent or")
    page.keyboard.press("Enter")
    problem = page.locator(".asking .problem:not(:empty)")
    problem.wait_for()
    assert "Position 0: met `😀`, which is no field" in (problem.text_content() or "")
    assert page.locator(".asking .where mark").text_content() == "😀"
    assert throughput.text_content() == "2"

    # The address names a view and a filter.
    browser.open(f"/dashboard?view={view}&filter=title%20%3D%20c")
    page.locator("main[data-ready]").wait_for()
    assert throughput.text_content() == "1"
    assert page.locator("[name=view]").input_value() == str(view)
    assert field.input_value() == "title = c"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert browser.foreign_requests == []


@sqlite_only
def test_a_shared_project_shows_all_members_tasks_by_its_states(api: Api, browser: BrowserPage) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(bob, "Research", states=STATES)["id"]
    project(bob, "Somebody else's")
    add(bob, made, ada, "viewer")
    for number, state in enumerate(["todo"] * 4 + ["doing"] * 2 + ["review"] * 3 + ["done"] * 5):
        bob.task(f"{state} {number}", project_id=made, state=state)
    page = browser.page
    log_in(browser)
    # An account without tasks of its own sees the figures of its projects too.
    page.locator("main[data-ready]").wait_for()
    throughput = page.locator(".tile strong").first
    assert throughput.text_content() == "0"
    choice = page.get_by_role("combobox", name="Shared project")
    assert choice.locator("option").all_text_contents() == ["None: my tasks", "Research"]
    choice.select_option("Research")
    throughput.filter(has_text="5").wait_for()
    page.locator("main[data-ready]").wait_for()
    assert f"project_id={made}" in page.url
    assert "all members of Research" in (page.locator(".period").first.text_content() or "")
    flow = page.locator("#cumulative-flow")
    words = "At the end: 4 to do, 2 doing, 3 in review, 5 done."
    assert flow.locator(".words").text_content() == words
    flow.locator("summary", has_text="Table").click()
    heads = ["Interval", "From", "To do", "Doing", "In review", "Done"]
    # The table is made when it is opened.
    flow.locator("thead th").first.wait_for()
    assert flow.locator("thead th").all_text_contents() == heads
    assert flow.locator("tbody tr").last.locator("td").all_text_contents()[2:] == ["4", "2", "3", "5"]
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    # The open table stays open when the figures change.
    weeks = flow.locator("tbody tr").count()
    page.locator("[name=interval]").select_option("day")
    flow.locator("tbody tr").nth(weeks).wait_for()
    # The figures of the account's own tasks come back.
    choice.select_option("None: my tasks")
    throughput.filter(has_text="0").wait_for()
    # The days are those of the chosen time zone, in which it may be tomorrow already.
    late = {"title": "Late", "status": "completed", "completed_at": "2018-03-01T20:00:00Z"}
    assert ada.post("/tasks/import", json=[late]).status_code == 201
    page.goto(f"{browser.base_url}/dashboard?tz=Pacific/Auckland")
    page.get_by_role("button", name="Show the year until Mar 2, 2018").click()
    throughput.filter(has_text="1").wait_for()
    # From the figures of a project a link leads to its board.
    choice.select_option("Research")
    page.get_by_role("link", name="Open the board").click()
    page.get_by_role("region", name="In review, 3").wait_for()
    assert browser.foreign_requests == []


@sqlite_only
def test_an_admin_keeps_the_project_that_an_address_names(api: Api, browser: BrowserPage) -> None:
    api.person(admin=True).task()
    made = project(api.person("bob"), "Research")["id"]
    page = browser.page
    log_in(browser, f"project_id={made}")
    page.locator("main[data-ready]").wait_for()
    page.get_by_label("Tag", exact=True).fill("urgent")
    page.keyboard.press("Enter")
    page.wait_for_url("**tag=urgent**")
    assert f"project_id={made}" in page.url


@sqlite_only
def test_the_figures_of_others_say_whose_they_are(api: Api, browser: BrowserPage) -> None:
    ada, grace = api.person(admin=True), api.person("grace")
    for person, number in ((ada, 1), (grace, 2)):
        for _ in range(number):
            ada.put(f"/tasks/{person.task()['id']}", json={"status": "completed"})
    archived = project(grace, name="Research")["id"]
    grace.task("In the project", project_id=archived)
    grace.patch(f"/projects/{archived}", json={"archived": True})
    page = browser.page
    whose, period = page.get_by_label("Whose"), page.locator(".period strong")
    throughput = page.locator(".tile strong").first

    log_in(browser, f"user_id={grace.id}")
    expect(period).to_have_text(re.compile(", tasks of grace$"))
    expect(whose.locator("option:checked")).to_have_text("grace")
    expect(throughput).to_have_text("2")
    assert "tasks of grace" in page.title()

    # Another filter leaves the account as it is, and another choice does not.
    page.get_by_label("Priority").select_option("0")
    page.wait_for_url("**priority=0&user_id=*")
    expect(period).to_have_text(re.compile(", tasks of grace$"))
    whose.select_option("all")
    expect(period).to_have_text(re.compile(", everybody's tasks$"))
    expect(throughput).to_have_text("3")
    whose.select_option("")
    expect(period).not_to_have_text(re.compile("tasks"))
    expect(throughput).to_have_text("1")

    # A project of others, archived too, is named; so is that of a view.
    browser.open(f"/dashboard?project_id={archived}")
    expect(period).to_have_text(re.compile(", all members of Research$"))
    expect(page.get_by_label("Shared project").locator("option:checked")).to_have_text("Research")
    team = project(ada, name="Team")["id"]
    view = ada.post("/views", json={"name": "Ours", "filter": "priority = 0", "project_id": team}).json()[
        "id"
    ]
    browser.open(f"/dashboard?view={view}")
    expect(period).to_have_text(re.compile(", all members of Team$"))


@sqlite_only
def test_the_cumulative_flow_of_a_single_interval_is_an_area(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    team = project(ada, name="Team")["id"]
    ada.task("Mine", status="in_progress")
    ada.task("Ours", project_id=team)
    page = browser.page
    today = f"{datetime.now(UTC):%Y-%m-%d}"
    log_in(browser)
    page.locator("main[data-ready]").wait_for()
    for place in ("", f"&project_id={team}"):
        browser.open(f"/dashboard?interval=day&tz=UTC&from={today}&to={today}{place}")
        page.locator("main[data-ready]").wait_for()
        share = page.locator("#cumulative-flow canvas").evaluate("""(canvas) => {
            const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return data.filter((_, at) => at % 4 === 3 && data[at] > 0).length / (data.length / 4);
        }""")
        assert share > 0.2
    # The name of the month at the end of the axis is whole.
    done = {"created_at": "2026-01-05T09:00:00Z", "completed_at": "2026-02-05T09:00:00Z"}
    ada.post("/tasks/import", json=[{"title": "Past", "status": "completed", **done}])
    browser.open("/dashboard?from=2026-01-01&to=2026-05-31&tz=UTC")
    page.locator("main[data-ready]").wait_for()
    assert not page.locator("#throughput canvas").evaluate("""(canvas) => {
        const { data } = canvas.getContext("2d").getImageData(canvas.width - 1, 0, 1, canvas.height);
        return data.some((_, at) => at % 4 === 3 && data[at] > 0);
    }""")
    # A zone that crossed the date line has no such day.
    browser.open("/dashboard?from=2011-12-30&to=2011-12-30&tz=Pacific/Apia")
    page.locator(".period", has_text="A day that Pacific/Apia skipped, before Dec 31, 2011").wait_for()
    # Nothing is on its way for a form that was refused.
    browser.open("/dashboard?tz=Mars/Base")
    page.locator(".problem", has_text="IANA").wait_for()
    expect(page.get_by_text("Loading")).to_have_count(0)


@sqlite_only
def test_figures_that_look_the_same_are_no_change(api: Api, browser: BrowserPage) -> None:
    ada = api.person()
    now = datetime.now(UTC)

    def done(days_ago: int, hours: float) -> dict[str, str]:
        at = now - timedelta(days=days_ago)
        return {
            "title": "Done",
            "status": "completed",
            "created_at": (at - timedelta(hours=hours)).isoformat(),
            "completed_at": at.isoformat(),
        }

    rows = [done(25, 96), done(12, 96), done(3, 96.1)]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    day = f"{now - timedelta(days=9):%Y-%m-%d}"
    log_in(browser, f"from={day}&tz=UTC&interval=week&scope=own")
    page = browser.page
    page.locator("main[data-ready]").wait_for()
    # Both medians are shown as 4.0 days.
    assert page.locator(".tile").nth(2).locator("dd").text_content() == "4.0 daysas before"
    words = page.locator("#cycle-times")
    expect(words).to_contain_text("1 never in progress: counted from its creation.")
    # The usual interval is the form's own choice, by its name too.
    choices = page.get_by_label("Interval", exact=True).locator("option")
    assert choices.all_text_contents() == ["Days", "Weeks", "Months"]
    assert page.get_by_label("Interval", exact=True).input_value() == ""
