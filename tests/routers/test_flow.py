"""Flow figures over HTTP: each figure of a real tracker is computed once more, and tests make histories too."""

import csv
import io
import shutil
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import time_machine
from fastapi.testclient import TestClient

from database import database
from main import app
from security.tokens import forget_verified_tokens
from services import background_tasks
from services.flow import history
from tests.support.api import Api, Person
from tests.support.fixtures import empty
from tests.support.flow import HOUR, approximately, assert_durations, figures
from tests.support.openapi_check import CheckedClient
from tests.support.tracker import issues, moments, second

BERLIN = ZoneInfo("Europe/Berlin")
YEAR = "from=2016-01-01&to=2016-12-31&tz=Europe/Berlin"
START = round(datetime(2016, 1, 1, tzinfo=BERLIN).timestamp())
END = round(datetime(2017, 1, 1, tzinfo=BERLIN).timestamp())


# One test at the end proves that both databases answer the same.
sqlite_only = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def ada(api: Api) -> Person:
    return api.person()


@pytest.fixture(scope="module")
def database_with_issues(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """A database with somebody who has imported the tracker's issues, and their token."""
    folder = tmp_path_factory.mktemp("imported")
    shutil.copy(request.getfixturevalue("migrated_sqlite"), folder / "tasks.db")
    database.switch(f"sqlite:///{folder}/tasks.db")
    ada = Api(CheckedClient(app, request.getfixturevalue("event_loop_portal"))).person()
    assert ada.post("/tasks/import", json=issues()).status_code == 201
    background_tasks.stop()
    database.close()
    return folder / "tasks.db", ada.token


@pytest.fixture
def tracker(database_with_issues: tuple[Path, str], client: TestClient) -> Person:
    """Somebody who has imported the tracker's issues."""
    path, token = database_with_issues
    shutil.copy(path, str(database.url.database))
    return Person(client, 1, "ada", token)


def rows_behind(person: Person, link: str) -> list[dict[str, Any]]:
    """All tasks of the list that a link leads to, page by page."""
    found: list[dict[str, Any]] = []
    address: str | None = link + ("&" if "?" in link else "?") + "limit=500"
    while address:
        answer = person.get(address)
        assert answer.status_code == 200, answer.text
        found += answer.json()
        address = answer.links.get("next", {}).get("url")
    return found


# -- a real tracker's figures, computed once more --------------------------------------------------


@sqlite_only
def test_flow_of_a_year_beside_the_year_before(tracker: Person) -> None:
    created, completed = moments(issues(), "created_at"), moments(issues(), "completed_at")
    found = figures(tracker, f"flow?{YEAR}")
    year_before = round(datetime(2014, 12, 31, tzinfo=BERLIN).timestamp())
    for name, start, end in (("current", START, END), ("previous", year_before, START)):
        chosen = (completed >= start) & (completed < end)
        part = found[name]
        assert part["throughput"] == chosen.sum() == len(rows_behind(tracker, part["links"]["completed"]))
        assert_durations(part["lead_time"], (completed - created)[chosen])
        assert_durations(part["cycle_time"], (completed - created)[chosen])
        assert part["cycle_time"]["never_started"] == chosen.sum()
        assert part["work_in_progress"] == 0
    assert found["n"] == found["current"]["throughput"]
    assert second(found["as_of"]) > END


@sqlite_only
@pytest.mark.parametrize("interval", ["day", "week", "month"])
def test_throughput_of_each_interval(tracker: Person, interval: str) -> None:
    found = figures(tracker, f"throughput?interval={interval}&{YEAR}")
    days = {
        name: np.array(
            [
                datetime.fromtimestamp(at, BERLIN).date()
                for at in moments(issues(), f"{name}_at")
                if START <= at < END
            ],
            "datetime64[D]",
        )
        for name in ("created", "completed")
    }
    first = np.datetime64("2016-01-01")
    edges = {
        "day": np.arange("2016-01-01", "2017-01-02", dtype="datetime64[D]"),
        # The first of January is a Friday, so the first week has three days of the year.
        "week": np.append(first, np.arange("2016-01-04", "2017-01-08", 7, dtype="datetime64[D]")),
        "month": np.arange("2016-01", "2017-02", dtype="datetime64[M]").astype("datetime64[D]"),
    }[interval]
    assert [each["date"] for each in found["intervals"]] == [str(edge) for edge in edges[:-1]]
    for name, times in days.items():
        counts = [int(((times >= a) & (times < b)).sum()) for a, b in pairwise(edges)]
        assert [each[name] for each in found["intervals"]] == counts
    assert found["n"] == len(days["completed"]) == len(rows_behind(tracker, found["links"]["completed"]))
    assert found["n_created"] == len(days["created"]) == len(rows_behind(tracker, found["links"]["created"]))


@sqlite_only
@pytest.mark.parametrize("narrowed", [None, "project", "tag"])
def test_cumulative_flow_and_burnup_of_an_import(tracker: Person, narrowed: str | None) -> None:
    named = {None: lambda _: True, "project": lambda row: row["project"] == "docs"}
    rows = list(filter(named.get(narrowed, lambda row: "docs" in row.get("tags", ())), issues()))
    query = f"interval=month&from=2012-01-01&to=2018-12-31{f'&{narrowed}=docs' if narrowed else ''}"
    created, completed = moments(rows, "created_at"), moments(rows, "completed_at")
    found = figures(tracker, f"cumulative-flow?{query}")
    burnup = figures(tracker, f"burnup?{query}")
    assert len(found["intervals"]) == 84
    for each, up in zip(found["intervals"], burnup["intervals"], strict=True):
        end = second(each["ends_at"])
        done = int((completed < end).sum())
        there = int((created < end).sum())
        assert (each["pending"], each["in_progress"], each["completed"]) == (there - done, 0, done)
        assert (up["scope"], up["completed"]) == (there, done)
    assert found["n"] == burnup["n"] == len(rows)


@sqlite_only
def test_time_in_status_of_an_import_is_all_pending(tracker: Person) -> None:
    created, completed = moments(issues(), "created_at"), moments(issues(), "completed_at")
    found = figures(tracker, f"time-in-status?{YEAR}")
    chosen = (completed >= START) & (completed < END)
    pending, in_progress, done = found["statuses"]
    assert_durations(pending, (completed - created)[chosen])
    assert (in_progress["n"], in_progress["mean_hours"], done["n"]) == (0, None, 0)
    assert found["n"] == chosen.sum() == len(rows_behind(tracker, found["links"]["completed"]))


@sqlite_only
def test_aging_and_the_percentile_that_each_open_task_has_passed(tracker: Person) -> None:
    created, completed = moments(issues(), "created_at"), moments(issues(), "completed_at")
    past = (completed - created)[(completed >= START) & (completed < END)]
    found = figures(tracker, f"aging?{YEAR}")
    open_ = sorted(created[completed == 2**40].tolist())
    assert [second(task["since"]) for task in found["tasks"]] == open_
    for task in found["tasks"]:
        age = second(found["as_of"]) - second(task["since"])
        assert task["age_hours"] == pytest.approx(age / HOUR, abs=0.01)
        assert task["age_percentile"] == pytest.approx(100 * (past <= age).mean(), abs=0.01)
    assert found["n"] == len(open_) == len(rows_behind(tracker, found["links"]["open"]))
    assert found["cycle_time"]["n"] == len(past) == len(rows_behind(tracker, found["links"]["completed"]))
    assert len(figures(tracker, f"aging?limit=3&{YEAR}")["tasks"]) == 3


@sqlite_only
def test_cycle_times_are_those_of_the_tasks_completed_last(tracker: Person) -> None:
    found = figures(tracker, f"cycle-times?limit=5000&{YEAR}")
    chosen = [row for row in issues() if START <= second(row.get("completed_at", "2099-01-01")) < END]
    assert found["n"] == len(found["tasks"]) == len(chosen)
    expected = sorted(chosen, key=lambda row: row["completed_at"], reverse=True)
    assert [task["completed_at"] for task in found["tasks"]] == [row["completed_at"] for row in expected]
    hours = sorted((second(row["completed_at"]) - second(row["created_at"])) / HOUR for row in expected)
    assert sorted(task["cycle_time_hours"] for task in found["tasks"]) == approximately(hours)


# -- forecasts -------------------------------------------------------------------------------------


def past_weeks(today: str, weeks: int = 26) -> Any:
    """The number of issues that were completed on each day of the weeks before a day."""
    completed = moments(issues(), "completed_at")
    end = second(f"{today}T00:00:00Z")
    days = [
        ((completed >= end - k * 86400) & (completed < end - (k - 1) * 86400)).sum()
        for k in range(weeks * 7, 0, -1)
    ]
    return np.array(days).reshape(weeks, 7)


@sqlite_only
def test_how_many_by_a_day_is_near_the_exact_distribution(tracker: Person) -> None:
    found = figures(tracker, "forecast?to=2016-12-31&until=2017-01-30")
    weeks = past_weeks("2017-01-01")
    assert found["n"] == found["basis"]["completed"] == weeks.sum()
    assert found["n"] == len(rows_behind(tracker, found["links"]["completed"]))
    # The exact forecast has the sums of four weeks and two days, each week as likely as any other.
    one, rest = np.bincount(weeks.sum(axis=1)) / 26, np.bincount(weeks[:, :2].sum(axis=1)) / 26
    exact = rest
    for _ in range(4):
        exact = np.convolve(exact, one)
    at_least = exact[::-1].cumsum()[::-1]
    for percent in (50, 70, 85, 95):
        count = found["how_many"][f"p{percent}"]
        assert at_least[count] >= percent / 100 - 0.02
        assert at_least[count + 1] <= percent / 100 + 0.02
    for point in found["counts"]:
        assert point["percentage"] / 100 == pytest.approx(at_least[point["count"]], abs=0.02)


@sqlite_only
def test_by_when_so_many_are_done_agrees_with_how_many_by_then(tracker: Person) -> None:
    by_when = figures(tracker, "forecast?to=2016-12-31&remaining=60")
    assert by_when["starts_on"] == "2017-01-01"
    for percent in (50, 70, 85, 95):
        day = date.fromisoformat(by_when["done_by"][f"p{percent}"])
        there = figures(tracker, f"forecast?to=2016-12-31&until={day}")["how_many"][f"p{percent}"]
        before = figures(tracker, f"forecast?to=2016-12-31&until={day - timedelta(2)}")["how_many"]
        assert before[f"p{percent}"] - 2 <= 60 <= there + 2
    percentages = [point["percentage"] for point in by_when["days"]]
    assert percentages == sorted(percentages)
    assert percentages[-1] == 100


@sqlite_only
def test_how_many_at_85_percent_held_on_most_of_20_dates(tracker: Person) -> None:
    completed = moments(issues(), "completed_at")
    held = 0
    for number in range(20):
        today = date(2015, 9, 1) + timedelta(56 * number)
        until = today + timedelta(27)
        answer = figures(tracker, f"forecast?to={today - timedelta(1)}&until={until}")
        start = second(f"{today}T00:00:00Z")
        happened = ((completed >= start) & (completed < start + 28 * 86400)).sum()
        held += int(happened >= answer["how_many"]["p85"])
    assert held >= 14


@sqlite_only
def test_the_same_question_has_the_same_answer(tracker: Person) -> None:
    questions = ("forecast?to=2016-12-31&remaining=60", "forecast?to=2016-12-31&until=2017-03-01")
    for question in questions:
        first, second_ = (figures(tracker, question) | {"as_of": None} for _ in range(2))
        assert first == second_


@pytest.mark.one_database
def test_a_forecast_on_too_little_history_is_refused_with_the_reason(ada: Person) -> None:
    ada.task(status="completed")
    answer = ada.get("/analytics/forecast?remaining=5")
    assert (answer.status_code, answer.json()["code"]) == (409, "too_little_history")
    assert "it takes at least 10 in 4 weeks" in answer.json()["detail"]
    assert "Too little history" in figures(ada, "burnup")["forecast"]["refused"]


@sqlite_only
def test_a_forecast_needs_one_of_its_two_questions(ada: Person) -> None:
    for query in ("", "?remaining=5&until=2099-01-01"):
        answer = ada.get(f"/analytics/forecast{query}")
        assert answer.status_code == 422
        assert "Give one of `remaining` and `until`" in answer.json()["detail"]


@sqlite_only
def test_what_lies_beyond_ten_years_has_no_date(tracker: Person) -> None:
    found = figures(tracker, "forecast?to=2016-12-31&remaining=100000")
    assert found["done_by"] == {"p50": None, "p70": None, "p85": None, "p95": None}
    answer = tracker.get("/analytics/forecast?to=2016-12-31&until=2030-01-01")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?until")


@sqlite_only
def test_burnups_cone_ends_at_the_scope(tracker: Person) -> None:
    found = figures(tracker, "burnup?to=2018-07-31&from=2018-01-01")
    cone = found["forecast"]["cone"]
    assert found["forecast"]["remaining"] == found["n"] - found["intervals"][-1]["completed"]
    assert all(point["p50"] >= point["p70"] >= point["p85"] >= point["p95"] for point in cone)
    assert cone[-1]["p50"] <= found["n"]


# -- days ------------------------------------------------------------------------------------------


@sqlite_only
def test_a_day_is_the_askers_day(ada: Person) -> None:
    for zone, day, hours in (
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/Havana", "2026-03-08", 23),  # The clocks skip midnight itself.
        ("Asia/Kathmandu", "2026-03-29", 24),
        ("UTC", "2026-03-29", 24),
    ):
        found = figures(ada, f"throughput?interval=day&from={day}&to={day}&tz={zone}")
        (only,) = found["intervals"]
        assert second(only["ends_at"]) - second(only["starts_at"]) == hours * HOUR
        start = datetime.fromtimestamp(second(only["starts_at"]), ZoneInfo(zone))
        assert str(start.date()) == day
        assert start.hour in (0, 1)


def test_a_time_is_exact_and_its_end_not_included(ada: Person) -> None:
    times = ("2026-01-01T10:00:00Z", "2026-01-01T11:00:00Z", "2026-01-01T11:00:01Z")
    ada.post("/tasks/import", json=[{"title": time, "created_at": time} for time in times])
    found = figures(ada, "throughput?from=2026-01-01T10:00:00Z&to=2026-01-01T11:00:01Z")
    assert found["n_created"] == 2 == len(rows_behind(ada, found["links"]["created"]))


@sqlite_only
def test_a_day_that_a_zone_has_skipped_is_left_out(ada: Person) -> None:
    found = figures(ada, "throughput?interval=day&from=2011-12-29&to=2011-12-31&tz=Pacific/Apia")
    assert [each["date"] for each in found["intervals"]] == ["2011-12-29", "2011-12-31"]


@pytest.mark.one_database
@pytest.mark.parametrize("place", ["", "&project_id=1"])
def test_the_figures_of_a_day_that_a_zone_has_skipped_are_those_of_an_empty_day(
    ada: Person, place: str
) -> None:
    ada.post("/projects", json={"name": "Research"})
    made, done = "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"
    past = {"title": "Past", "created_at": made, "status": "completed", "completed_at": done}
    rows = [past, {"title": "Open", "created_at": made, "status": "in_progress"}]
    assert ada.post("/tasks/import?project_id=1", json=rows).status_code == 201
    query = f"from=2011-12-30&to=2011-12-30&tz=Pacific/Apia{place}"
    for path in ("throughput", "cumulative-flow", "time-in-status", "aging", "cycle-times", "burnup"):
        for kind in ("application/json", "text/csv", "image/svg+xml"):
            answer = ada.get(f"/analytics/{path}?{query}", headers={"Accept": kind})
            assert answer.status_code in (200, 406), answer.text
    flow = figures(ada, f"flow?{query}")
    assert (flow["current"]["throughput"], flow["current"]["work_in_progress"]) == (0, 1)
    assert rows_behind(ada, flow["current"]["links"]["completed"]) == []
    assert figures(ada, f"throughput?{query}")["intervals"] == []
    assert figures(ada, f"cumulative-flow?{query}")["at_start"]["in_progress"] == 1


@sqlite_only
def test_a_bad_parameter_is_named(ada: Person) -> None:
    for query, pointer in (
        ("from=2026-02-01&to=2026-01-01", "?from"),
        ("from=2026-02-30", "?from"),
        ("to=20260101", "?to"),
        ("from=0001-01-01", "?from"),
        ("tz=Mars/Olympus", "?tz"),
        ("tz=../etc/passwd", "?tz"),
        ("tz=Europe", "?tz"),
        ("scope=mine", "?scope"),
        ("interval=year", "?interval"),
        ("interval=day&from=1950-01-01", "?interval"),
        ("since=2026-01-01", "?since"),
    ):
        answer = ada.get(f"/analytics/throughput?{query}")
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)


