"""The reads and writes of senders: claiming webhooks, taking their due deliveries, and writing the results.

A sender claims a webhook, not a delivery. A receiver that is down therefore holds up only one sender, however
many deliveries wait for it. If a process dies with a claim, the webhook is free again when the claim ends.
"""

import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, func, literal_column, or_, select, update
from sqlalchemy.orm import Session

from config import settings
from database import AnyRow
from models import users
from services.accounts import account_mail
from services.events import event, event_id, feed
from services.webhooks import secret as secrets
from services.webhooks.sending import Letter, Result, next_attempt
from services.webhooks.webhook import PING
from storage.column_types import UtcDateTime
from tables.webhooks import webhook_deliveries, webhooks

# The number of deliveries to a healthy receiver that a sender takes at once.
BATCH = 20
# The number of deliveries to a slow receiver that a sender takes at once.
SLOW_BATCH = 5
# Receivers that take longer count as slow, and are served apart from the others.
SLOW_SECONDS = 2.0
# The pause after a receiver was not reached begins with one second, and doubles up to this.
LONGEST_PAUSE = timedelta(seconds=60)
# A webhook is switched off after this long without success.
PATIENCE = timedelta(days=5)
MARGIN = timedelta(seconds=5)

_NOW: Any = bindparam("now", type_=UtcDateTime())
TROUBLED = or_(webhooks.c.failures > literal_column("0"), webhooks.c.is_slow)
IS_ON = and_(webhooks.c.enabled, or_(webhooks.c.project_id.is_not(None), users.c.is_active))
_IS_FREE = or_(webhooks.c.claimed_until.is_(None), webhooks.c.claimed_until <= _NOW)
_CLAIMED_COLUMNS = tuple(
    webhooks.c[name]
    for name in (
        *("id", "user_id", "url", "secret", "previous_secret", "previous_secret_until"),
        *("claimed_until", "failing_since", "failures", "is_slow", "enabled"),
    )
)


def _claim_statement(*, troubled: bool) -> Any:
    due = (
        select(webhooks.c.id)
        .join_from(webhooks, users, users.c.id == webhooks.c.user_id)
        .where(IS_ON, webhooks.c.due_at <= _NOW, _IS_FREE, TROUBLED if troubled else ~TROUBLED)
        .order_by(webhooks.c.due_at, webhooks.c.id)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True, of=webhooks)
        .cte("due")
    )
    return (
        update(webhooks)
        .where(webhooks.c.id.in_(select(due.c.id)))
        .values(claimed_until=bindparam("until", type_=UtcDateTime()))
        .returning(*_CLAIMED_COLUMNS)
    )


_CLAIM = {troubled: _claim_statement(troubled=troubled) for troubled in (False, True)}
# A claimed webhook is due again when the claim ends, in case the process with the claim died.
_FREE_AT = case(
    (webhooks.c.claimed_until > webhooks.c.due_at, webhooks.c.claimed_until), else_=webhooks.c.due_at
)
_NEXT_DUE = (
    select(TROUBLED.label("is_troubled"), func.min(_FREE_AT, type_=UtcDateTime()).label("free_at"))
    .join_from(webhooks, users, users.c.id == webhooks.c.user_id)
    .where(IS_ON, webhooks.c.due_at.is_not(None))
    .group_by(TROUBLED)
)
_DUE = (
    select(
        *(
            webhook_deliveries.c[name]
            for name in ("id", "event_id", "type", "attempts", "next_attempt_at", "created_at")
        )
    )
    .where(
        webhook_deliveries.c.webhook_id == bindparam("webhook_id"),
        webhook_deliveries.c.next_attempt_at <= _NOW,
    )
    .order_by(webhook_deliveries.c.next_attempt_at, webhook_deliveries.c.id)
    .limit(bindparam("limit"))
)
_LOCK = select(*_CLAIMED_COLUMNS).where(webhooks.c.id == bindparam("webhook_id")).with_for_update()
_WRITE_RESULT = (
    update(webhook_deliveries)
    .where(webhook_deliveries.c.id == bindparam("delivery_id"))
    .values(
        state=bindparam("new_state"),
        attempts=bindparam("tried"),
        status_code=bindparam("answered"),
        error=bindparam("new_error"),
        duration_ms=bindparam("took"),
        next_attempt_at=bindparam("due_next", type_=UtcDateTime()),
    )
)
# A delivery that was asked for again during the attempt has another time, and is still to be made.
_WRITE_FAILURE = _WRITE_RESULT.where(
    webhook_deliveries.c.next_attempt_at == bindparam("was_due", type_=UtcDateTime())
)
_FIRST_DUE = select(func.min(webhook_deliveries.c.next_attempt_at)).where(
    webhook_deliveries.c.webhook_id == bindparam("webhook_id")
)
_UPDATE = update(webhooks).where(webhooks.c.id == bindparam("of_webhook"))
_OWNER = select(users.c.email).where(users.c.id == bindparam("user_id"))


def next_due(db: Session) -> dict[bool, float]:
    """The seconds until a sender is needed, for receivers in trouble (True) and for the others (False)."""
    now = datetime.now(UTC)
    return {
        bool(row.is_troubled): max(0.0, (row.free_at - now).total_seconds()) for row in db.execute(_NEXT_DUE)
    }


def lease() -> timedelta:
    """The duration of a claim: longer than the last letter of a turn may take."""
    return timedelta(seconds=settings.webhook_timeout_seconds) + MARGIN


def claim(db: Session, *, steady: int, troubled: int) -> list[AnyRow]:
    """Claim due webhooks: at most `steady` with healthy receivers, and `troubled` with others."""
    now = datetime.now(UTC)
    claimed: list[AnyRow] = []
    for is_troubled, limit in ((False, steady), (True, troubled)):
        if limit > 0:
            values = {"now": now, "until": now + lease(), "limit": limit}
            claimed += db.execute(_CLAIM[is_troubled], values).all()
    return claimed


