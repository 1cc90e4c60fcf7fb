"""Figures about tasks, right at the moment they are asked for.

Counts by status are kept by the database itself, in the transaction of each change; completion times
are computed when they are asked for and kept until the owner's tasks change.
"""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

import numpy as np
from sqlalchemy import bindparam, func, literal_column, select
from sqlalchemy.orm import Session

from database import AnyRow
from models import MicrosecondsBetween, owner_counts, project_counts, system_counts, tasks, users
from services.bulk_numbers import as_text, read_numbers
from services.paging import PageOf, decode_cursor, encode_cursor, invalid_cursor

STATUSES = ("pending", "in_progress", "completed")
RECENT = timedelta(days=7)
HOUR = 3_600_000_000  # microseconds


def _sums(table: Any) -> list[Any]:
    return [func.coalesce(func.sum(table.c[status]), 0).label(status) for status in STATUSES]


_OWNER = select(*_sums(owner_counts)).where(owner_counts.c.user_id == bindparam("user_id"))
_TASK_COUNTS = select(*_sums(system_counts))
_VERSION = select(func.coalesce(func.sum(owner_counts.c.version), 0)).where(
    owner_counts.c.user_id == bindparam("user_id")
)
_ALL_USERS = (
    select(users.c.id, users.c.username, *_sums(owner_counts))
    .join_from(users, owner_counts, owner_counts.c.user_id == users.c.id, isouter=True)
    .where(users.c.id > bindparam("after_id"))
    .group_by(users.c.id, users.c.username)
    .order_by(users.c.id)
    .limit(bindparam("limit"))
    .offset(bindparam("skip"))
)
_PROJECTS = (
    select(project_counts.c.project, *_sums(project_counts))
    .where(project_counts.c.user_id == bindparam("user_id"))
    .group_by(project_counts.c.project)
    .having(
        func.sum(project_counts.c.pending + project_counts.c.in_progress + project_counts.c.completed) > 0
    )
    .order_by(project_counts.c.project)
)
# By the status, whose index has both times.
_TIMES = as_text(
    select(MicrosecondsBetween(tasks.c.created_at, tasks.c.completed_at).label("took")).where(
        tasks.c.user_id == bindparam("user_id"), tasks.c.status == literal_column("'completed'")
    )
)
_SYSTEM = select(
    *_sums(system_counts),
    select(func.count()).select_from(users).scalar_subquery().label("total_users"),
    select(func.count()).select_from(users).where(users.c.is_active).scalar_subquery().label("active_users"),
    select(func.count())
    .select_from(tasks)
    .where(tasks.c.created_at >= bindparam("since"), tasks.c.created_at <= bindparam("now"))
    .scalar_subquery()
    .label("recent"),
)


def _percentage(part: int, whole: int) -> float:
    return round(100 * part / whole, 2) if whole else 0.0


def _counts(row: AnyRow) -> dict[str, int]:
    pending, in_progress, completed = int(row.pending), int(row.in_progress), int(row.completed)
    return {
        "total_tasks": pending + in_progress + completed,
        "completed_tasks": completed,
        "pending_tasks": pending,
        "in_progress_tasks": in_progress,
    }


def _rated(row: AnyRow) -> dict[str, Any]:
    counts = _counts(row)
    return {**counts, "completion_rate": _percentage(counts["completed_tasks"], counts["total_tasks"])}


def get_user_stats(db: Session, user_id: int, username: str) -> dict[str, Any]:
    """An account's tasks by status, and the percentage that is completed."""
    row = db.execute(_OWNER, {"user_id": user_id}).one()
    return {"user_id": user_id, "username": username, **_rated(row)}


def get_task_counts(db: Session) -> dict[str, int]:
    """Everybody's tasks by status."""
    row = db.execute(_TASK_COUNTS).one()
    return {status: int(getattr(row, status)) for status in STATUSES}


def get_version(db: Session, user_id: int) -> int:
    """A number that grows with every change of an account's tasks."""
    return int(db.execute(_VERSION, {"user_id": user_id}).scalar_one())