# -- whose -----------------------------------------------------------------------------------------


def test_an_admin_asks_about_anybody_and_everybody(api: Api, ada: Person) -> None:
    root, bob = api.person("root", admin=True), api.person("bob")
    for person in (ada, ada, bob):
        person.task(status="completed")
    deleted = bob.task()
    bob.delete(f"/tasks/{deleted['id']}")
    for query, n in (("", 0), (f"?user_id={ada.id}", 2), (f"?user_id={bob.id}", 1), ("?scope=all", 3)):
        found = figures(root, f"flow{query}")
        assert found["n"] == n == len(rows_behind(root, found["current"]["links"]["completed"]))
        assert figures(root, f"cumulative-flow{query}")["intervals"][-1]["completed"] == n
        assert figures(root, f"aging{query}")["n"] == 0
    assert figures(root, "cumulative-flow?scope=all&project=General")["n"] == 4
    assert root.get("/analytics/flow?user_id=4711").status_code == 404
    assert root.get(f"/analytics/flow?scope=all&user_id={ada.id}").status_code == 422


@pytest.mark.one_database
def test_a_member_asks_about_nobody_else(api: Api, ada: Person) -> None:
    bob = api.person("bob")
    assert ada.get(f"/analytics/flow?user_id={ada.id}").status_code == 200
    for query in (f"user_id={bob.id}", "user_id=4711", "scope=all"):
        for name in (
            "flow",
            "throughput",
            "cumulative-flow",
            "time-in-status",
            "aging",
            "cycle-times",
            "burnup",
        ):
            answer = ada.get(f"/analytics/{name}?{query}")
            assert (answer.status_code, answer.json()["detail"]) == (403, "Admin access required")


