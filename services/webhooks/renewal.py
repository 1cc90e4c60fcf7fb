"""Hourly work for webhooks.

It encrypts secrets by the new key, deletes webhooks of deleted projects, and ends pauses that were written while the clock
was ahead.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, exists, func, null, or_, select, update
from sqlalchemy.orm import Session

from config import settings
from database import database
from services.events.watermark import WEBHOOKS
from services.webhooks import secret as secrets
from services.webhooks.sending import LONGEST_DELAY
from storage.column_types import UtcDateTime
from tables.history import task_history
from tables.projects import projects
from tables.webhooks import feed_positions, webhook_deliveries, webhooks

_SECRETS = select(webhooks.c.id, webhooks.c.secret, webhooks.c.previous_secret).order_by(webhooks.c.id)
_LOCKED = _SECRETS.where(webhooks.c.id == bindparam("webhook_id")).with_for_update()
_WRITE = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("of_webhook"))
    .values(secret=bindparam("new_secret"), previous_secret=bindparam("new_previous"))
)
# The event up to which deliveries are written.
_DISPATCHED = select(feed_positions.c.event_id).where(feed_positions.c.name == WEBHOOKS).scalar_subquery()
_ORPHANS = delete(webhooks).where(
    webhooks.c.project_id.is_not(None),
    ~exists().where(projects.c.id == webhooks.c.project_id),
    ~exists().where(
        webhook_deliveries.c.webhook_id == webhooks.c.id, webhook_deliveries.c.next_attempt_at.is_not(None)
    ),
    # Webhooks of a project get the event of its deletion too, so they stay for a while.
    ~exists().where(
        task_history.c.project_id == webhooks.c.project_id,
        task_history.c.kind == "project_deleted",
        or_(
            task_history.c.created_at > bindparam("a_while_ago"),
            # The program may not have run since then.
            and_(webhooks.c.enabled, task_history.c.id > func.coalesce(_DISPATCHED, 0)),
        ),
    ),
)

# No claim lasts as long.
_LONGEST_CLAIM = timedelta(hours=1)
_NOW: Any = bindparam("now", type_=UtcDateTime())
_LATEST: Any = bindparam("latest", type_=UtcDateTime())
_IS_CLAIMED_FAR = webhooks.c.claimed_until > bindparam("claimed_latest", type_=UtcDateTime())
# Deliveries are looked up webhook by webhook, as the index has them.
_FAR = select(webhooks.c.id).where(
    or_(
        webhooks.c.due_at > _LATEST,
        _IS_CLAIMED_FAR,
        exists().where(
            webhook_deliveries.c.webhook_id == webhooks.c.id, webhook_deliveries.c.next_attempt_at > _LATEST
        ),
    )
)
_LOCK = select(webhooks.c.id).where(webhooks.c.id == bindparam("of_webhook")).with_for_update()
_END_PAUSES = (
    update(webhook_deliveries)
    .where(
        webhook_deliveries.c.webhook_id == bindparam("of_webhook"),
        webhook_deliveries.c.next_attempt_at > _LATEST,
    )
    .values(next_attempt_at=_NOW)
)
# A sender sets the time that is right when it has looked at the deliveries.
_MAKE_DUE = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("of_webhook"))
    .values(due_at=_NOW, claimed_until=case((_IS_CLAIMED_FAR, null()), else_=webhooks.c.claimed_until))
)


def end_long_pauses() -> None:
    """Make the deliveries due whose next attempt is further ahead than any pause is long.

    Such times were written while the clock was ahead: without this they hold until the clock comes there.
    """
    now = datetime.now(UTC)
    values = {"now": now, "latest": now + LONGEST_DELAY, "claimed_latest": now + _LONGEST_CLAIM}
    for webhook_id in database.read(lambda db: list(db.execute(_FAR, values).scalars())):
        of_webhook = values | {"of_webhook": webhook_id}
        database.write(lambda db, of_webhook=of_webhook: _end_pauses(db, of_webhook))  # type: ignore[misc]


def _end_pauses(db: Session, values: dict[str, Any]) -> None:
    # Senders lock the webhook first too.
    db.execute(_LOCK, values)
    db.execute(_END_PAUSES, values)
    db.execute(_MAKE_DUE, values)


def delete_orphans() -> None:
    """Delete the webhooks of deleted projects, after the event of the deletion was delivered."""
    values = {"a_while_ago": datetime.now(UTC) - timedelta(hours=1)}
    database.write(lambda db: db.execute(_ORPHANS, values))


def renew_secrets() -> None:
    """Encrypt secrets again that need `SECRET_KEY_PREVIOUS`, so that this setting can be removed."""
    if settings.secret_key_previous is None:
        return
    for row in database.read(lambda db: list(db.execute(_SECRETS))):
        if not all(map(secrets.is_of_current_key, filter(None, (row.secret, row.previous_secret)))):
            database.write(lambda db, webhook_id=row.id: _renew(db, webhook_id))  # type: ignore[misc]


def _renew(db: Session, webhook_id: int) -> None:
    row = db.execute(_LOCKED, {"webhook_id": webhook_id}).first()
    if row is None:
        return
    renewed = {
        "new_secret": _renewed(row.secret),
        "new_previous": row.previous_secret and _renewed(row.previous_secret),
    }
    db.execute(_WRITE, {"of_webhook": webhook_id, **renewed})


def _renewed(stored: str) -> str:
    """The secret by the current key; a secret that can't be read stays as it is, and keeps no other from being renewed."""
    if secrets.is_of_current_key(stored):
        return stored
    try:
        return secrets.encrypt(secrets.decrypt(stored))
    except secrets.SecretUnreadableError:
        return stored
