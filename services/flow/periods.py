"""Days, weeks and months of the caller's calendar, as moments in microseconds."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from errors import invalid_at
from schemas.common import beginning
from schemas.flow import Interval
from storage.column_types import microseconds, moment

DAY = timedelta(days=1)
WEEK = timedelta(days=7)
DEFAULT_DAYS = 90
# Between these days, even the previous period lies within the calendar.
EARLIEST, LATEST = date(1900, 1, 1), date(2200, 1, 1)
MOST_INTERVALS = 4000


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time without its end, and the zone of its days."""

    start: int
    end: int
    zone: ZoneInfo

    def first_day(self) -> date:
        """The day on which the period begins."""
        return local_day(self.start, self.zone)

    def before(self) -> "Period":
        """The period of the same length before this one; a period of whole days is counted in days."""
        first, behind = local_day(self.start, self.zone), local_day(self.end, self.zone)
        if (midnight(first, self.zone), midnight(behind, self.zone)) == (self.start, self.end):
            return Period(midnight(first - (behind - first), self.zone), self.start, self.zone)
        return Period(self.start - (self.end - self.start), self.start, self.zone)


def midnight(day: date, zone: ZoneInfo) -> int:
    """The beginning of a day; if the clocks skip midnight, the first moment after it."""
    return microseconds(beginning(day, zone))


def local_day(at: int, zone: ZoneInfo) -> date:
    """The day that a moment falls on."""
    return moment(at).astimezone(zone).date()


def period(start: date | None, end: date | None, zone: ZoneInfo, now: int) -> Period:
    """The period between two dates or times, by default the last 90 days; raises InvalidInput."""
    for name, value in (("from", start), ("to", end)):
        if value is not None and not EARLIEST <= _day(value) <= LATEST:
            problem = f"Should be between the years {EARLIEST.year} and {LATEST.year}"
            raise invalid_at(f"?{name}", problem)
    end = local_day(now, zone) if end is None else end
    until = microseconds(end) if isinstance(end, datetime) else midnight(end + DAY, zone)
    if start is None:
        start = local_day(until - 1, zone) - DAY * (DEFAULT_DAYS - 1)
    since = microseconds(start) if isinstance(start, datetime) else midnight(start, zone)
    are_days = not (isinstance(start, datetime) or isinstance(end, datetime))
    # A day that the zone skipped makes an empty period.
    is_backwards = start > end if are_days else since >= until
    if is_backwards:
        raise invalid_at("?from", "Should be before `to`")
    return Period(since, until, zone)


def _day(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def first_of(day: date, interval: Interval) -> date:
    """The first day of the interval that holds this day."""
    if interval == "week":
        return day - DAY * day.weekday()
    return day.replace(day=1) if interval == "month" else day


def following(day: date, interval: Interval) -> date:
    """The first day of the next interval."""
    if interval == "month":
        return (day.replace(day=1) + 31 * DAY).replace(day=1)
    return day + (WEEK if interval == "week" else DAY)


def intervals(asked: Period, interval: Interval) -> list[Period]:
    """The intervals of a period, the first and last cut to the period; raises InvalidInput for too many."""
    return list(_cut(asked, interval))


def _cut(asked: Period, interval: Interval) -> Iterator[Period]:
    day = first_of(asked.first_day(), interval)
    start, count = asked.start, 0
    while start < asked.end:
        day = following(day, interval)
        end = min(midnight(day, asked.zone), asked.end)
        # A zone that crossed the date line skipped a day, whose interval would be empty.
        if end > start:
            count += 1
            if count > MOST_INTERVALS:
                problem = (
                    f"Makes more than {MOST_INTERVALS:,} intervals: ask for longer ones or a shorter period"
                )
                raise invalid_at("?interval", problem)
            yield Period(start, end, asked.zone)
            start = end
