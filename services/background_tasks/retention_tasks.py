"""The hourly round: it deletes rows that are older than the settings allow, and does the rest of the hourly work.

An empty setting keeps everything.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Table, bindparam, delete, select, true
from sqlalchemy.orm import Session

from account_models import account_mails, audit_events, idempotency_keys
from config import settings
from database import AnyRow, database
from logging_config import logger
from services.accounts.old_sessions import delete_old_sessions
from services.delivery import long_pauses
from services.delivery.reminder_tasks import LONGEST_OVERDUE
from services.events.late_writers import fold_late_descriptions
from services.events.retention import forget_old_snapshots
from services.old_rows import last_old_row
from services.webhooks import renewal
from tables.history import task_history
from tables.notifications import notifications
from tables.webhooks import webhook_deliveries

BATCH = 1000


@dataclass(frozen=True)
class Rule:
    """Rows of a table are deleted once they are as old as a setting says, if they meet the condition.

    The setting counts `unit`s, by the argument of `timedelta`.
    """

    table: Table
    setting: str
    condition: ColumnElement[bool]
    unit: str = "days"


RULES = (
    # Rows about memberships stay: they decide which events an account sees, and they are few.
    Rule(
        task_history,
        "retention_history_days",
        task_history.c.kind.not_in(("project_created", "member_added", "member_removed")),
    ),
    # Undelivered notifications stay, and so do reminders that would otherwise be written again.
    Rule(
        notifications,
        "retention_notifications_days",
        notifications.c.state.in_(("delivered", "failed"))
        & (notifications.c.due_at.is_(None) | (notifications.c.due_at < bindparam("long_overdue"))),
    ),
    # Sent mails are deleted when they are sent.
    Rule(account_mails, "retention_notifications_days", account_mails.c.next_attempt_at.is_(None)),
    # The database refuses to delete an event of the audit trail whose time is not old, even if the clock was wrong.
    Rule(audit_events, "retention_audit_days", audit_events.c.created_at < bindparam("before")),
    # Waiting deliveries stay until they are delivered or have failed.
    Rule(webhook_deliveries, "retention_events_days", webhook_deliveries.c.state != "waiting"),
    Rule(idempotency_keys, "idempotency_hours", true(), unit="hours"),
)


def hourly_round() -> dict[str, int]:
    """Do all hourly work; returns the number of rows that the rules deleted, by table.

    Beside the rules, the round ends pauses that were written while the clock was ahead, deletes expired sessions and
    the copies of tasks in old events, folds descriptions that the previous version wrote, encrypts secrets by the new
    key, and deletes the webhooks of deleted projects.
    """
    long_pauses.end_long_pauses()
    renewal.end_long_pauses()
    deleted = {}
    for rule in RULES:
        age: int | None = getattr(settings, rule.setting)
        if age is not None and (count := _apply(rule, datetime.now(UTC) - timedelta(**{rule.unit: age}))):
            deleted[rule.table.name] = count
            logger.info(
                "Deleted %d rows of %s that were older than %d %s", count, rule.table.name, age, rule.unit
            )
    delete_old_sessions()
    forget_old_snapshots()
    fold_late_descriptions()
    renewal.renew_secrets()
    renewal.delete_orphans()
    return deleted


def _apply(rule: Rule, before: datetime) -> int:
    """Delete in the order of writing, in short transactions."""
    table, after, deleted = rule.table, -1, 0
    last = database.read(lambda db: last_old_row(db, table, before))
    if last is None:
        return 0
    page = (
        select(table.c.id)
        .where(table.c.id > bindparam("after"), table.c.id <= bindparam("last"), rule.condition)
        .order_by(table.c.id)
        .limit(BATCH)
    )
    drop = delete(table).where(table.c.id.in_(bindparam("ids", expanding=True)), rule.condition)
    # Not every condition has both.
    values = {"before": before, "long_overdue": datetime.now(UTC) - LONGEST_OVERDUE}
    while ids := database.read(partial(_ids, page, values | {"last": last, "after": after})):
        deleted += database.write(partial(_count, drop, values | {"ids": ids}))
        after = ids[-1]
    return deleted


def _ids(page: Any, values: dict[str, Any], db: Session) -> list[int]:
    rows: list[AnyRow] = list(db.execute(page, values))
    return [row.id for row in rows]


def _count(statement: Any, values: dict[str, Any], db: Session) -> int:
    result: Any = db.execute(statement, values)
    return int(result.rowcount)
