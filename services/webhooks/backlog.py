"""The backlog of deliveries to webhooks, waiting and given up, for operators."""

from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from models import users
from services.webhooks import claims
from storage.column_types import UtcDateTime, is_among
from tables.webhooks import webhook_deliveries, webhooks

_NOW: Any = bindparam("now", type_=UtcDateTime())
_IS_FAILED = webhook_deliveries.c.state == "failed"
_COUNTS = select(
    select(func.count(webhook_deliveries.c.id))
    .where(webhook_deliveries.c.next_attempt_at.is_not(None))
    .scalar_subquery()
    .label("waiting"),
    select(func.count(webhook_deliveries.c.id)).where(_IS_FAILED).scalar_subquery().label("failed"),
    select(func.count(webhooks.c.id)).where(webhooks.c.enabled).scalar_subquery().label("enabled"),
    select(func.count(webhooks.c.id))
    .where(webhooks.c.disabled_reason.is_not(None))
    .scalar_subquery()
    .label("switched_off"),
    # Receivers in trouble are left out, because their deliveries are late by their own fault. Those of an account that
    # is off get nothing.
    select(func.min(webhooks.c.due_at))
    .join_from(webhooks, users, users.c.id == webhooks.c.user_id)
    .where(
        claims.IS_ON,
        ~claims.TROUBLED,
        or_(webhooks.c.claimed_until.is_(None), webhooks.c.claimed_until <= _NOW),
    )
    .scalar_subquery()
    .label("due_at"),
)
_FAILED = (
    select(
        *(
            webhook_deliveries.c[name]
            for name in ("id", "webhook_id", "type", "attempts", "error", "created_at")
        ),
        webhooks.c.url,
        webhooks.c.user_id,
    )
    .join_from(webhook_deliveries, webhooks, webhooks.c.id == webhook_deliveries.c.webhook_id)
    .where(_IS_FAILED)
    .order_by(webhook_deliveries.c.id.desc())
    .limit(bindparam("limit"))
)
_TROUBLED = (
    select(
        *(
            webhooks.c[name]
            for name in ("id", "user_id", "url", "enabled", "disabled_reason", "failing_since")
        )
    )
    .where(or_(webhooks.c.failing_since.is_not(None), webhooks.c.disabled_reason.is_not(None)))
    .order_by(webhooks.c.id)
)
_RETRY = (
    update(webhook_deliveries)
    .where(_IS_FAILED)
    .values(state="waiting", attempts=0, next_attempt_at=_NOW)
    .returning(webhook_deliveries.c.webhook_id)
)
_RETRY_ONE = _RETRY.where(webhook_deliveries.c.id == bindparam("of_delivery"))
_MAKE_DUE = update(webhooks).where(is_among(webhooks.c.id, "ids")).values(due_at=_NOW)


class WebhookBacklog(NamedTuple):
    """The numbers of waiting and failed deliveries, and of webhooks that are on or were switched off."""

    waiting: int
    failed: int
    enabled: int
    switched_off: int
    # The time since which the first of the healthy receivers waits to be served.
    due_at: datetime | None


def backlog(db: Session) -> WebhookBacklog:
    """Count the deliveries that wait or failed, and the webhooks."""
    return WebhookBacklog(*db.execute(_COUNTS, {"now": datetime.now(UTC)}).one())


def get_failed(db: Session, *, limit: int) -> list[AnyRow]:
    """The last deliveries that were given up, each with its last error."""
    return list(db.execute(_FAILED, {"limit": limit}))


def get_troubled(db: Session) -> list[AnyRow]:
    """The webhooks whose receivers fail, or that were switched off for failing."""
    return list(db.execute(_TROUBLED))


def retry_failed(db: Session, delivery_id: int | None = None) -> int:
    """Have failed deliveries tried again, all or one; returns their number."""
    now = datetime.now(UTC)
    statement = _RETRY if delivery_id is None else _RETRY_ONE
    values: dict[str, Any] = {"now": now} | ({} if delivery_id is None else {"of_delivery": delivery_id})
    ids = list(db.execute(statement, values).scalars())
    if ids:
        db.execute(_MAKE_DUE, {"ids": sorted(set(ids)), "now": now})
    return len(ids)
