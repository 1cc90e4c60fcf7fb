"""Reminders, which come once each, and the deletion of old rows."""

import logging
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, select, update

from account_models import account_mails
from config import settings
from database import database
from models import tasks
from services.background_tasks.retention_tasks import hourly_round
from services.delivery.reminder_tasks import remind
from tables.history import task_history
from tables.notifications import notifications
from tests.support.api import Api, Person


def at(**span: float) -> str:
    return (datetime.now(UTC) + timedelta(**span)).isoformat()


def reminders(person: Person) -> list[tuple[str, str]]:
    found = person.get("/notifications").json()
    return [(each["kind"], each["task_title"]) for each in found if each["due_at"] is not None]


def age(table: Any, **span: float) -> None:
    """Make the rows of a table this old."""
    then = datetime.now(UTC) - timedelta(**span)
    database.write(lambda db: db.execute(update(table).values(created_at=then)))


def test_owner_is_reminded_once_of_what_is_due_soon_and_once_when_it_is_overdue(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()
    soon = ada.task("Soon", due_at=at(hours=3))
    ada.task("Later", due_at=at(days=3))
    ada.task("Done", due_at=at(hours=3), status="completed")
    ada.task("Overdue", due_at=at(hours=-3))
    ada.task("Long overdue", due_at=at(days=-30))
    assert remind() == 2
    assert remind() == 0
    assert sorted(reminders(ada)) == [("due_soon", "Soon"), ("overdue", "Overdue")]
    moved = datetime.now(UTC) - timedelta(minutes=1)
    database.write(lambda db: db.execute(update(tasks).where(tasks.c.id == soon["id"]).values(due_at=moved)))
    assert remind() == 1
    assert reminders(ada)[0] == ("overdue", "Soon")
    with caplog.at_level(logging.INFO, "task_platform"):
        ada.task("Anything")
    assert f"Notification sent to user {ada.id}: Task 'Soon' was due soon" in caplog.messages
    assert any("ada@example.com" in line and "Task Due Soon: Soon" in line for line in caplog.messages)


@pytest.mark.one_database
def test_owner_is_reminded_again_of_what_was_put_off(api: Api) -> None:
    ada = api.person()
    task, first, second = ada.task("Soon", due_at=at(hours=3)), at(hours=3), at(hours=5)
    for due_at, number in ((first, 1), (second, 1), (second, 0), (first, 0)):
        ada.patch(f"/tasks/{task['id']}", json={"due_at": due_at})
        assert remind() == number
    assert reminders(ada) == [("due_soon", "Soon")] * 2


def test_several_processes_remind_once(api: Api) -> None:
    ada = api.person()
    for number in range(30):
        ada.task(f"Task {number}", due_at=at(hours=1))
    threads = [threading.Thread(target=remind) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(reminders(ada)) == 30


@pytest.mark.one_database
def test_nobody_is_reminded_of_what_was_overdue_when_it_was_imported(api: Api) -> None:
    ada = api.person()
    rows = [{"title": "Old", "due_at": at(hours=-5)}, {"title": "New", "due_at": at(hours=5)}]
    assert ada.post("/tasks/import", json=rows).status_code == 201
    remind()
    assert reminders(ada) == [("due_soon", "New")]


@pytest.mark.one_database
def test_nobody_is_reminded_of_an_import_when_its_history_is_deleted(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "retention_history_days", 1)
    ada = api.person()
    assert ada.post("/tasks/import", json=[{"title": "Old", "due_at": at(days=-3)}]).status_code == 201
    age(task_history, days=2)
    assert hourly_round() == {"task_history": 1}
    ada.task("Overdue", due_at=at(hours=-23))
    remind()
    assert reminders(ada) == [("overdue", "Overdue")]


@pytest.mark.one_database
def test_new_owner_is_reminded_too(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    task = ada.task("Soon", due_at=at(hours=3))
    remind()
    ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
    remind()
    assert reminders(ada) == reminders(bob) == [("due_soon", "Soon")]


@pytest.mark.one_database
def test_nobody_is_reminded_of_tasks_that_an_archived_project_keeps(api: Api) -> None:
    ada = api.person()
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    ada.task("Soon", project_id=project, due_at=at(hours=3))
    ada.patch(f"/projects/{project}", json={"archived": True})
    assert remind() == 0
    ada.patch(f"/projects/{project}", json={"archived": False})
    assert remind() == 1
    assert reminders(ada) == [("due_soon", "Soon")]


@pytest.mark.one_database
def test_nothing_is_deleted_unless_it_is_set(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    api.person().task()
    for table in (notifications, task_history):
        age(table, days=1000)
    assert hourly_round() == {}
    monkeypatch.setattr(settings, "retention_history_days", 2000)
    monkeypatch.setattr(settings, "retention_notifications_days", 2000)
    monkeypatch.setattr(settings, "retention_audit_days", 2000)
    assert hourly_round() == {}


def test_what_is_old_is_deleted_and_what_is_young_or_not_delivered_stays(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    ada.task("Old")
    ada.task("Waiting", due_at=at(hours=1))
    remind()
    for table in (notifications, task_history):
        age(table, days=40)
    ada.task("Young")
    waiting = update(notifications).where(notifications.c.task_title == "Waiting")
    database.write(lambda db: db.execute(waiting.values(state="mail", next_attempt_at=datetime.now(UTC))))
    monkeypatch.setattr(settings, "retention_history_days", 30)
    monkeypatch.setattr(settings, "retention_notifications_days", 30)
    assert hourly_round() == {"task_history": 2, "notifications": 1}
    titles = select(notifications.c.task_title).order_by(notifications.c.id)
    left = database.read(lambda db: list(db.execute(titles).scalars()))
    assert sorted(left) == ["Waiting", "Waiting", "Young"]
    assert hourly_round() == {}


def test_a_mail_about_an_account_that_failed_is_deleted_when_it_is_old(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, now = api.person(), datetime.now(UTC)
    about = {"user_id": ada.id, "email": "ada@example.com", "attempts": 20}
    # The kinds tell the rows apart: one failed long ago, one still waits, and one failed lately.
    mails = [
        {"kind": "reset", "created_at": now - timedelta(days=31), "next_attempt_at": None},
        {"kind": "verify", "created_at": now - timedelta(days=31), "next_attempt_at": now},
        {"kind": "change", "created_at": now - timedelta(days=29), "next_attempt_at": None},
    ]
    database.write(lambda db: db.execute(insert(account_mails), [about | mail for mail in mails]))
    assert hourly_round() == {}
    monkeypatch.setattr(settings, "retention_notifications_days", 30)
    assert hourly_round() == {"account_mails": 1}
    kinds = select(account_mails.c.kind).order_by(account_mails.c.id)
    assert database.read(lambda db: list(db.execute(kinds).scalars())) == ["verify", "change"]
