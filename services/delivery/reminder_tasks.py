"""Reminders of tasks that are due soon or overdue: one for each task and due time, by any process."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Select, and_, bindparam, exists, literal, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite

from config import settings
from database import database
from models import tasks
from tables.history import task_history
from tables.notifications import notifications
from tables.projects import projects

BATCH = 500
# A task that has been overdue for longer, as after an import from elsewhere, is news to no one.
LONGEST_OVERDUE = timedelta(days=7)

_COLUMNS = (
    "user_id",
    "kind",
    "task_id",
    "task_title",
    "actor_id",
    "created_at",
    "due_at",
    "state",
    "attempts",
    "next_attempt_at",
)
# Open tasks, except those in archived projects, which nobody could complete.
_IS_OPEN = and_(
    tasks.c.status != literal_column("'completed'"),
    ~exists().where(projects.c.id == tasks.c.project_id, projects.c.archived_at.is_not(None)),
)
# The condition that a notification is a reminder which is no longer true, as of a task that is completed by now.
IS_OVERTAKEN = and_(
    notifications.c.due_at.is_not(None),
    ~exists().where(
        tasks.c.id == notifications.c.task_id,
        tasks.c.user_id == notifications.c.user_id,
        tasks.c.due_at == notifications.c.due_at,
        _IS_OPEN,
    ),
)


def _due(kind: str) -> Select[Any]:
    """Open tasks due in a span of time whose owners have not been reminded of them."""
    reminded = exists().where(
        notifications.c.task_id == tasks.c.id,
        notifications.c.user_id == tasks.c.user_id,
        notifications.c.kind == kind,
        notifications.c.due_at == tasks.c.due_at,
    )
    # An import notifies no one, and so not of tasks that were overdue when they were imported.
    came_overdue = exists().where(
        task_history.c.task_id == tasks.c.id,
        task_history.c.kind == "imported",
        task_history.c.created_at >= tasks.c.due_at,
    )
    return select(
        tasks.c.user_id,
        literal(kind),
        tasks.c.id,
        tasks.c.title,
        tasks.c.user_id,
        bindparam("now", type_=notifications.c.created_at.type),
        tasks.c.due_at,
        literal("waiting"),
        literal(0),
        bindparam("now", type_=notifications.c.created_at.type),
    ).where(
        _IS_OPEN,
        and_(tasks.c.due_at > bindparam("after"), tasks.c.due_at <= bindparam("until")),
        ~reminded,
        ~came_overdue,
    )


KINDS = ("due_soon", "overdue")
_FIND = {
    kind: _due(kind).with_only_columns(tasks.c.id).order_by(tasks.c.due_at).limit(BATCH) for kind in KINDS
}
_THESE = tasks.c.id.in_(bindparam("ids", expanding=True))
_INSERT: dict[tuple[str, str], Any] = {
    (dialect.dialect.name, kind): dialect.insert(notifications)
    .from_select(_COLUMNS, _due(kind).where(_THESE))
    .on_conflict_do_nothing()
    .returning(notifications.c.id)
    for dialect in (postgresql, sqlite)
    for kind in KINDS
}


def remind() -> int:
    """Write reminders for tasks that have become due soon or overdue; returns their number."""
    now, longest = datetime.now(UTC), LONGEST_OVERDUE
    if settings.retention_history_days is not None:
        # Without its history, a task that was overdue when it was imported looks like one that became so here.
        longest = min(longest, timedelta(days=settings.retention_history_days))
    spans = {
        "due_soon": (now, now + timedelta(hours=settings.reminder_hours)),
        "overdue": (now - longest, now),
    }
    return sum(
        _remind(kind, {"now": now, "after": after, "until": until}) for kind, (after, until) in spans.items()
    )


def _remind(kind: str, values: dict[str, datetime]) -> int:
    """Read first, which blocks no writer; then check and write only the tasks that were found."""
    reminded = 0
    while ids := database.read(lambda db: list(db.execute(_FIND[kind], values).scalars())):
        statement = _INSERT["sqlite" if database.is_sqlite else "postgresql", kind]
        written = database.write(lambda db: db.execute(statement, {**values, "ids": ids}).all())  # noqa: B023
        if not written:
            break
        reminded += len(written)
    return reminded
