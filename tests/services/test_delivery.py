"""The delivery of notifications: to the log, to the mail server, and again after the server refused them."""

import asyncio
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import insert, select, update
from sqlalchemy.orm import Session

from account_models import attempts
from config import settings
from database import Database, database
from main import app
from models import users
from services import background_tasks
from services.accounts.attempt import HOUR
from services.delivery import mail_tasks, notification_tasks, outbox
from services.delivery.notification_tasks import process_task_assignment
from services.delivery.reminder_tasks import remind
from tables.notifications import notifications
from tests.support.api import PASSWORD, Api, Person
from tests.support.mail import MailCatcher, mail_catcher
from tests.support.waiting import SECONDS


@pytest.fixture
def catcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailCatcher]:
    """The mail server that the program is set to use."""
    with mail_catcher() as server:
        monkeypatch.setattr(settings, "smtp_server", "127.0.0.1")
        monkeypatch.setattr(settings, "smtp_port", server.port)
        monkeypatch.setattr(settings, "smtp_security", "none")
        monkeypatch.setattr(settings, "smtp_from", "tasks@example.com")
        monkeypatch.setattr(settings, "smtp_timeout_seconds", SECONDS)
        monkeypatch.setattr(settings, "mail_retry_seconds", 600)
        mail_tasks.mail_pause.end()
        yield server
    background_tasks.stop()
    mail_tasks.mail_pause.end()


def rows() -> list[Any]:
    """All notifications, oldest first."""
    return database.read(lambda db: list(db.execute(select(notifications).order_by(notifications.c.id))))


