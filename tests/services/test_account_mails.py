"""Mails about accounts wait in the database until they are sent, so a killed process or mail server loses none."""

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import select, update

from account_models import account_links, account_mails
from config import settings
from database import database
from manage import main as manage
from models import users
from services.delivery import mail_tasks
from tests.support.api import PASSWORD, Api
from tests.support.mail import MailCatcher, mail_catcher

FORGOTTEN = {"email": "ada@example.com"}
NEW = "another long battery"


@pytest.fixture
def catcher(monkeypatch: pytest.MonkeyPatch) -> Iterator[MailCatcher]:
    """A mail server that refuses all mails at first."""
    with mail_catcher() as server:
        server.refusal = "451 Not now"
        monkeypatch.setattr(settings, "smtp_server", "127.0.0.1")
        monkeypatch.setattr(settings, "smtp_port", server.port)
        monkeypatch.setattr(settings, "smtp_security", "none")
        monkeypatch.setattr(settings, "smtp_from", "tasks@example.com")
        monkeypatch.setattr(settings, "mail_retry_seconds", 600)
        monkeypatch.setattr(settings, "metrics_token", SecretStr("a token for the scraper"))
        yield server


def waiting() -> list[Any]:
    """The mails that are not sent yet, oldest first."""
    statement = select(account_mails).order_by(account_mails.c.id)
    return database.read(lambda db: list(db.execute(statement)))


def send_later() -> None:
    """Make waiting mails due, and send them."""
    past = datetime.now(UTC) - timedelta(minutes=1)
    statement = update(account_mails).where(account_mails.c.next_attempt_at.is_not(None))
    database.write(lambda db: db.execute(statement.values(next_attempt_at=past)))
    mail_tasks.mail_pause.end()
    mail_tasks.deliver_mails(threading.Event())


def metrics(client: TestClient) -> str:
    return client.get("/metrics", headers={"Authorization": "Bearer a token for the scraper"}).text


def token_in(catcher: MailCatcher) -> str:
    part = catcher.wait_for(1)[-1].get_body(("plain",))
    assert part is not None
    return str(part.get_content()).partition("#token=")[2].split()[0]


@pytest.mark.one_database
def test_a_link_is_mailed_when_the_mail_server_is_back_and_is_good_then(
    client: TestClient, api: Api, catcher: MailCatcher
) -> None:
    api.person("ada")
    catcher.stop()
    assert client.post("/auth/password/forgot", json=FORGOTTEN).status_code == 200
    (row,) = waiting()
    assert (row.kind, row.email, row.attempts) == ("reset", "ada@example.com", 1)
    assert "refused" in row.last_error or "connect" in row.last_error.lower()
    catcher.refusal = None
    catcher.start()
    send_later()
    assert waiting() == []
    (message,) = catcher.mails
    assert (message["To"], message["Subject"]) == ("ada@example.com", "Reset your password")
    as_html = message.get_body(("html",))
    assert as_html is not None
    assert token_in(catcher) in as_html.get_content()
    body = {"token": token_in(catcher), "new_password": NEW}
    assert client.post("/auth/password/reset", json=body).status_code == 200


def test_no_link_is_stored_before_its_mail_goes_out(
    client: TestClient, api: Api, catcher: MailCatcher
) -> None:
    api.person("ada")
    catcher.stop()
    client.post("/auth/password/forgot", json=FORGOTTEN)
    assert database.read(lambda db: db.execute(select(account_links)).all()) == []
    assert {"token", "token_hash", "link"}.isdisjoint(waiting()[0]._fields)


def test_mail_that_a_dead_process_had_claimed_is_sent_when_its_claim_ends(
    client: TestClient, api: Api, catcher: MailCatcher
) -> None:
    api.person("ada")
    client.post("/auth/password/forgot", json=FORGOTTEN)
    past = datetime.now(UTC) - timedelta(minutes=1)
    database.write(lambda db: db.execute(update(account_mails).values(next_attempt_at=past)))
    assert asyncio.run(mail_tasks.claim_mails()) is not None  # Then the process dies.
    catcher.refusal = None
    mail_tasks.deliver_mails(threading.Event())
    assert catcher.mails == []
    send_later()
    assert len(catcher.mails) == 1
    assert waiting() == []


