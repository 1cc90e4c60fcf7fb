"""Forecasts whose answer can be said beforehand, to the day: those of people who complete the same every week."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest

from services.flow.forecast import HORIZON_WEEKS, Past, by_days, count_by_chance, done_within
from tests.support.api import Api

TODAY = date(2026, 3, 2)
PERCENTILES = ("p50", "p70", "p85", "p95")


def always(*week: int) -> Past:
    """Somebody who completed the same on the same days of each of ten weeks, the last of which ended yesterday."""
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
