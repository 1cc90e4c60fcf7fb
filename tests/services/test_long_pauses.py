"""Times that were written while the clock was ahead hold up no mail and no delivery."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import insert, select, update

from account_models import account_mails
from database import database
from services.background_tasks.retention_tasks import hourly_round
from services.webhooks import claims
from services.webhooks.sending import Letter, Result
from tables.notifications import notifications
from tables.webhooks import webhook_deliveries, webhooks
from tests.support.api import Api, Person

YEAR = timedelta(days=365)
MINUTE = timedelta(minutes=1)
# The longest pauses that are in order, and a state of notifications for each.
STATES = {"waiting": timedelta(hours=1.5), "mail": timedelta(hours=1.5), "digest": timedelta(hours=25.5)}
LONGEST_DELIVERY = timedelta(hours=28.8)


def write(statement: Any, values: Any = None) -> Any:
    return database.write(lambda db: db.execute(statement, values))


def pauses(column: Any) -> list[timedelta | None]:
    """How far ahead the times of a column are, in whole minutes; those that are over are 0."""
    times = database.read(lambda db: list(db.execute(select(column).order_by(column.table.c.id)).scalars()))
    minutes = [None if at is None else (at - datetime.now(UTC)) / MINUTE for at in times]
    return [None if each is None else max(0, round(each)) * MINUTE for each in minutes]


def hook(ada: Person) -> int:
    answer = ada.post("/webhooks", json={"url": "http://example.com/", "types": ["*"], "enabled": False})
    return int(answer.json()["id"])


def test_mails_that_wait_for_years_are_due(api: Api) -> None:
    ada, now = api.person(), datetime.now(UTC)
    common = {"user_id": ada.id, "created_at": now, "attempts": 1}
    mail = {**common, "kind": "reset", "email": "ada@example.com"}
    longest = STATES["mail"] - MINUTE
    write(insert(account_mails), [{**mail, "next_attempt_at": now + at} for at in (longest, YEAR)])
    write(insert(account_mails).values(**mail, next_attempt_at=None))
    told = {**common, "kind": "created", "actor_id": 1}
    for state, pause in STATES.items():
        for at in (pause - MINUTE, pause + 2 * MINUTE, YEAR):
            write(insert(notifications).values(**told, state=state, next_attempt_at=now + at))
    hourly_round()
    assert pauses(account_mails.c.next_attempt_at) == [longest, 0 * MINUTE, None]
    assert pauses(notifications.c.next_attempt_at) == [
        each for pause in STATES.values() for each in (pause - MINUTE, 0 * MINUTE, 0 * MINUTE)
    ]


def test_deliveries_that_wait_for_years_are_due(api: Api) -> None:
    ada, now = api.person(), datetime.now(UTC)
    # One waits as it should, one for years, one of another is behind a delivery that is due, and one is claimed.
    usual, far, behind, claimed = (hook(ada) for _ in range(4))
    longest = LONGEST_DELIVERY - MINUTE
    delivery = {"type": "webhook.ping", "state": "waiting", "attempts": 9, "created_at": now}
    waits = ((usual, longest), (far, YEAR), (behind, MINUTE), (behind, YEAR), (claimed, MINUTE))
    write(
        insert(webhook_deliveries),
        [{**delivery, "webhook_id": of, "next_attempt_at": now + at} for of, at in waits],
    )
    for of, at, until in (
        (usual, longest, MINUTE),
        (far, YEAR, None),
        (behind, MINUTE, MINUTE),
        (claimed, MINUTE, YEAR),
    ):
        change = {"due_at": now + at, "claimed_until": until and now + until}
        write(update(webhooks).where(webhooks.c.id == of).values(change))
    hourly_round()
    none = 0 * MINUTE
    assert pauses(webhook_deliveries.c.next_attempt_at) == [longest, none, MINUTE, none, MINUTE]
    assert pauses(webhooks.c.due_at) == [longest, none, none, none]
    # A sender may be at work for the third.
    assert pauses(webhooks.c.claimed_until) == [MINUTE, None, MINUTE, None]


def test_a_receiver_has_failed_since_now_at_the_latest(api: Api) -> None:
    of = hook(api.person())
    write(update(webhooks).values(failing_since=datetime.now(UTC) + YEAR))
    webhook = database.read(lambda db: db.execute(select(webhooks).where(webhooks.c.id == of)).one())
    letter = Letter(1, 1, datetime.now(UTC), "http://example.com/", [], "msg_1", b"")
    database.write(
        lambda db: claims.settle(db, webhook, [(letter, Result(500, "The receiver answered 500", 0.1))])
    )
    assert pauses(webhooks.c.failing_since) == [0 * MINUTE]
