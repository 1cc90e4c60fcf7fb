"""Forecasts for people who complete the same number every week: their answers are known to the day."""

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from services.flow.forecast import Past, by_days, count_by_chance, day_by_chance, done_within, past
from services.flow.periods import midnight, period
from services.flow.question import Question, Selection
from storage.column_types import microseconds
from tests.support.api import Api

TODAY = date(2026, 3, 2)
# The horizon is ten years. It does not come from the program's constants, or a wrong one would go unseen.
HORIZON_WEEKS = 522
PERCENTILES = ("p50", "p70", "p85", "p95")


def always(*week: int) -> Past:
    """Somebody who completed the same on the same days of each of the last ten weeks."""
    return Past(TODAY, np.array([week] * 10))


@pytest.mark.parametrize(
    ("week", "remaining", "days"),
    [
        ((1, 1, 1, 1, 1, 1, 1), 1, 0),
        ((1, 1, 1, 1, 1, 1, 1), 7, 6),
        ((1, 1, 1, 1, 1, 1, 1), 8, 7),
        ((1, 1, 1, 1, 1, 1, 1), 30, 29),
        ((0, 0, 1, 0, 0, 0, 0), 1, 2),
        ((0, 0, 1, 0, 0, 0, 0), 2, 9),
        ((0, 0, 0, 0, 0, 0, 5), 5, 6),
        ((0, 0, 0, 0, 0, 0, 5), 6, 13),
        ((3, 0, 0, 0, 0, 0, 0), 3, 0),
        ((1, 0, 0, 0, 0, 0, 0), HORIZON_WEEKS, HORIZON_WEEKS * 7 - 7),
    ],
)
def test_the_day_by_whose_end_so_many_are_done(week: tuple[int, ...], remaining: int, days: int) -> None:
    assert by_days(always(*week), remaining) == dict.fromkeys(PERCENTILES, TODAY + timedelta(days))


def test_what_is_done_beyond_the_horizon_has_no_day() -> None:
    assert by_days(always(1, 0, 0, 0, 0, 0, 0), HORIZON_WEEKS + 1) == dict.fromkeys(PERCENTILES)


@pytest.mark.parametrize(
    ("week", "days", "count"),
    [
        ((1, 1, 1, 1, 1, 1, 1), 1, 1),
        ((1, 1, 1, 1, 1, 1, 1), 30, 30),
        ((0, 0, 1, 0, 0, 0, 0), 2, 0),
        ((0, 0, 1, 0, 0, 0, 0), 3, 1),
        ((0, 0, 1, 0, 0, 0, 0), 9, 1),
        ((0, 0, 1, 0, 0, 0, 0), 10, 2),
    ],
)
def test_how_many_are_done_within_so_many_days(week: tuple[int, ...], days: int, count: int) -> None:
    counts = done_within(always(*week), days)
    assert {count_by_chance(counts, percent) for percent in (50, 70, 85, 95)} == {count}


def futures(*groups: tuple[int, int]) -> Any:
    """Ten thousand sorted futures: each group gives a number of futures and their figure."""
    return np.repeat([figure for _, figure in groups], [number for number, _ in groups])


def test_a_day_is_promised_only_if_no_future_is_missing_to_its_chance() -> None:
    known = always(1, 1, 1, 1, 1, 1, 1)
    assert day_by_chance(known, futures((8500, 3), (1500, 4)), 85) == TODAY + timedelta(2)
    assert day_by_chance(known, futures((8499, 3), (1501, 4)), 85) == TODAY + timedelta(3)


def test_a_number_is_promised_only_if_no_future_is_missing_to_its_chance() -> None:
    assert count_by_chance(futures((1500, 3), (8500, 4)), 85) == 4
    assert count_by_chance(futures((1501, 3), (8499, 4)), 85) == 3


def known_of(zone: str, completed_days: int, *, created_days: int) -> Past:
    """The past of somebody who began `created_days` ago and has completed one task a day, at 23:30."""
    here = ZoneInfo(zone)
    asked = Question(Selection(1), period(None, TODAY - timedelta(1), here, 0), 2**60, "/tasks", {})
    done = [
        datetime.combine(TODAY - timedelta(ago), time(23, 30), here) for ago in range(1, completed_days + 1)
    ]
    began = midnight(TODAY - timedelta(created_days), here)
    times = np.sort([microseconds(moment) for moment in done])
    return past(asked, np.array([began]), times, from_given=False)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Pacific/Auckland"])
def test_the_last_26_weeks_count_by_the_askers_days(zone: str) -> None:
    known = known_of(zone, 400, created_days=500)
    assert (known.starts_on, known.began_on) == (TODAY, TODAY - timedelta(26 * 7))
    assert known.weeks.tolist() == [[1] * 7] * 26


def test_weeks_before_the_first_task_do_not_make_a_newcomer_look_slow() -> None:
    known = known_of("Pacific/Auckland", 30, created_days=5 * 7 + 6)
    assert known.weeks.tolist() == [[0] * 5 + [1, 1], *[[1] * 7] * 4]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_somebody_who_completes_one_a_day_is_told_the_very_day(api: Api) -> None:
    ada = api.person()
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    done = [
        {
            "title": "x",
            "status": "completed",
            "created_at": (today - timedelta(42)).isoformat(),
            "completed_at": (today - timedelta(days=ago, hours=-12)).isoformat(),
        }
        for ago in range(1, 43)
    ]
    assert ada.post("/tasks/import", json=done).status_code == 201
    answer = ada.get("/analytics/forecast", params={"remaining": 5}).json()
    last = (today + timedelta(4)).date().isoformat()
    assert (answer["starts_on"], answer["done_by"]) == (
        today.date().isoformat(),
        dict.fromkeys(PERCENTILES, last),
    )
    counted = ada.get("/analytics/forecast", params={"until": last}).json()["how_many"]
    assert counted == dict.fromkeys(PERCENTILES, 5)
