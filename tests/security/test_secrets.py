"""No secret is in logs, errors, the audit trail or exports, and none is in the database as plain text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import select

from account_models import account_mails
from config import settings
from database import Base, database
from logging_config import logger, setup_logging
from models import users
from tests.support.mail import mail_catcher

PASSWORDS = {
    "first": "Pa55-first-Zwiebel",
    "second": "Pa55-second-Karotte",
    "third": "Pa55-third-Sellerie",
    "wrong": "Pa55-wrong-Kohlrabi",
    "misplaced": "Pa55-misplaced-Rettich",
    "smtp": "Pa55-smtp-Lauch",
}


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The log of this test alone, with messages of all levels from DEBUG."""
    monkeypatch.setattr(settings, "log_file", tmp_path / "secrets.log")
    monkeypatch.setattr(settings, "log_level", "DEBUG")
    setup_logging()
    yield tmp_path / "secrets.log"
    monkeypatch.undo()
    setup_logging()


class Collected:
    """All answers over HTTP, except those whose purpose is to hand out a secret."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.said: list[str] = []
        self.secrets: dict[str, str] = dict(PASSWORDS)

    def call(self, method: str, path: str, token: str = "", **options: Any) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        answer = self.client.request(method, path, headers=headers, **options)
        body = answer.json()
        handed_out = {"access_token", "refresh_token", "token"}
        for name in handed_out & set(body if isinstance(body, dict) else ()):
            self.secrets[f"{name} {len(self.secrets)}"] = body.pop(name)
        self.said.append(json.dumps(body) + json.dumps(dict(answer.headers)))
        return answer


def test_no_secret_is_written_where_it_does_not_belong(
    client: TestClient, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = settings.signing_key()
    monkeypatch.setattr(settings, "smtp_password", SecretStr(PASSWORDS["smtp"]))
    seen = Collected(client)
    seen.secrets["key"] = key
    with mail_catcher() as mail:
        monkeypatch.setattr(settings, "smtp_server", "127.0.0.1")
        monkeypatch.setattr(settings, "smtp_port", mail.port)
        monkeypatch.setattr(settings, "smtp_security", "none")
        monkeypatch.setattr(settings, "smtp_username", None)
        monkeypatch.setattr(settings, "smtp_from", "platform@example.com")
        live_an_eventful_life(seen)
        for message in mail.wait_for(3):
            text = message.get_body(("plain",)).get_content()  # type: ignore[union-attr]
            if "#token=" in text:
                seen.secrets[f"link {len(seen.secrets)}"] = text.partition("#token=")[2].split()[0]
        for token in [value for name, value in seen.secrets.items() if name.startswith("link")] * 2:
            body = {"token": token, "new_password": PASSWORDS["third"]}
            seen.call("POST", "/auth/password/reset", json=body)
        mail.stop()
        seen.call("POST", "/auth/password/forgot", json={"email": "ada@example.com"})
    log_in(seen, "third")
    token = last(seen, "access_token")
    promote = users.update().values(role="admin")
    database.write(lambda db: db.execute(promote))
    for path in ("/auth/me/export", "/audit?limit=500", "/auth/tokens", "/auth/sessions", "/users"):
        assert seen.call("GET", path, token).status_code == 200
    for row in database.read(lambda db: db.execute(select(users.c.password_hash)).all()):
        seen.secrets[f"hash {len(seen.secrets)}"] = row.password_hash
    assert len(seen.secrets) > 15
    for handler in logger.handlers:
        handler.flush()
    written = {
        "the log": log.read_text(),
        "answers": "\n".join(seen.said),
        "the database": everything_stored(),
    }
    assert "The mail server can't be reached" in written["the log"]
    assert "reset" in database.read(lambda db: db.execute(select(account_mails.c.kind)).scalars().all())
    for place, text in written.items():
        for name, secret in seen.secrets.items():
            if not (place == "the database" and name.startswith("hash")):
                assert secret not in text, f"{name} is in {place}"


def log_in(seen: Collected, password: str, username: str = "ada") -> Any:
    return seen.call("POST", "/auth/login", data={"username": username, "password": PASSWORDS[password]})


def last(seen: Collected, kind: str) -> str:
    return [value for name, value in seen.secrets.items() if name.startswith(kind)][-1]


def live_an_eventful_life(seen: Collected) -> None:
    """Make every call that takes, makes or checks a secret, with right and wrong values."""
    account = {"username": "ada", "email": "ada@example.com", "password": PASSWORDS["first"]}
    seen.call("POST", "/auth/register", json=account)
    seen.call("POST", "/auth/register", json=account)
    seen.call("POST", "/auth/register", json=account | {"username": "x"})
    seen.call("POST", "/auth/register", json={"password": PASSWORDS["first"]})
    log_in(seen, "wrong")
    # People sometimes type a password into the field for the name.
    log_in(seen, "wrong", PASSWORDS["misplaced"])
    seen.call("POST", "/auth/password/forgot", json={"email": f"{PASSWORDS['misplaced']}@example.com"})
    log_in(seen, "first")
    token = last(seen, "access_token")
    for _ in range(2):
        seen.call("POST", "/auth/refresh", json={"refresh_token": last(seen, "refresh_token")})
    seen.call("POST", "/auth/refresh", json={"refresh_token": last(seen, "refresh_token") + "x"})
    seen.call("GET", "/tasks", token + "x")
    made = seen.call("POST", "/auth/tokens", token, json={"name": "p", "scopes": ["tasks:read"]})
    program = last(seen, "token ")
    assert made.status_code == 201
    seen.call("GET", "/tasks", program)
    seen.call("POST", "/tasks", program, json={"title": "No"})
    change = {"current_password": PASSWORDS["first"], "new_password": PASSWORDS["second"]}
    seen.call("POST", "/auth/password", token, json=change | {"current_password": PASSWORDS["wrong"]})
    seen.call("POST", "/auth/password", token, json=change | {"new_password": "ada" + PASSWORDS["wrong"]})
    seen.call("POST", "/auth/password", token, json=change)
    email = {"email": "lovelace@example.com", "password": PASSWORDS["second"]}
    seen.call("POST", "/auth/email", token, json=email | {"password": PASSWORDS["wrong"]})
    seen.call("POST", "/auth/email", token, json=email)
    seen.call("POST", "/auth/password/forgot", json={"email": "ada@example.com"})
    seen.call("DELETE", "/auth/me", token, json={"password": PASSWORDS["wrong"]})


def everything_stored() -> str:
    """Every column of every row of every table."""
    tables = Base.metadata.sorted_tables
    return database.read(
        lambda db: "\n".join(str(row) for table in tables for row in db.execute(select(table)).all())
    )
