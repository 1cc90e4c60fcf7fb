"""Telling owners what happened to their tasks, from the rows that the changes wrote."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from database import AnyRow, database
from logging_config import logger
from models import notifications, tasks, users
from services.background_tasks.email_tasks import send_task_assignment_email, send_task_completion_email

BATCH = 100
LEASE = timedelta(minutes=2)
MOST_ATTEMPTS = 8
FIRST_DELAY = timedelta(seconds=5)

_DUE = (
    select(notifications.c.id)
    .where(notifications.c.state == "waiting", notifications.c.next_attempt_at <= bindparam("now"))
    .order_by(notifications.c.id)
    .limit(BATCH)
    .with_for_update(skip_locked=True)
)
_CLAIM = (
    update(notifications)
    .where(notifications.c.id.in_(_DUE.scalar_subquery()))
    .values(next_attempt_at=bindparam("until"), attempts=notifications.c.attempts + 1)
    .returning(*notifications.c)
)
_PEOPLE = select(users.c.id, users.c.username, users.c.email)
_TITLE = select(tasks.c.title).where(tasks.c.id == bindparam("task_id"))


def send_task_notification(user_id: int, task_title: str, action: str) -> None:
    """Tell an account, in the log, what happened to one of its tasks."""
    logger.info("Notification sent to user %s: Task '%s' was %s", user_id, task_title, action)


async def process_task_assignment(task_id: int, assigned_user_id: int, assigner_user_id: int) -> None:
    """Tell an account, in the log and by mail, that a task was given to it; what goes wrong is logged."""
    try:
        title = database.read(lambda db: db.execute(_TITLE, {"task_id": task_id}).scalar())
        people = database.read(lambda db: _people(db, {assigned_user_id, assigner_user_id}))
        if title is None or assigned_user_id not in people:
            return
        send_task_notification(assigned_user_id, title, "assigned")
        assigner = people[assigner_user_id].username if assigner_user_id in people else "somebody"
        await send_task_assignment_email(people[assigned_user_id].email, title, assigner)
    except Exception as error:  # noqa: BLE001  # one that fails must not stop the next
        logger.warning("Assignment of task %s was not told to user %s: %s", task_id, assigned_user_id, error)


def _people(db: Session, ids: set[int]) -> dict[int, AnyRow]:
    return {row.id: row for row in db.execute(_PEOPLE.where(users.c.id.in_(ids)))}


async def deliver_due() -> int:
    """Deliver the next notifications that are due, claimed so that nobody else delivers them too; how many."""
    now = datetime.now(UTC)
    claimed = database.write(lambda db: list(db.execute(_CLAIM, {"now": now, "until": now + LEASE})))
    if not claimed:
        return 0
    claimed.sort(key=lambda row: row.id)
    people = database.read(
        lambda db: _people(db, {row.user_id for row in claimed} | {row.actor_id for row in claimed})
    )
    results = [await _deliver(row, people) for row in claimed]
    database.write(lambda db: db.execute(_RESULT, results))
    return len(claimed)


_RESULT = (
    update(notifications)
    .where(notifications.c.id == bindparam("row_id"))
    .values(
        {
            name: bindparam(name)
            for name in ("state", "next_attempt_at", "logged_at", "delivered_at", "last_error")
        }
    )
)


async def _deliver(row: AnyRow, people: dict[int, AnyRow]) -> dict[str, Any]:
    """Deliver one; what its row is to say afterwards."""
    now = datetime.now(UTC)
    if row.logged_at is None:
        send_task_notification(row.user_id, row.task_title, row.kind)
    result = {"row_id": row.id, "next_attempt_at": row.next_attempt_at, "logged_at": row.logged_at or now}
    try:
        if row.user_id in people:
            await _mail(row, people)
    except Exception as error:  # noqa: BLE001  # kept with the row, and tried again
        logger.warning("Mail for notification %s was not sent (attempt %s): %s", row.id, row.attempts, error)
        gives_up = row.attempts >= MOST_ATTEMPTS
        retry_at = now + FIRST_DELAY * 2**row.attempts
        result |= {"state": "failed" if gives_up else "waiting", "next_attempt_at": retry_at}
        return {**result, "delivered_at": None, "last_error": str(error)[:1000]}
    return {**result, "state": "delivered", "delivered_at": now, "last_error": None}


async def _mail(row: AnyRow, people: dict[int, AnyRow]) -> None:
    email = people[row.user_id].email
    if row.kind == "completed":
        await send_task_completion_email(email, row.task_title)
    elif row.kind == "assigned":
        assigner = people[row.actor_id].username if row.actor_id in people else "somebody"
        await send_task_assignment_email(email, row.task_title, assigner)
