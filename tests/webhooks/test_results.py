"""The judgment of a receiver by the results of a turn."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from sqlalchemy.orm import Session

from account_models import account_mails
from config import settings
from configuration.addresses import networks
from database import database
from services.webhooks import claims
from services.webhooks import secret as secrets
from services.webhooks.sending import Letter, Result, send
from tables.webhooks import webhook_deliveries, webhooks
from tests.support.api import Api, Person
from tests.support.receiver import receiver

GONE = Result(410, "The receiver answered 410 (Gone)", 0.1)


@pytest.fixture
def ada(api: Api, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Somebody with a webhook, which the test itself delivers to."""
    monkeypatch.setattr(settings, "webhook_delivery", False)
    ada = api.person()
    answer = ada.post("/webhooks", json={"url": "https://example.com/hook", "types": ["*"]})
    assert answer.status_code == 201, answer.text
    return ada


def claimed(**values: Any) -> Any:
    """The webhook with these values, claimed."""
    statement = update(webhooks).values(due_at=datetime.now(UTC), **values)
    database.write(lambda db: db.execute(statement))
    (found,) = database.write(lambda db: claims.claim(db, steady=1, troubled=1))
    return found


def settle(webhook: Any, *results: Result) -> None:
    letter = Letter(0, 0, datetime.now(UTC), webhook.url, [], "", b"")
    database.write(lambda db: claims.settle(db, webhook, [(letter, result) for result in results]))


def due_at(db: Session) -> datetime:
    found: datetime = db.execute(select(webhooks.c.due_at)).scalar_one()
    return found


def mails() -> int:
    return int(
        database.read(lambda db: db.execute(select(func.count()).select_from(account_mails)).scalar_one())
    )


def test_a_turn_in_which_nothing_was_sent_switches_nothing_off(ada: Person) -> None:
    failing_since = datetime.now(UTC) - timedelta(days=6)
    # A process that stops gives back what it has claimed without asking the receiver.
    settle(claimed(failing_since=failing_since))
    (webhook,) = ada.get("/webhooks").json()
    assert (webhook["enabled"], webhook["disabled_reason"], mails()) == (True, None, 0)
    settle(claimed(), Result(500, "The receiver answered 500", 0.1))
    (webhook,) = ada.get("/webhooks").json()
    assert (webhook["enabled"], webhook["disabled_reason"], mails()) == (False, "failing", 1)


def test_what_still_waits_after_a_turn_is_late_by_the_receivers_fault(ada: Person) -> None:
    webhook, late = claimed(), datetime.now(UTC) - timedelta(hours=1)
    rows = [
        {"webhook_id": webhook.id, "type": "task.created", "state": "waiting", "attempts": 0}
        | {"created_at": late, "next_attempt_at": late}
        for _ in range(2)
    ]
    database.write(lambda db: db.execute(insert(webhook_deliveries), rows))
    settle(webhook, Result(200, None, 0.5))
    assert ada.client.get("/ready").status_code == 200
    # It is due at once, but behind all others that wait.
    assert webhook.claimed_until - claims.lease() <= database.read(due_at) <= datetime.now(UTC)


def test_a_webhook_that_its_owner_has_switched_off_gets_no_other_reason(ada: Person) -> None:
    webhook = claimed()
    switched_off = ada.patch(f"/webhooks/{webhook.id}", json={"enabled": False})
    settle(webhook, GONE)
    now = ada.get(f"/webhooks/{webhook.id}")
    assert (now.json(), now.headers["ETag"]) == (switched_off.json(), switched_off.headers["ETag"])
    assert mails() == 0


@pytest.mark.one_database
@pytest.mark.parametrize(
    "date", ["01 Jan 99999999999999999999 00:00:00 GMT", "01 Jan 2027 00:00:00 +9999999999999"]
)
def test_a_time_to_ask_again_that_no_calendar_has_is_none(monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.0/8"))
    with receiver() as hook:
        hook.answer = lambda _: (503, {"Retry-After": f"Fri, {date}"}, b"")
        result = send(Letter(0, 0, datetime.now(UTC), hook.url, [secrets.make()], "msg_1", b"{}"))
    assert (result.status_code, result.retry_after) == (503, None)
