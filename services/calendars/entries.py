"""Writing tasks as entries of an iCalendar file (RFC 5545), one by one, so that memory holds no whole file."""

import re
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlsplit

from icalendar import Calendar, Event, vCategory, vText

from config import settings
from database import AnyRow
from schemas.common import beginning, zone_named

# Raise this when entries are written in another way, so that files that were fetched before count as changed.
FORMAT = 3
# The most characters of a description: programs that show calendars show few more, and writing whole descriptions takes long.
LONGEST_DESCRIPTION = 2000
FIELDS = (
    "id",
    "title",
    "description",
    "priority",
    "tags",
    "due_at",
    "created_at",
    "updated_at",
    "version",
)
# The priorities of tasks grow with urgency from 0. A calendar has 1 for the highest priority and 9 for the
# lowest.
PRIORITIES = (0, 9, 5, 3, 1)
REFRESH = timedelta(hours=1)
# Control characters that no text of a calendar may hold: all but a tab and the end of a line.
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_LINE_ENDS = re.compile(r"\r\n?")
_END = b"END:VCALENDAR\r\n"


class _Text(vText):
    r"""A text whose backslashes stay: the library takes `\N`, as in `C:\News`, for the end of a line."""

    def to_ical(self) -> bytes:
        escaped = self.replace("\\", r"\\").replace(";", r"\;").replace(",", r"\,").replace("\n", r"\n")
        return escaped.encode()


def head(name: str, tz: str, problem: str | None) -> bytes:
    """The beginning of a calendar's file, up to its first entry."""
    calendar = Calendar()
    calendar.add("prodid", "-//Task Platform//Calendar//EN")
    calendar.add("version", "2.0")
    calendar.add("calscale", "GREGORIAN")
    calendar.add("method", "PUBLISH")
    # The name and the refresh time stand in an old and a new form, because only some programs know the new
    # one.
    calendar.add("name", _line(name))
    calendar.add("x-wr-calname", _line(name))
    calendar.add("x-wr-timezone", tz)
    if problem is not None:
        calendar.add("x-wr-caldesc", _line(problem))
    calendar.add("refresh-interval", REFRESH, parameters={"value": "DURATION"})
    calendar.add("x-published-ttl", "PT1H")
    written: bytes = calendar.to_ical()
    return written.removesuffix(_END)


def foot() -> bytes:
    """The end of a calendar's file."""
    return _END


def entry(task: AnyRow, tz: str) -> bytes:
    """A task as an entry at its due time, or of a whole day if it is due at midnight in the zone."""
    event = Event()
    event.add("uid", f"task-{task.id}@{urlsplit(settings.public_url).hostname}")
    # Times in UTC need no description of a zone.
    event.add("dtstamp", task.updated_at)
    event.add("created", task.created_at)
    event.add("last-modified", task.updated_at)
    event.add("sequence", task.version - 1)
    event.add("dtstart", _whole_day(task.due_at, tz) or task.due_at)
    event.add("summary", _line(task.title))
    if task.description:
        event.add("description", _Text(_shortened(text(task.description))))
    if task.tags:
        categories = vCategory([])
        categories.cats = [_line(tag) for tag in task.tags]
        event.add("categories", categories)
    if task.priority:
        event.add("priority", PRIORITIES[task.priority])
    # A due task does not make its owner busy.
    event.add("transp", "TRANSPARENT")
    written: bytes = event.to_ical()
    return written


def _whole_day(due_at: datetime, tz: str) -> date | None:
    zone = zone_named(tz)
    try:
        day = due_at.astimezone(zone).date()
        return day if beginning(day, zone) == due_at.astimezone(UTC) else None
    except (OverflowError, ValueError):
        return None


def _shortened(value: str) -> str:
    return value if len(value) <= LONGEST_DESCRIPTION else f"{value[: LONGEST_DESCRIPTION - 1]}…"


def _line(value: str) -> _Text:
    """A text on one line: some programs leave out entries whose titles have several."""
    return _Text(text(value).replace("\n", " "))


def text(value: str) -> str:
    """A text without the characters that a calendar may not hold."""
    return _CONTROLS.sub("", _LINE_ENDS.sub("\n", value))
