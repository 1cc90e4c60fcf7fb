"""Mails about several notifications of one person."""

from datetime import UTC, datetime, timedelta

import pytest

from config import settings
from services.delivery.notification_tasks import deliver_notifications
from services.delivery.reminder_tasks import remind
from tests.services.test_delivery import catcher, make_due, rows, send
from tests.support.api import Api
from tests.support.mail import MailCatcher

__all__ = ["catcher"]


@pytest.mark.one_database
def test_digest_is_one_mail_about_the_day(api: Api, catcher: MailCatcher) -> None:
    ada, bob = api.person(), api.person("bob")
    for person in (ada, bob):
        answer = person.put("/notifications/preferences", json={"completed": "daily", "created": "daily"})
        assert answer.json()["completed"] == "daily"
        person.task("One", status="completed")
        person.task("Two")
    assert catcher.mails == []
    due = {row.next_attempt_at for row in rows()}
    assert len(due) == 1
    assert due.pop() > datetime.now(UTC)
    make_due()
    send()
    assert sorted(mail["to"] for mail in catcher.mails) == ["ada@example.com", "bob@example.com"]
    text = catcher.mails[0].get_body(("plain",))
    assert text is not None
    assert text.get_content().splitlines() == [
        "- Your task 'One' has been created.",
        "- Your task 'One' has been completed.",
        "- Your task 'Two' has been created.",
    ]
    assert {row.state for row in rows()} == {"delivered"}


@pytest.mark.one_database
def test_a_title_of_several_lines_is_one_line_of_a_digest(api: Api, catcher: MailCatcher) -> None:
    ada, eve = api.person(), api.person("eve")
    ada.put("/notifications/preferences", json={"assigned": "daily"})
    task = eve.task("x'\r\n- Your task 'y' has been completed.\u2028- z")["id"]
    eve.put(f"/tasks/{task}/assign", params={"assigned_user_id": ada.id})
    make_due()
    send()
    (mail,) = (each for each in catcher.mails if each["to"] == "ada@example.com")
    text = mail.get_body(("plain",))
    assert text is not None
    (line,) = text.get_content().splitlines()
    assert line.startswith("- You have been assigned a new task 'x' - Your task 'y' has")


def test_digest_that_fails_stays_one_mail(api: Api, catcher: MailCatcher) -> None:
    admin, ada = api.person("root", admin=True), api.person()
    ada.put("/notifications/preferences", json={"created": "daily"})
    for number in range(10):
        ada.task(f"Task {number}")
    catcher.refusal = "451 Not now"
    make_due()
    send()
    assert len({row.next_attempt_at for row in rows()}) == 1
    # A notification that joined the digest later has fewer attempts.
    ada.task("The last one")
    make_due()
    catcher.stop()
    send()
    assert sorted(row.attempts for row in rows()) == [1] + [2] * 10
    assert len({row.next_attempt_at for row in rows()}) == 1
    catcher.start()
    catcher.refusal = "550 No such mailbox"
    make_due(attempts=settings.mail_attempts - 1)
    send()
    assert {row.state for row in rows()} == {"failed"}
    catcher.refusal = None
    assert admin.post("/notifications/failed/retry").json() == {"retried": 11}
    assert [mail["subject"] for mail in catcher.wait_for(1)] == ["Your tasks: 11 notifications"]
    assert {row.state for row in rows()} == {"delivered"}


@pytest.mark.one_database
def test_reminders_of_one_moment_come_in_one_mail(api: Api, catcher: MailCatcher) -> None:
    ada, bob = api.person(), api.person("bob")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    ada.post("/tasks/import", json=[{"title": f"Task {each}", "due_at": soon} for each in range(300)])
    bob.task("The only one", due_at=soon)
    assert remind() == 301
    deliver_notifications()
    send()
    messages = {message["To"]: message["Subject"] for message in catcher.wait_for(2)}
    assert messages == {
        "ada@example.com": "Your tasks: 300 notifications",
        "bob@example.com": "Task Due Soon: The only one",
    }
    assert len(catcher.mails) == 2


@pytest.mark.one_database
def test_reminders_that_are_no_longer_true_are_not_mailed(api: Api, catcher: MailCatcher) -> None:
    ada, bob = api.person(), api.person("bob")
    past, later = (datetime.now(UTC) + timedelta(days=days) for days in (-1, 9))
    ada.put("/notifications/preferences", json={"overdue": "daily"})
    titles = ("Done", "Put off", "Given away", "Gone", "Left")
    done, put_off, given, gone, _ = (ada.task(each, due_at=past.isoformat())["id"] for each in titles)
    assert remind() == 5
    deliver_notifications()
    ada.patch(f"/tasks/{done}", json={"status": "completed"})
    ada.patch(f"/tasks/{put_off}", json={"due_at": later.isoformat()})
    ada.put(f"/tasks/{given}/assign", params={"assigned_user_id": bob.id})
    ada.delete(f"/tasks/{gone}")
    make_due()
    send()
    (digest,) = (mail for mail in catcher.mails if mail["subject"].startswith("Your tasks"))
    text = digest.get_body(("plain",))
    assert text is not None
    (line,) = text.get_content().splitlines()
    assert line.startswith("- Your task 'Left' was due at")
