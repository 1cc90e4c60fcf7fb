"""Days, weeks and months of a calendar, and the intervals of a period."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from errors import InvalidInput
from schemas.flow import Interval
from services.flow.periods import Period, first_of, following, intervals, local_day, midnight, period
from storage.column_types import microseconds, moment

PARIS, HERE = ZoneInfo("Europe/Paris"), ZoneInfo("UTC")
HOUR = 3_600_000_000
NOW = microseconds(datetime(2026, 3, 2, 23, 30, tzinfo=UTC))


def days(found: Period) -> tuple[date, date]:
    """The first day of a period, and its last."""
    return found.first_day(), local_day(found.end - 1, found.zone)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (None, None, (date(2025, 12, 4), date(2026, 3, 3))),
        (None, date(2026, 1, 31), (date(2025, 11, 3), date(2026, 1, 31))),
        (date(2026, 3, 1), None, (date(2026, 3, 1), date(2026, 3, 3))),
        (date(2026, 3, 3), date(2026, 3, 3), (date(2026, 3, 3), date(2026, 3, 3))),
        (date(1900, 1, 1), date(2200, 1, 1), (date(1900, 1, 1), date(2200, 1, 1))),
    ],
)
def test_a_period_ends_with_the_last_day_and_is_ninety_days_long_unless_said(
    start: date | None, end: date | None, expected: tuple[date, date]
) -> None:
    # At this moment it is the third of March in Paris.
    found = period(start, end, PARIS, NOW)
    assert days(found) == expected
    assert (found.start, found.end) == (
        midnight(expected[0], PARIS),
        midnight(expected[1] + timedelta(1), PARIS),
    )


def test_a_period_between_times_is_exact_and_ninety_days_of_days_before_a_time() -> None:
    start, end = datetime(2026, 3, 1, 12, tzinfo=UTC), datetime(2026, 3, 1, 13, tzinfo=UTC)
    found = period(start, end, PARIS, NOW)
    assert (moment(found.start), moment(found.end)) == (start, end)
    assert period(None, end, PARIS, NOW).first_day() == date(2025, 12, 2)
    at_midnight = datetime(2026, 2, 28, 23, tzinfo=UTC)
    assert period(None, at_midnight, PARIS, NOW).first_day() == date(2025, 12, 1)


@pytest.mark.parametrize(
    ("start", "end", "pointer"),
    [
        (date(1899, 12, 31), None, "?from"),
        (None, date(2200, 1, 2), "?to"),
        (datetime(2200, 1, 2, tzinfo=UTC), None, "?from"),
        (date(2026, 3, 2), date(2026, 3, 1), "?from"),
        (datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC), "?from"),
        (date(2026, 3, 2), datetime(2026, 3, 1, 23, tzinfo=UTC), "?from"),
    ],
)
def test_a_period_that_no_calendar_has_is_named(start: date | None, end: date | None, pointer: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        period(start, end, PARIS, NOW)
    assert [error["pointer"] for error in refused.value.errors or ()] == [pointer]


def test_the_period_before_has_as_many_days_though_the_clocks_changed() -> None:
    # The last of these days has 23 hours.
    found = period(date(2026, 3, 23), date(2026, 3, 29), PARIS, NOW)
    assert found.end - found.start == (7 * 24 - 1) * HOUR
    assert days(found.before()) == (date(2026, 3, 16), date(2026, 3, 22))
    assert found.before().end == found.start


@pytest.mark.parametrize(("start", "end"), [(0, 5), (5, 24), (5, 29)])
def test_the_period_before_one_of_hours_has_as_many_hours(start: int, end: int) -> None:
    midnight_ = midnight(date(2026, 3, 29), PARIS)
    found = Period(midnight_ + start * HOUR, midnight_ + end * HOUR, PARIS).before()
    assert (found.start, found.end) == (midnight_ + (2 * start - end) * HOUR, midnight_ + start * HOUR)


@pytest.mark.parametrize(
    ("interval", "day", "first", "next_"),
    [
        ("day", date(2026, 2, 28), date(2026, 2, 28), date(2026, 3, 1)),
        ("week", date(2026, 3, 1), date(2026, 2, 23), date(2026, 3, 2)),
        ("week", date(2026, 3, 2), date(2026, 3, 2), date(2026, 3, 9)),
        ("month", date(2026, 1, 31), date(2026, 1, 1), date(2026, 2, 1)),
        ("month", date(2026, 12, 1), date(2026, 12, 1), date(2027, 1, 1)),
        ("month", date(2028, 2, 29), date(2028, 2, 1), date(2028, 3, 1)),
    ],
)
def test_weeks_begin_on_mondays_and_months_on_their_first(
    interval: Interval, day: date, first: date, next_: date
) -> None:
    assert first_of(day, interval) == first
    assert following(first, interval) == next_


def test_the_first_and_last_interval_are_cut_to_the_period() -> None:
    asked = period(date(2026, 1, 20), date(2026, 3, 10), PARIS, NOW)
    assert [days(each) for each in intervals(asked, "month")] == [
        (date(2026, 1, 20), date(2026, 1, 31)),
        (date(2026, 2, 1), date(2026, 2, 28)),
        (date(2026, 3, 1), date(2026, 3, 10)),
    ]
    of_hours = Period(asked.start + HOUR, asked.start + 25 * HOUR, PARIS)
    cut = [(each.start - asked.start, each.end - asked.start) for each in intervals(of_hours, "day")]
    assert cut == [(HOUR, 24 * HOUR), (24 * HOUR, 25 * HOUR)]


def test_a_day_that_a_zone_skipped_is_no_interval() -> None:
    # Samoa went from the 29th to the 31st of December.
    apia = ZoneInfo("Pacific/Apia")
    asked = period(date(2011, 12, 29), date(2011, 12, 31), apia, NOW)
    assert [days(each) for each in intervals(asked, "day")] == [
        (date(2011, 12, day), date(2011, 12, day)) for day in (29, 31)
    ]


def test_the_period_of_a_day_that_a_zone_skipped_is_empty() -> None:
    apia, skipped = ZoneInfo("Pacific/Apia"), date(2011, 12, 30)
    asked = period(skipped, skipped, apia, NOW)
    assert (asked.start, asked.end) == (midnight(date(2011, 12, 31), apia),) * 2
    assert (asked.before().start, asked.before().end) == (asked.start, asked.end)
    assert intervals(asked, "day") == []
    # The two days begin at the same moment, but one does not come before the other.
    with pytest.raises(InvalidInput):
        period(skipped + timedelta(1), skipped, apia, NOW)


def test_four_thousand_intervals_and_no_more() -> None:
    first = date(2010, 1, 1)
    allowed = period(first, first + timedelta(3999), HERE, NOW)
    assert len(intervals(allowed, "day")) == 4000
    too_many = period(first, first + timedelta(4000), HERE, NOW)
    with pytest.raises(InvalidInput) as refused:
        intervals(too_many, "day")
    assert [error["pointer"] for error in refused.value.errors or ()] == ["?interval"]
