"""Pages of the feed: the events that an account may see, oldest first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from database import AnyRow
from errors import project_not_found
from models import Caller
from security.callers import require_admin
from services.events import event, event_id, sight
from services.events.rebuilding import rebuilt
from services.events.watermark import watermark
from storage.column_types import is_among
from storage.prepared import prepared
from tables.history import task_history

# A page ends after this many characters of long texts. A change of a description may have three of 65,536: the one
# before, the one after, and the task's. Five hundred such events took two gigabytes.
LONGEST_PAGE = 4_000_000
# This many events are read at once, before the length of the page is known.
AT_ONCE = 100
# The texts of tasks, comments and projects that may be long, and the length of everything else in an event.
_LONG_TEXTS = ("description", "text")
_OTHER_LENGTH = 1000
# The events of a task that the caller sees are sought among this many of the task's events at once.
MOST_EXAMINED = 2000

_ID = task_history.c.id
_THESE = prepared(select(*event.COLUMNS).where(is_among(_ID, "ids")).order_by(_ID))


@dataclass(frozen=True)
class Question:
    """The events that are asked for."""

    types: Sequence[str] = ()
    project_id: int | None = None
    task_id: int | None = None
    everybodys: bool = False
    kinds: frozenset[str] | None = field(init=False, compare=False)

    def __post_init__(self) -> None:
        """Look up the kinds that the types stand for."""
        object.__setattr__(self, "kinds", event.kinds_of(self.types) if self.types else None)

    def takes_an_admin(self, user: Caller) -> bool:
        """Whether the caller sees the events that are asked for only as an admin."""
        is_of_one_thing = self.project_id is not None or self.task_id is not None
        return self.everybodys or (user.is_admin and is_of_one_thing)

    def asks_for(self, row: AnyRow) -> bool:
        """Whether the question asks for this event, which the caller sees."""
        return (
            (self.kinds is None or row.kind in self.kinds)
            and (self.task_id is None or row.task_id == self.task_id)
            and (self.project_id is None or self.project_id in (row.project_id, row.previous_project_id))
        )


@dataclass(frozen=True)
class EventPage:
    """The events of a page, the number after which the next page begins, and whether more events are there."""

    events: list[dict[str, Any]]
    position: int
    has_more: bool


class Beginning(NamedTuple):
    """The numbers after which the feed is read, of the newest event, and of the last event that may be shown."""

    after: int
    newest: int
    until: int


def begin(db: Session, after: str | None, pointer: str = "?after") -> Beginning:
    """Begin behind the event with the id `after`, or at the feed's beginning; raises InvalidInput, Gone."""
    if after is None:
        newest, until, _ = watermark.look_at(db)
        return Beginning(event_id.before_oldest(db), newest, until)
    row_id = event_id.decode(after)
    newest, until, time = watermark.look_at(db, row_id or 0)
    return Beginning(event_id.check(db, row_id, time, pointer), newest, until)


def begin_at_end(db: Session) -> Beginning:
    """Begin behind the last event that may be shown."""
    newest, until, _ = watermark.look_at(db)
    return Beginning(until, newest, until)


def check(db: Session, user: Caller, question: Question) -> list[sight.Part] | None:
    """Raise Forbidden or NotFound if the caller may not ask this.

    Returns the parts of the feed that a member sees of the project that is asked for; None for any other question.
    """
    if question.everybodys:
        require_admin(user)
    if question.project_id is None or user.is_admin:
        return None
    parts = [part for part in sight.memberships(db, user.id) if part.value == question.project_id]
    if not parts:
        raise project_not_found()
    return parts


