"""Sessions and refresh tokens without any effect are deleted, and a thief is still recognised."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select, update

from account_models import refresh_tokens, sessions
from database import database
from services.accounts import old_sessions
from services.accounts import session as session_service
from services.background_tasks.retention_tasks import hourly_round
from tests.support.api import PASSWORD, Api


def number_of(table: str) -> int:
    tables = {"sessions": sessions, "tokens": refresh_tokens}
    counted = select(func.count()).select_from(tables[table])
    return int(database.read(lambda db: db.execute(counted).scalar_one()))


def test_expired_sessions_go_with_their_tokens_though_nobody_logs_in(api: Api) -> None:
    api.person()
    bob = api.person("bob")
    before = number_of("sessions")
    hourly_round()
    assert number_of("sessions") == before
    expired = update(sessions).where(sessions.c.user_id != bob.id).values(expires_at=datetime.now(UTC))
    database.write(lambda db: db.execute(expired))
    hourly_round()
    assert number_of("sessions") == number_of("tokens") == 1
    assert bob.get("/auth/me").status_code == 200


def test_a_session_keeps_its_newest_tokens(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(old_sessions, "MOST_TOKENS", 4)
    monkeypatch.setattr(old_sessions, "BATCH", 2)
    api.person()
    form = {"username": "ada", "password": PASSWORD}
    tokens = [api.client.post("/auth/login", data=form).json()["refresh_token"]]

    def refresh(token: str) -> int:
        answer = api.client.post("/auth/refresh", json={"refresh_token": token})
        if answer.status_code == 200:
            tokens.append(answer.json()["refresh_token"])
        return answer.status_code

    for _ in range(10):
        assert refresh(tokens[-1]) == 200
    # The tokens were used at these times, long ago.
    used = update(refresh_tokens).where(refresh_tokens.c.used_at.is_not(None))
    long_ago = used.values(used_at=datetime.now(UTC) - session_service.GRACE - timedelta(minutes=1))
    database.write(lambda db: db.execute(long_ago))
    hourly_round()
    # The first session keeps its token, and the other one its unused token and four used ones.
    assert number_of("tokens") == 1 + 1 + 4
    # A token that is too old is refused like an unknown one; the session goes on.
    assert refresh(tokens[0]) == 401
    assert refresh(tokens[-1]) == 200
    # A used token that is kept reveals a thief, and ends the session.
    assert refresh(tokens[7]) == 401
    assert refresh(tokens[-1]) == 401