def test_another_task_is_counted_at_once(ada: Person) -> None:
    for number in range(3):
        assert figures(ada, "throughput")["n_created"] == number
        assert figures(ada, "cumulative-flow?project=General")["n"] == number
        ada.task()


# -- formats ---------------------------------------------------------------------------------------


ANSWERS = (
    "flow?from=2016-01-01",
    "throughput?from=2016-01-01",
    "cumulative-flow?from=2016-01-01",
    "time-in-status?from=2016-01-01",
    "aging?from=2016-01-01",
    "cycle-times?from=2016-01-01",
    "forecast?remaining=20&to=2016-12-31",
    "forecast?until=2017-03-01&to=2016-12-31",
    "burnup?from=2016-01-01",
)


@sqlite_only
def test_every_answer_is_a_table_too(tracker: Person) -> None:
    for path in ANSWERS:
        whole = figures(tracker, path)
        answer = tracker.get(f"/analytics/{path}", headers={"Accept": "text/csv"})
        assert answer.headers["content-type"].startswith("text/csv")
        assert answer.headers["vary"] == "Accept"
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert rows
        assert {int(row["n"]) for row in rows} == {whole["n"]}
        assert all(row["as_of"].startswith("20") for row in rows)
        assert whole["definitions"]


@pytest.mark.one_database
def test_an_empty_table_names_its_columns_and_no_cell_is_a_formula(ada: Person) -> None:
    csv_please = {"Accept": "text/csv"}
    assert ada.get("/analytics/aging", headers=csv_please).text.startswith("id,title,project,status,since,")
    ada.task("=1+1")
    assert ",'=1+1,General," in ada.get("/analytics/aging", headers=csv_please).text