def take(db: Session, webhook: AnyRow) -> list[Letter]:
    """The next letters for a claimed webhook; letters lack content or secrets that can't be read."""
    now = datetime.now(UTC)
    # A single letter tests whether a receiver can be reached again.
    limit = 1 if webhook.failures else SLOW_BATCH if webhook.is_slow else BATCH
    rows = db.execute(_DUE, {"webhook_id": webhook.id, "now": now, "limit": limit}).all()
    ids = [row.event_id for row in rows if row.event_id is not None]
    events = feed.events_of(db, ids)
    return [_letter(webhook, row, events.get(row.event_id), now) for row in rows]


def message_id(webhook_id: int, delivery: AnyRow) -> str:
    """The id by which a receiver recognises an event: the same at every attempt and replay."""
    if delivery.event_id is None:
        return f"msg_{webhook_id}_ping_{delivery.id}"
    return f"msg_{webhook_id}_{event_id.encode(delivery.event_id)}"


def _letter(webhook: AnyRow, delivery: AnyRow, content: dict[str, Any] | None, now: datetime) -> Letter:
    if delivery.type == PING:
        content = {
            "id": f"ping_{delivery.id}",
            "type": PING,
            "timestamp": delivery.created_at,
            "data": {"webhook_id": webhook.id},
        }
    return Letter(
        delivery.id,
        delivery.attempts,
        delivery.next_attempt_at,
        webhook.url,
        _signing_secrets(webhook, now),
        message_id(webhook.id, delivery),
        b"" if content is None else event.as_json(content),
    )


def _signing_secrets(webhook: AnyRow, now: datetime) -> list[str]:
    try:
        found = [secrets.decrypt(webhook.secret)]
    except secrets.SecretUnreadableError:
        return []
    if webhook.previous_secret is not None and webhook.previous_secret_until > now:
        # If the secret was rotated because it could not be read, the new one signs alone.
        with contextlib.suppress(secrets.SecretUnreadableError):
            found.append(secrets.decrypt(webhook.previous_secret))
    return found


def settle(db: Session, claimed: AnyRow, results: Sequence[tuple[Letter, Result]]) -> None:
    """Write the results of the letters, and release the webhook."""
    webhook_id = claimed.id
    # The lock takes a statement of its own, so that the next statement sees deliveries added while we waited.
    webhook = db.execute(_LOCK, {"webhook_id": webhook_id}).first()
    if webhook is None:
        return
    now = datetime.now(UTC)
    for letter, result in results:
        outcome = _outcome(letter, result, now)
        if result.is_delivered:
            db.execute(_WRITE_RESULT, outcome)
        else:
            db.execute(_WRITE_FAILURE, {**outcome, "was_due": letter.due_at})
    # Letters to the URL before tell nothing of the receiver at the new URL.
    telling = [result for _, result in results] if webhook.url == claimed.url else []
    health = _health(webhook, telling, now)
    due_at = db.execute(_FIRST_DUE, {"webhook_id": webhook_id}).scalar()
    if due_at is not None:
        pause = timedelta(0)
        if health["failures"]:
            pause = min(LONGEST_PAUSE, timedelta(seconds=2 ** min(health["failures"] - 1, 10)))
        # A receiver that is slower than its events stands behind those that have waited for longer to be served.
        due_at = max(due_at, now + pause)
    changes = {**health, "due_at": due_at}
    # A webhook that is off already was switched off by a person meanwhile.
    if webhook.enabled and (reason := _reason_to_disable(health["failing_since"], telling, now)):
        email = db.execute(_OWNER, {"user_id": webhook.user_id}).scalar_one()
        account_mail.put(db, "webhook_disabled", webhook.user_id, email)
        changes |= {"enabled": False, "disabled_reason": reason}
        changes |= {"version": webhooks.c.version + 1, "updated_at": now}
    if webhook.claimed_until == claimed.claimed_until:
        changes["claimed_until"] = None
    db.execute(_UPDATE.values(changes), {"of_webhook": webhook_id})


def _outcome(letter: Letter, result: Result, now: datetime) -> dict[str, Any]:
    tried = letter.attempts + 1
    due_next = None if result.is_delivered else next_attempt(tried, result, now)
    state = "delivered" if result.is_delivered else "waiting" if due_next else "failed"
    return {
        "delivery_id": letter.delivery_id,
        "new_state": state,
        "tried": tried,
        "answered": result.status_code,
        "new_error": result.error,
        "took": round(result.seconds * 1000),
        "due_next": due_next,
    }


def _health(webhook: AnyRow, results: Sequence[Result], now: datetime) -> dict[str, Any]:
    """The health of the receiver after these results."""
    failing_since, failures, is_slow = webhook.failing_since, webhook.failures, webhook.is_slow
    for result in results:
        # A time in the future was written while the clock was ahead.
        failing_since = None if result.is_delivered else min(failing_since or now, now)
        failures = failures + 1 if result.is_unreachable else 0
        is_slow = result.seconds > SLOW_SECONDS
    return {"failing_since": failing_since, "failures": failures, "is_slow": is_slow}


def _reason_to_disable(
    failing_since: datetime | None, results: Sequence[Result], now: datetime
) -> str | None:
    """The reason for which these results switch the webhook off, if they do. A turn in which nothing was sent never does."""
    if any(result.status_code == 410 for result in results):
        return "gone"
    is_over = failing_since is not None and now - failing_since >= PATIENCE
    return "failing" if results and is_over else None