@pytest.mark.one_database
def test_what_was_given_up_is_kept_with_its_error_and_can_be_sent_again(
    client: TestClient,
    api: Api,
    catcher: MailCatcher,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(settings, "mail_attempts", 2)
    api.person("ada")
    client.post("/auth/password/forgot", json=FORGOTTEN)
    send_later()
    (row,) = waiting()
    assert (row.attempts, row.next_attempt_at) == (2, None)
    assert "Not now" in row.last_error
    assert 'task_platform_outbox_notifications{state="failed"} 1' in metrics(client)
    assert manage(["outbox"]) == 0
    counted, error = capsys.readouterr().out.split("failed about account ")
    assert counted == "account_mail: 0\nfailed: 1\n"
    assert "Not now" in error
    catcher.refusal = None
    assert manage(["outbox", "retry"]) == 0
    assert capsys.readouterr().out == "Sent again: 1\n"
    send_later()
    assert len(catcher.mails) == 1
    assert waiting() == []


@pytest.mark.one_database
def test_each_try_of_a_mail_has_the_same_message_id_and_no_other_mail_has_it(
    client: TestClient, api: Api, catcher: MailCatcher
) -> None:
    api.person("ada")
    # These are two mails of one kind to one address, with two ids. A mail that is sent again keeps its id.
    for _ in range(2):
        client.post("/auth/password/forgot", json=FORGOTTEN)
    send_later()
    catcher.refusal = None
    send_later()
    assert (len(catcher.refused), len(catcher.mails)) == (4, 2)
    tries = Counter(message["Message-ID"] for message in catcher.refused + catcher.mails)
    assert sorted(tries.values()) == [3, 3]
    assert len({message["Message-ID"] for message in catcher.mails}) == 2


@pytest.mark.one_database
def test_an_admin_sends_again_what_was_given_up_mails_about_accounts_included(
    client: TestClient, api: Api, catcher: MailCatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "mail_attempts", 1)
    admin = api.person("ada", admin=True)
    client.post("/auth/password/forgot", json=FORGOTTEN)
    write = admin.task("Write", status="completed")["id"]
    admin.task("Read", status="completed")
    listed = {failed["task_id"]: failed["id"] for failed in admin.get("/notifications/failed").json()}
    assert len(listed) == 2
    (row,) = waiting()
    assert row.next_attempt_at is None
    catcher.refusal = None
    one = {"notification_id": listed[write]}
    assert admin.post("/notifications/failed/retry", params=one).json() == {"retried": 1}
    assert [message["Subject"] for message in catcher.wait_for(1)] == ["Task Completed: Write"]
    assert waiting() == [row]
    # The other notification and the mail about the account are still given up.
    assert admin.post("/notifications/failed/retry").json() == {"retried": 2}
    others = {message["Subject"] for message in catcher.wait_for(3)[1:]}
    assert others == {"Task Completed: Read", "Reset your password"}
    assert admin.post("/notifications/failed/retry").json() == {"retried": 0}


@pytest.mark.parametrize("how", ["password", "email", "disabled", "deleted"])
def test_a_link_that_waits_dies_with_what_it_is_for(
    client: TestClient, api: Api, catcher: MailCatcher, how: str
) -> None:
    ada = api.person("ada")
    catcher.stop()
    client.post("/auth/password/forgot", json=FORGOTTEN)
    assert [row.kind for row in waiting()] == ["reset"]
    if how == "password":
        ada.post("/auth/password", json={"current_password": PASSWORD, "new_password": NEW})
    elif how == "email":
        elsewhere = {"email": "elsewhere@example.com", "email_folded": "elsewhere@example.com"}
        database.write(lambda db: db.execute(update(users).values(elsewhere)))
    elif how == "disabled":
        database.write(lambda db: db.execute(update(users).values(is_active=False)))
    else:
        api.person("bob", admin=True)
        assert ada.call("DELETE", "/auth/me", json={"password": PASSWORD}).status_code == 200
    catcher.refusal = None
    catcher.start()
    send_later()
    assert "Reset your password" not in [message["Subject"] for message in catcher.mails]
    assert len(catcher.mails) == (1 if how == "password" else 0)
    assert waiting() == []
    assert database.read(lambda db: db.execute(select(account_links)).all()) == []


@pytest.mark.one_database
def test_a_link_that_waits_outlives_the_new_password_of_another(
    client: TestClient, api: Api, catcher: MailCatcher
) -> None:
    ada, _ = api.person("ada"), api.person("bob")
    client.post("/auth/password/forgot", json={"email": "bob@example.com"})
    change = {"current_password": PASSWORD, "new_password": NEW}
    assert ada.post("/auth/password", json=change).status_code == 200
    catcher.refusal = None
    send_later()
    (mail,) = [each for each in catcher.wait_for(2) if each["To"] == "bob@example.com"]
    text = mail.get_body(("plain",)).get_content()  # type: ignore[union-attr]
    assert text.startswith("Hello bob,")
    reset = {"token": text.partition("#token=")[2].split()[0], "new_password": NEW}
    assert client.post("/auth/password/reset", json=reset).status_code == 200


@pytest.mark.one_database
def test_without_a_mail_server_the_log_says_so_and_nothing_waits(
    client: TestClient, api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.person("ada")
    with caplog.at_level(logging.INFO, "task_platform"):
        client.post("/auth/password/forgot", json=FORGOTTEN)
    said = "Email to ada@example.com not sent, because no SMTP server is set: Reset your password"
    assert said in caplog.messages
    assert "#token=" not in caplog.text
    assert waiting() == []


@pytest.mark.one_database
def test_a_late_account_mail_shows_in_metrics_and_readiness(
    client: TestClient, api: Api, catcher: MailCatcher
) -> None:
    api.person("ada")
    client.post("/auth/password/forgot", json=FORGOTTEN)
    past = datetime.now(UTC) - timedelta(seconds=settings.delivery_behind_seconds + 60)
    database.write(lambda db: db.execute(update(account_mails).values(next_attempt_at=past)))
    assert 'task_platform_outbox_notifications{state="account_mail"} 1' in metrics(client)
    answer = client.get("/ready")
    assert answer.status_code == 503
    assert "delivery: behind by" in answer.json()["detail"]
    catcher.refusal = None
    send_later()
    assert client.get("/ready").status_code == 200


def test_nobody_gets_a_row_for_an_address_without_an_account(
    client: TestClient, catcher: MailCatcher
) -> None:
    for path in ("/auth/password/forgot", "/auth/email/resend"):
        assert client.post(path, json={"email": "nobody@example.com"}).status_code == 200
    assert waiting() == []