def get_all_users_stats(
    db: Session, *, limit: int = 100, skip: int = 0, cursor: str | None = None
) -> PageOf[dict[str, Any]]:
    """The same for every account, by id, those without tasks included."""
    if cursor is not None and skip:
        raise invalid_cursor("It goes on where a page ended, and can't be combined with `skip`")
    after_id = decode_cursor(cursor, int)[0] if cursor is not None else -1
    rows = db.execute(_ALL_USERS, {"after_id": after_id, "limit": limit + 1, "skip": skip}).all()
    stats = [{"user_id": row.id, "username": row.username, **_rated(row)} for row in rows[:limit]]
    return PageOf(stats, encode_cursor(rows[limit - 1].id) if len(rows) > limit else None)


def get_project_stats(db: Session, user_id: int) -> list[dict[str, Any]]:
    """The same for each of an account's project_counts, by name."""
    return [{"project": row.project, **_rated(row)} for row in db.execute(_PROJECTS, {"user_id": user_id})]


def get_system_summary(db: Session) -> dict[str, Any]:
    """Everybody's tasks together."""
    now = datetime.now(UTC)
    row = db.execute(_SYSTEM, {"since": now - RECENT, "now": now}).one()
    counts = _counts(row)
    total = counts["total_tasks"]
    return {
        "total_users": row.total_users,
        "active_users": row.active_users,
        **counts,
        "avg_tasks_per_user": round(total / row.total_users, 2) if row.total_users else 0.0,
        "overall_completion_rate": _percentage(counts["completed_tasks"], total),
        "recent_tasks_7_days": row.recent,
        "generated_at": now,
    }


class _Kept:
    """Figures that were computed, with the version of what they were computed from."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._figures: OrderedDict[int, tuple[int, dict[str, Any]]] = OrderedDict()
        self._lock = Lock()
        self.hits = self.misses = 0

    def get(self, key: int, version: int) -> dict[str, Any] | None:
        kept = self._figures.get(key)
        if kept is None or kept[0] != version:
            self.misses += 1
            return None
        self.hits += 1
        return kept[1]

    def put(self, key: int, version: int, figures: dict[str, Any]) -> None:
        with self._lock:
            self._figures[key] = (version, figures)
            self._figures.move_to_end(key)
            if len(self._figures) > self._size:
                self._figures.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._figures.clear()


completion_times = _Kept(1000)


def get_completion_time_stats(db: Session, user_id: int) -> dict[str, Any]:
    """How long an account's completed tasks took, in hours, percentiles by linear interpolation."""
    # The version is read first: what changes in between makes the figures newer than it, never older.
    version = get_version(db, user_id)
    figures = completion_times.get(user_id, version)
    if figures is None:
        (durations,) = read_numbers(db, _TIMES, {"user_id": user_id}, 1)
        figures = _summarize(np.sort(durations).tolist())
        completion_times.put(user_id, version, figures)
    return figures


def _summarize(durations: list[int]) -> dict[str, Any]:
    """What sorted durations, in microseconds, come to in hours."""

    def hours(value: float) -> float:
        return round(value / HOUR, 2)

    def percentile(percent: int) -> float | None:
        if not durations:
            return None
        # Whole numbers as far as possible: a hundredth of a place between two neighbours.
        below, part = divmod((len(durations) - 1) * percent, 100)
        above = min(below + 1, len(durations) - 1)
        return hours(durations[below] + (durations[above] - durations[below]) * part / 100)

    return {
        "total_completed_tasks": len(durations),
        "average_completion_time_hours": hours(sum(durations) / len(durations)) if durations else None,
        "fastest_completion_hours": hours(durations[0]) if durations else None,
        "slowest_completion_hours": hours(durations[-1]) if durations else None,
        "median_completion_time_hours": percentile(50),
        "p85_completion_time_hours": percentile(85),
        "p95_completion_time_hours": percentile(95),
        "message": None if durations else "No completed tasks found",
    }