@sqlite_only
def test_the_format_is_the_one_the_caller_likes_best(ada: Person) -> None:
    for accept, status, kind in (
        ("*/*", 200, "application/json"),
        ("text/*", 200, "text/csv"),
        ("text/csv;q=0.5, application/json", 200, "application/json"),
        ("text/csv, application/json;q=0.9", 200, "text/csv"),
        ("application/json;q=0, */*", 200, "text/csv"),
        ("application/xml", 406, "application/problem+json"),
    ):
        answer = ada.get("/analytics/throughput", headers={"Accept": accept})
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (status, kind)


def test_both_databases_answer_the_same_bytes(
    migrated_sqlite: Path, migrated_postgres: str, tmp_path: Path
) -> None:
    paths = (
        f"flow?{YEAR}",
        f"throughput?interval=week&{YEAR}",
        f"cumulative-flow?interval=week&{YEAR}&project=docs",
        f"time-in-status?{YEAR}&tag=docs",
        f"aging?{YEAR}",
        f"cycle-times?{YEAR}",
        "forecast?remaining=100&to=2017-06-30",
        "forecast?until=2017-12-31&to=2017-06-30&tz=Asia/Tokyo",
        "burnup?from=2018-01-01&to=2018-08-01",
    )
    copy = tmp_path / "tasks.db"
    copy.write_bytes(migrated_sqlite.read_bytes())
    empty(migrated_postgres)
    answers = []
    with time_machine.travel(datetime(2018, 9, 1, tzinfo=UTC), tick=False):
        for url in (f"sqlite:///{copy}", migrated_postgres):
            database.switch(url)
            forget_verified_tokens()
            history.clear()
            ada = Api(TestClient(app)).person()
            assert ada.post("/tasks/import", json=issues()).status_code == 201
            ada.put("/tasks/1", json={"status": "in_progress"})
            ada.put("/tasks/7", json={"status": "pending"})
            ada.delete("/tasks/20")
            answers.append([ada.get(f"/analytics/{path}").content for path in paths])
    database.close()
    assert answers[0] == answers[1]
