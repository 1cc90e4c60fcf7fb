"""Figures about tasks, which include every change up to the moment of the request.

Triggers in the database maintain the counts behind the figures, in the transaction of each change.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, func, select
from sqlalchemy.orm import Session

from database import AnyRow
from models import STATUSES, tasks, users
from schemas.common import Page
from services import completion_times
from services.paging import PageOf, encode_cursor, first_of, place_of
from storage.prepared import prepared
from tables.counts import owner_counts, project_counts, system_counts

RECENT = timedelta(days=7)


def _sums(table: Any) -> list[Any]:
    return [func.coalesce(func.sum(table.c[status]), 0).label(status) for status in STATUSES]


_OWNER = prepared(select(*_sums(owner_counts)).where(owner_counts.c.user_id == bindparam("user_id")))
# One row, or none for an account that was deleted.
_CACHED = prepared(
    select(
        users.c.username,
        func.coalesce(func.sum(owner_counts.c.version), 0).label("version"),
        *_sums(owner_counts),
    )
    .join_from(users, owner_counts, owner_counts.c.user_id == users.c.id, isouter=True)
    .where(users.c.id == bindparam("user_id"))
    .group_by(users.c.id, users.c.username)
)
_TASK_COUNTS = select(*_sums(system_counts))
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
_PROJECTS_PAGE = (
    _PROJECTS.where(project_counts.c.project > bindparam("after"))
    .limit(bindparam("limit"))
    .offset(bindparam("skip"))
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


def get_versioned_stats(db: Session, user_id: int) -> tuple[int, dict[str, Any]] | None:
    """The figures of `get_user_stats` with a number that grows with every change of the account's tasks.

    None for an account that is not there.
    """
    row = db.execute(_CACHED, {"user_id": user_id}).first()
    if row is None:
        return None
    return int(row.version), {"user_id": user_id, "username": row.username, **_rated(row)}


def get_task_counts(db: Session) -> dict[str, int]:
    """Everybody's tasks by status."""
    row = db.execute(_TASK_COUNTS).one()
    return {status: int(getattr(row, status)) for status in STATUSES}


def get_all_users_stats(
    db: Session, *, limit: int = 100, skip: int = 0, cursor: str | None = None
) -> PageOf[dict[str, Any]]:
    """A page of the statistics of every account, by id, accounts without tasks included; raises InvalidInput."""
    # The parameters of a program that calls this are not bounded as those of a request.
    page = Page.model_construct(limit=limit, skip=skip, cursor=cursor)
    asked = {"after_id": place_of(page, int, first=-1), "limit": limit + 1, "skip": skip}
    rows = db.execute(_ALL_USERS, asked).all()
    stats = [{"user_id": row.id, "username": row.username, **_rated(row)} for row in rows]
    return first_of(stats, limit, lambda last: encode_cursor(last["user_id"]))


def get_project_stats(db: Session, user_id: int) -> list[dict[str, Any]]:
    """The statistics of each of an account's projects, by name."""
    return [{"project": row.project, **_rated(row)} for row in db.execute(_PROJECTS, {"user_id": user_id})]


def get_project_stats_page(db: Session, user_id: int, page: Page) -> PageOf[dict[str, Any]]:
    """A page of the statistics of an account's projects; raises InvalidInput for a bad cursor."""
    # The first page begins after the empty text, because no project has an empty name.
    asked = {
        "user_id": user_id,
        "after": place_of(page, str, first=""),
        "limit": page.limit + 1,
        "skip": page.skip,
    }
    rows = db.execute(_PROJECTS_PAGE, asked).all()
    stats = [{"project": row.project, **_rated(row)} for row in rows]
    return first_of(stats, page.limit, lambda last: encode_cursor(last["project"]))


def get_system_summary(db: Session) -> dict[str, Any]:
    """The counts and averages of everybody's tasks and accounts."""
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


def get_completion_time_stats(db: Session, user_id: int) -> dict[str, Any]:
    """Statistics of how long an account's completed tasks took, in hours."""
    return completion_times.get_stats(db, user_id)