def page(
    db: Session, user: Caller, question: Question, after: int, limit: int, until: int | None = None
) -> EventPage:
    """The next events that are asked for and that the caller sees; raises Forbidden, NotFound.

    The page is empty only if there is no such event yet, however many others are there. `until` is the watermark, if
    the caller has looked at it already.
    """
    parts = check(db, user, question)
    if until is None:
        until = watermark.look(db)
    if until <= after:
        return EventPage([], after, has_more=False)
    parts = parts or _parts(db, user, question)
    events: list[dict[str, Any]] = []
    position, length = after, 0
    while position < until and len(events) < limit:
        found = _examine(db, parts, question, position, until, min(AT_ONCE, limit - len(events)))
        position = found.until
        tasks = rebuilt(db, found.found)
        for row in found.found:
            events.append(event.event_of(row, tasks.get(row.id)))
            data = events[-1]["data"]
            length += _length(data["changes"], data["task"], data.get("comment") or data.get("project"))
            if length > LONGEST_PAGE:
                return EventPage(events, row.id, has_more=row.id < until)
    return EventPage(events, position, has_more=position < until)


def _length(
    changes: Mapping[str, Any], task: Mapping[str, Any] | None, subject: Mapping[str, Any] | None
) -> int:
    """The characters of an event with these changes, of a task or of another subject, by their long texts."""
    length = _OTHER_LENGTH
    if task is not None:
        length += len(task.get("description") or "")
    # Most changes are of a task's short fields.
    if subject is not None or "description" in changes:
        for name in _LONG_TEXTS:
            if change := changes.get(name):
                length += len(change["from"] or "") + len(change["to"] or "")
            if subject is not None:
                length += len(subject.get(name) or "")
    return length


def events_of(db: Session, ids: Sequence[int]) -> dict[int, dict[str, Any]]:
    """The events of the rows with these numbers, by the number, in their order."""
    rows = db.execute(_THESE, {"ids": ids}).all() if ids else ()
    tasks = rebuilt(db, rows)
    return {row.id: event.event_of(row, tasks.get(row.id)) for row in rows}


def _parts(db: Session, user: Caller, question: Question) -> list[sight.Part] | None:
    """The parts of the feed that are asked for, besides those of `check`; None stands for the whole feed."""
    if question.project_id is not None:
        return sight.of_project(question.project_id)
    return None if question.takes_an_admin(user) else sight.of_account(db, user.id)


def _examine(
    db: Session, parts: list[sight.Part] | None, question: Question, after: int, until: int, limit: int
) -> sight.Examined:
    """The next rows that are asked for, at most `limit`."""
    if question.task_id is None:
        return sight.examine(db, parts, after, until, limit, question.kinds, whole=True)
    kinds = question.kinds
    examined = sight.examine_task(db, parts, question.task_id, after, until, MOST_EXAMINED)
    ids = [row.id for row in examined.found if kinds is None or row.kind in kinds]
    until = examined.until if len(ids) <= limit else ids[limit - 1]
    return sight.Examined(list(db.execute(_THESE, {"ids": ids[:limit]})) if ids else [], until)


# -- for streams ---------------------------------------------------------------------------------------

# The most new events that streams get at once.
MOST_NEWS = 500

_NEWS = prepared(
    select(*event.COLUMNS, task_history.c.owner_id, task_history.c.previous_owner_id)
    .where(task_history.c.id > bindparam("after"), task_history.c.id <= bindparam("until"))
    .order_by(task_history.c.id)
    .limit(AT_ONCE)
)


class News(NamedTuple):
    """Everybody's next events with the tasks that rows lack, and the number up to which none is missing.

    `until` is less than the number asked for if another database has replaced the former one.
    """

    events: list[tuple[AnyRow, dict[str, Any] | None]]
    until: int
    has_more: bool = False


def news(db: Session, after: int) -> News:
    """The events after this number, not too many and not too long together."""
    newest, until, _ = watermark.look_at(db)
    if until <= after:
        # A stream may go on behind an event that only another process knows to be decided yet.
        return News([], min(newest, after))
    rows: list[AnyRow] = []
    length, has_more = 0, True
    while has_more and len(rows) < MOST_NEWS and length <= LONGEST_PAGE:
        found = db.execute(_NEWS, {"after": rows[-1].id if rows else after, "until": until}).all()
        rows += found
        length += sum(_length(row.changes, row.snapshot, row.subject) for row in found)
        has_more = len(found) == AT_ONCE
    tasks = rebuilt(db, rows)
    return News([(row, tasks.get(row.id)) for row in rows], rows[-1].id if has_more else until, has_more)
