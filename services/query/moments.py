"""Days and times of the caller's calendar as moments in UTC: every value stands for a range of moments."""

from calendar import monthrange
from datetime import UTC, date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from schemas.common import beginning
from services.query.tree import Relative

_DAY = timedelta(days=1)
_MICROSECOND = timedelta(microseconds=1)
_FROM_TODAY = {"today": 0, "yesterday": -1, "tomorrow": 1}
_ELAPSED = {"m": timedelta(minutes=1), "h": timedelta(hours=1)}
_DAYS = {"d": 1, "w": 7}
_MONTHS = {"mo": 1, "y": 12}


class Range(NamedTuple):
    """A range from its first moment to before `behind`; None if the calendar ends before that."""

    start: datetime
    behind: datetime | None


def as_range(value: datetime | date | Relative, now: datetime, zone: ZoneInfo) -> Range:
    """The moments that a value stands for: all of a day, or a single moment.

    Raises ValueError or OverflowError if the value lies outside the years 1 to 9999.
    """
    if isinstance(value, Relative):
        value = _moved(value, now, zone)
    if not isinstance(value, datetime):
        return Range(beginning(value, zone), None if value == date.max else beginning(value + _DAY, zone))
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone)
    start = value.astimezone(UTC)
    return Range(start, None if start == datetime.max.replace(tzinfo=UTC) else start + _MICROSECOND)


def _moved(value: Relative, now: datetime, zone: ZoneInfo) -> datetime | date:
    if value.base == "now":
        if value.unit in _ELAPSED:
            return now + value.amount * _ELAPSED[value.unit]
        here = now.astimezone(zone)
        # When the clocks go back, an hour comes twice. `now` without an offset keeps the right one of the
        # two.
        return here if value.amount == 0 else _by_calendar(here, value)
    day = now.astimezone(zone).date() + _FROM_TODAY[value.base] * _DAY
    if value.unit in _ELAPSED:
        return beginning(day, zone) + value.amount * _ELAPSED[value.unit]
    return _by_calendar(day, value)


def _by_calendar(start: date, value: Relative) -> date:
    """A day, or a time of day, moved by days or months; in a month that is too short, its last day."""
    if value.unit in _DAYS:
        return start + value.amount * _DAYS[value.unit] * _DAY
    months = start.year * 12 + start.month - 1 + value.amount * _MONTHS[value.unit]
    year, month = months // 12, months % 12 + 1
    # `replace` refuses a year outside the calendar, with a clearer error than `monthrange`.
    last = monthrange(year, month)[1] if 1 <= year <= 9999 else 28
    return start.replace(year=year, month=month, day=min(start.day, last))
