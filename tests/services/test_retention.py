"""Old rows are deleted whatever the clock said when they and others were written."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, func, insert, select, update

from account_models import account_mails, audit_events, idempotency_keys
from config import settings
from database import database
from services.background_tasks.retention_tasks import RULES, hourly_round
from tables.history import task_history
from tables.notifications import notifications
from tables.webhooks import webhook_deliveries
from tests.support.api import Api, Person

# The days since each row was written, by a clock that was wrong for a while, in the order of writing. The rows from the
# first young one on are young, whatever their times say.
DAYS = (-4000, 40, 40, -4000, 20_000, 40, -4000, 40, 10, -4000, 20_000, 0)
YOUNG = 4


def write(statement: Any, values: Any = None) -> Any:
    return database.write(lambda db: db.execute(statement, values))


@pytest.fixture
def ada(api: Api, monkeypatch: pytest.MonkeyPatch) -> Person:
    for name in {rule.setting for rule in RULES}:
        monkeypatch.setattr(settings, name, 30 * 24 if name == "idempotency_hours" else 30)
    ada = api.person()
    hook = {"url": "http://example.com/", "types": ["task.*"], "enabled": False}
    assert ada.post("/webhooks", json=hook).status_code == 201
    # The trail of the audit can't be deleted, so these are its first rows.
    now = datetime.now(UTC)
    minimal: dict[Any, dict[str, Any]] = {
        task_history: {"actor_id": 1, "kind": "updated", "changes": {}, "snapshot": {"title": "x"}},
        notifications: {
            "user_id": ada.id,
            "kind": "created",
            "actor_id": 1,
            "state": "delivered",
            "attempts": 1,
        },
        account_mails: {"user_id": ada.id, "kind": "reset", "email": "ada@example.com", "attempts": 1},
        webhook_deliveries: {"webhook_id": 1, "type": "task.created", "state": "delivered", "attempts": 1},
        idempotency_keys: {"user_id": ada.id, "request_hash": b"", "status": 200, "headers": {}, "body": b""},
    }
    for table, row in minimal.items():
        write(delete(table))
        rows = [row | {"created_at": now - timedelta(days=days)} for days in DAYS]
        if table is idempotency_keys:
            rows = [each | {"key_hash": bytes([number])} for number, each in enumerate(rows)]
        write(insert(table), rows)
    return ada


def left(table: Any) -> int:
    return int(database.read(lambda db: db.execute(select(func.count()).select_from(table)).scalar_one()))


def test_a_clock_that_was_wrong_holds_nothing_up(ada: Person) -> None:
    deleted = hourly_round()
    tables = {rule.table for rule in RULES} - {audit_events}
    assert deleted == {table.name: len(DAYS) - YOUNG for table in tables}
    assert {left(table) for table in tables} == {YOUNG}
    assert hourly_round() == {}


def test_a_clock_that_was_wrong_does_not_stop_the_deletion_of_the_audit_trail(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "retention_audit_days", 30)
    now = datetime.now(UTC)
    rows = [
        {
            "created_at": now - timedelta(days=days),
            "kind": "x",
            "address": "x",
            "request_id": "x",
            "details": {},
        }
        for days in DAYS
    ]
    write(insert(audit_events), rows)
    # The database keeps an event whose time is not old.
    assert hourly_round() == {"audit_events": 5}
    assert hourly_round() == {}


def test_copies_of_tasks_go_from_old_events_though_the_first_is_of_the_future(
    ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "retention_history_days", None)
    with database.engine.begin() as connection:
        connection.execute(update(task_history).values(owner_id=ada.id))
    assert len(ada.get("/events").json()) == YOUNG
    hourly_round()
    copies = task_history.select().where(task_history.c.snapshot.is_not(None))
    assert len(database.read(lambda db: db.execute(copies).all())) == YOUNG
    # The feed begins where the copies do.
    assert len(ada.get("/events").json()) == YOUNG


@pytest.mark.one_database
def test_what_must_still_be_delivered_stays_however_old_it_is(ada: Person) -> None:
    told = {"user_id": ada.id, "kind": "created", "actor_id": 1}
    for table, row, done, waiting in (
        (notifications, told, ("delivered", "failed"), ("waiting", "mail", "digest")),
        (
            webhook_deliveries,
            {"webhook_id": 1, "type": "task.created"},
            ("delivered", "failed"),
            ("waiting",),
        ),
    ):
        write(delete(table))
        long_ago = datetime.now(UTC) - timedelta(days=400)
        rows = [
            row
            | {"state": state, "attempts": 1, "created_at": long_ago}
            # The receiver or the mail server is down for long.
            | {"next_attempt_at": None if state in done else datetime.now(UTC) + timedelta(hours=1)}
            for state in done + waiting
        ]
        write(insert(table), rows)
        hourly_round()
        left = database.read(lambda db: set(db.execute(select(table.c.state)).scalars()))  # noqa: B023
        assert left == set(waiting)


def test_who_was_in_a_project_and_when_outlives_the_history(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    assert ada.post("/projects", json={"name": "Research"}).status_code == 201
    for person in (bob, eve):
        ada.put(f"/projects/1/members/{person.id}", json={"role": "member"})
    ada.task("Old", project_id=1)
    assert ada.delete(f"/projects/1/members/{eve.id}").status_code == 204
    write(update(task_history).values(created_at=datetime.now(UTC) - timedelta(days=40)))
    monkeypatch.setattr(settings, "retention_history_days", 30)
    assert hourly_round() == {"task_history": 1}
    ada.task("Not for Eve", project_id=1)
    for person, seen in ((ada, ["Not for Eve"]), (bob, ["Not for Eve"]), (eve, [])):
        events = person.get("/events?types=task.*").json()
        assert [each["data"]["task"]["title"] for each in events] == seen