def make_due(**values: Any) -> None:
    """Make waiting mails due."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    statement = update(notifications).where(notifications.c.next_attempt_at.is_not(None))
    database.write(lambda db: db.execute(statement.values(next_attempt_at=past, **values)))
    mail_tasks.mail_pause.end()


def send() -> None:
    """Send all due mails in this thread."""
    mail_tasks.deliver_mails(threading.Event())


def test_owner_is_told_in_the_log_once_and_the_row_is_done(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "task_platform"):
        ada = api.person()
        ada.task("Write")
    assert caplog.messages.count(f"Notification sent to user {ada.id}: Task 'Write' was created") == 1
    assert [(row.state, row.next_attempt_at) for row in rows()] == [("delivered", None)]


@pytest.mark.one_database
def test_without_a_mail_server_the_mail_is_a_line_in_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    ada, bob = api.person(), api.person("bob")
    with caplog.at_level(logging.INFO, "task_platform"):
        ada.put(f"/tasks/{ada.task('Write')['id']}/assign", params={"assigned_user_id": bob.id})
    assert f"Notification sent to user {bob.id}: Task 'Write' was assigned" in caplog.messages
    assert any("bob@example.com" in line and "New Task Assigned: Write" in line for line in caplog.messages)


@pytest.mark.one_database
def test_new_owner_gets_a_mail_in_text_and_html(api: Api, catcher: MailCatcher) -> None:
    ada, bob = api.person(), api.person("bob")
    task = ada.task("Write <b>everything</b>")
    ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
    (mail,) = catcher.wait_for(1)
    assert (mail["to"], mail["from"]) == ("bob@example.com", "tasks@example.com")
    assert mail["subject"] == "New Task Assigned: Write <b>everything</b>"
    text, html = (mail.get_body((kind,)) for kind in ("plain", "html"))
    assert text is not None
    assert html is not None
    assert text.get_content().strip() == "You have been assigned a new task 'Write <b>everything</b>' by ada"
    assert "&lt;b&gt;everything&lt;/b&gt;" in html.get_content()
    assert re.fullmatch(r"<notification\.\d+\.\d+@example\.com>", mail["message-id"])


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("title", "subject"),
    [
        (
            "Write\r\nBcc: eve@example.com\r\n\r\nhello\x0b\u2028!",
            "Write Bcc: eve@example.com hello !",
        ),
        # Text in the form of encoded words (RFC 2047), which a reader must not decode either.
        *[
            (title, title)
            for title in (
                "=?utf-8?q?=0d=0aBcc:_eve@example.com?=",
                "=?utf-8?b?DQoNCmhlbGxv?= =?utf-8?q?=0a?=",
                "=?utf-7?q?+2Ac-?=",
                'Is this =?a "word"?= é',
                "ß(=?" * 100,
            )
        ],
    ],
)
def test_title_can_not_add_a_header(api: Api, catcher: MailCatcher, title: str, subject: str) -> None:
    api.person().task(title, status="completed")
    (mail,) = catcher.wait_for(1)
    names = ["From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"]
    assert mail.keys() == names
    assert mail["subject"] == f"Task Completed: {subject}"


@pytest.mark.one_database
def test_many_mails_go_over_a_few_connections(api: Api, catcher: MailCatcher) -> None:
    catcher.stop()
    ada = api.person()
    for number in range(25):
        ada.task(f"Task {number}", status="completed")
    catcher.start()
    make_due()
    send()
    subjects = [mail["subject"] for mail in catcher.mails]
    assert sorted(subjects) == sorted(f"Task Completed: Task {number}" for number in range(25))
    assert catcher.connections <= 1 + settings.smtp_connections


def test_refused_mail_is_tried_later_and_arrives_once(api: Api, catcher: MailCatcher) -> None:
    catcher.refusal = "451 Not now"
    api.person().task(status="completed")
    done = rows()[1]
    assert (done.state, done.attempts) == ("mail", 1)
    assert "Not now" in done.last_error
    catcher.refusal = None
    make_due()
    send()
    make_due()
    send()
    assert len(catcher.mails) == 1
    assert (rows()[1].state, rows()[1].last_error) == ("delivered", None)


def test_mail_is_given_up_after_so_many_attempts_and_an_admin_sends_it_again(
    api: Api, catcher: MailCatcher
) -> None:
    admin, bob = api.person(admin=True), api.person("bob")
    catcher.refusal = "550 No such mailbox"
    bob.task(status="completed")
    make_due(attempts=settings.mail_attempts - 1)
    send()
    (failed,) = admin.get("/notifications/failed").json()
    assert (failed["user_id"], failed["attempts"]) == (bob.id, settings.mail_attempts)
    assert "No such mailbox" in failed["last_error"]
    assert bob.get("/notifications/failed").status_code == 403
    assert bob.post("/notifications/failed/retry").status_code == 403
    catcher.refusal = None
    assert admin.post("/notifications/failed/retry").json() == {"retried": 1}
    assert catcher.wait_for(1)[0]["subject"] == "Task Completed: Write the report"
    assert admin.get("/notifications/failed").json() == []


@pytest.mark.one_database
def test_requests_and_notifications_do_not_wait_for_a_mail_server_that_hangs(
    api: Api, catcher: MailCatcher, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(background_tasks, "MAIL_PATIENCE_SECONDS", 0.1)
    ada = api.person()
    catcher.delay = SECONDS
    ada.task("First", status="completed")
    with caplog.at_level(logging.INFO, "task_platform"):
        ada.task("Second")
    assert f"Notification sent to user {ada.id}: Task 'Second' was created" in caplog.messages
    _, completed, second = rows()
    # The mail about the first task is still on its way.
    assert (completed.state, completed.last_error, second.state) == ("mail", None, "delivered")
    catcher.stop()


@pytest.mark.one_database
def test_mail_server_that_greets_and_then_hangs_counts_as_down(
    api: Api, catcher: MailCatcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "smtp_timeout_seconds", 0.5)
    catcher.delay = 60.0
    ada = api.person()
    late = datetime.now(UTC) - timedelta(hours=1)
    row = {
        "user_id": ada.id, "kind": "completed", "task_id": 1, "task_title": "Write", "actor_id": ada.id,
        "created_at": late, "state": "mail", "attempts": 0, "next_attempt_at": late,
    }  # fmt: skip
    database.write(lambda db: db.execute(insert(notifications), [row] * 3))
    assert api.client.get("/ready").status_code == 503
    send()
    # Only the first mail was tried, and the others are due still.
    assert [each.attempts for each in rows()] == [1, 0, 0]
    make_late = update(notifications).where(notifications.c.attempts == 0).values(next_attempt_at=late)
    database.write(lambda db: db.execute(make_late))
    assert api.client.get("/ready").status_code == 200
    catcher.delay = 0.0
    monkeypatch.setattr(settings, "smtp_timeout_seconds", SECONDS)
    failures = mail_tasks.mail_pause.failures
    make_due()
    # The pause is over, but the server was down until now.
    mail_tasks.mail_pause.failures = failures
    with caplog.at_level(logging.INFO, "task_platform"):
        send()
    assert len(catcher.mails) == 3
    assert mail_tasks.mail_pause.failures == 0
    assert caplog.messages.count("The mail server can be reached again") == 1
    catcher.stop()


def test_mail_that_a_dead_process_had_claimed_is_sent_when_its_claim_ends(
    api: Api, catcher: MailCatcher
) -> None:
    catcher.refusal = "451 Not now"
    api.person().task(status="completed")
    make_due()
    assert asyncio.run(mail_tasks.claim_mails()) is not None  # Then the process dies.
    catcher.refusal = None
    send()
    assert catcher.mails == []
    make_due()
    send()
    assert len(catcher.mails) == 1


def claim_a_few(db: Session) -> list[int]:
    now = datetime.now(UTC)
    statement = outbox.claim_statement(notifications, notifications.c.state == "waiting", batch=7)
    times = {"now": now, "until": now + timedelta(hours=1)}
    return [row.id for row in db.execute(statement.returning(notifications.c.id), times)]


def claim_a_batch(db: Session) -> list[int]:
    return notification_tasks._settle_and_claim(notification_tasks._Outcome())(db)  # noqa: SLF001


@pytest.mark.parametrize(("claim", "count"), [(claim_a_few, 200), (claim_a_batch, 2500)])
def test_two_processes_never_claim_the_same_row(
    api: Api, database_url: str, claim: Callable[[Session], list[int]], count: int
) -> None:
    ada = api.person()
    ada.task()
    row = {name: value for name, value in rows()[0]._asdict().items() if name != "id"}
    again = [row | {"state": "waiting", "next_attempt_at": datetime.now(UTC)}] * count
    database.write(lambda db: db.execute(notifications.insert(), again))
    taken: list[int] = []

    def take_all(own: Database) -> None:
        while ids := own.write(claim):
            taken.extend(ids)

    processes = [Database(database_url) for _ in range(3)]
    threads = [threading.Thread(target=take_all, args=(process,)) for process in processes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.close()
    assert len(taken) == len(set(taken)) == count


@pytest.mark.one_database
def test_who_wants_no_mail_gets_none(api: Api, catcher: MailCatcher) -> None:
    ada = api.person()
    ada.put("/notifications/preferences", json={"completed": "never"})
    ada.task(status="completed")
    ada.put("/notifications/preferences", json={"completed": None})
    ada.task("Again", status="completed")
    assert [mail["subject"] for mail in catcher.wait_for(1)] == ["Task Completed: Again"]


def test_with_a_lifespan_what_was_left_is_delivered_and_what_comes_is_there_with_the_answer(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()
    ada.task("Left behind")
    waiting = update(notifications).values(state="waiting", next_attempt_at=datetime.now(UTC))
    database.write(lambda db: db.execute(waiting))
    caplog.clear()
    with caplog.at_level(logging.INFO, "task_platform"), TestClient(app) as client:
        answer = client.post(
            "/tasks", json={"title": "New"}, headers={"Authorization": f"Bearer {ada.token}"}
        )
        assert answer.status_code == 201
        for title in ("Left behind", "New"):
            assert (
                caplog.messages.count(f"Notification sent to user {ada.id}: Task '{title}' was created") == 1
            )
        entry = json.loads((settings.cache_dir / f"cache_user_{ada.id}.json").read_text())
        assert entry["stats"]["total_tasks"] == 2


# -- who gets how many mails -------------------------------------------------------------------------


def confirm(*people: Person) -> None:
    """Mark the addresses of these people as confirmed."""
    confirmed = update(users).where(users.c.id.in_([person.id for person in people]))
    database.write(lambda db: db.execute(confirmed.values(email_verified_at=datetime.now(UTC))))


def assign_many(giver: Person, taker: Person, number: int) -> None:
    imported = giver.post("/tasks/import", json=[{"title": f"Task {each}"} for each in range(number)]).json()
    for task_id in imported["ids"]:
        answer = giver.put(f"/tasks/{task_id}/assign", params={"assigned_user_id": taker.id})
        assert answer.status_code == 200


@pytest.mark.one_database
def test_in_production_only_confirmed_addresses_get_mails_about_tasks(
    api: Api, catcher: MailCatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "mail_unverified", False)
    ada, bob = api.person(), api.person("bob")
    eve = api.person("eve")
    confirm(bob)
    eve.put("/notifications/preferences", json={"created": "at_once", "completed": "daily"})
    eve.task("Written by eve", status="completed", due_at=datetime.now(UTC).isoformat())
    remind()
    assign_many(ada, eve, 2)
    assign_many(ada, bob, 1)
    asyncio.run(process_task_assignment(1, eve.id, ada.id))
    make_due()
    send()
    assert [message["To"] for message in catcher.wait_for(1)] == ["bob@example.com"]
    assert {row.state for row in rows()} == {"delivered"}
    # The API shows notifications that are not mailed.
    assert len(eve.get("/notifications").json()) >= 3


@pytest.mark.one_database
def test_a_program_has_an_assignment_told(
    api: Api, catcher: MailCatcher, caplog: pytest.LogCaptureFixture
) -> None:
    ada, bob = api.person(), api.person("bob")
    task = ada.task("Write", status="pending")["id"]
    with caplog.at_level(logging.INFO, "task_platform"):
        for task_id, person_id in ((task, bob.id), (999, bob.id), (task, 999)):
            asyncio.run(process_task_assignment(task_id, person_id, ada.id))
    (mail,) = catcher.wait_for(1)
    assert (mail["To"], mail["Subject"]) == ("bob@example.com", "New Task Assigned: Write")
    assert "You have been assigned a new task 'Write' by ada" in mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    told = [line for line in caplog.messages if line.endswith("was assigned")]
    assert told == [f"Notification sent to user {bob.id}: Task 'Write' was assigned"]
    assert not [line for line in caplog.messages if "was not sent" in line]


@pytest.mark.one_database
def test_registering_sends_the_link_where_only_confirmed_addresses_get_mails(
    client: TestClient, catcher: MailCatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "mail_unverified", False)
    account = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
    assert client.post("/auth/register", json=account).status_code == 200
    message = catcher.wait_for(1)[0]
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Confirm your email address")
    assert client.post("/auth/login", data={"username": "ada", "password": PASSWORD}).status_code == 200


@pytest.mark.one_database
def test_a_recipient_gets_twenty_mails_an_hour_and_the_rest_as_one_digest(
    api: Api, catcher: MailCatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "mail_unverified", False)
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    confirm(bob, eve)
    assign_many(ada, bob, 45)
    assign_many(ada, eve, 1)
    send()
    subjects = [message["Subject"] for message in catcher.wait_for(21) if message["To"] == "bob@example.com"]
    assert len(subjects) == 20
    waiting = [row for row in rows() if row.state == "digest"]
    assert len(waiting) == 25
    assert all(timedelta(minutes=55) < row.next_attempt_at - datetime.now(UTC) <= HOUR for row in waiting)
    make_due()
    send()
    digest = catcher.wait_for(22)[21]
    assert (digest["To"], digest["Subject"]) == ("bob@example.com", "Your tasks: 25 notifications")
    assert {row.state for row in rows()} == {"delivered"}
    # Another account with that address gets no twenty more, and a new hour begins when the old one ends.
    keys = database.read(lambda db: db.execute(select(attempts.c.key)).scalars().all())
    assert not any("bob" in key for key in keys)
    ended = update(attempts).where(attempts.c.key.like("mail:hour:%"))
    database.write(lambda db: db.execute(ended.values(blocked_until=datetime.now(UTC))))
    assign_many(ada, bob, 1)
    send()
    assert catcher.wait_for(23)[22]["Subject"].startswith("New Task Assigned")
