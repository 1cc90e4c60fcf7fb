"""Tokens for programs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from fastapi.testclient import TestClient
from sqlalchemy import select, update

import auth
from account_models import audit_events, program_tokens
from database import database
from tests.support.api import Api, Person


def make(person: Person, *scopes: str, **fields: Any) -> Any:
    answer = person.post("/auth/tokens", json={"name": "nightly import", "scopes": scopes, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(made: Any) -> dict[str, str]:
    return {"Authorization": f"Bearer {made['token']}"}


def test_a_token_is_shown_once_and_stored_as_a_hash(api: Api) -> None:
    ada = api.person()
    made = make(ada, "tasks:write", "tasks:read")
    assert made["token"].startswith("tp_")
    assert made["scopes"] == ["tasks:read", "tasks:write"]
    (listed,) = ada.get("/auth/tokens").json()
    assert listed == {name: value for name, value in made.items() if name != "token"}
    assert listed["last_four"] == made["token"][-4:]
    stored = database.read(lambda db: db.execute(select(program_tokens)).one())
    assert made["token"] not in str(stored)


def test_tokens_and_sessions_come_in_pages(api: Api) -> None:
    ada = api.person()
    for _ in range(4):
        make(ada, "tasks:read")
        api.log_in("ada")
    for path in ("/auth/tokens", "/auth/sessions"):
        everything = ada.get(path).json()
        assert [each["id"] for each in everything] == sorted(
            (each["id"] for each in everything), reverse=True
        )
        first = ada.get(f"{path}?limit=2&skip=1")
        assert first.json() == everything[1:3]
        assert ada.get(first.links["next"]["url"]).json() == everything[3:5]


def test_a_program_works_with_its_token(client: TestClient, api: Api) -> None:
    ada = api.person()
    made = make(ada, "tasks:read", "tasks:write")
    created = client.post("/tasks", json={"title": "By a program"}, headers=bearer(made))
    assert created.json()["user_id"] == ada.id
    assert client.get("/tasks", headers=bearer(made)).json() == [created.json()]


def test_a_revoked_or_expired_token_is_refused(client: TestClient, api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    soon = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    made = [make(ada, "tasks:read"), make(ada, "tasks:read", expires_at=soon)]
    assert [client.get("/tasks", headers=bearer(each)).status_code for each in made] == [200, 200]
    assert bob.delete(f"/auth/tokens/{made[0]['id']}").json()["code"] == "token_not_found"
    assert ada.delete(f"/auth/tokens/{made[0]['id']}").status_code == 200
    past = update(program_tokens).values(expires_at=datetime.now(UTC) - timedelta(seconds=1))
    database.write(lambda db: db.execute(past))
    for each in made:
        answer = client.get("/tasks", headers=bearer(each))
        assert (answer.status_code, answer.json()["detail"]) == (401, "Invalid token")
    assert client.post("/tasks/import", json=[], headers=bearer(made[0])).status_code == 401


def test_a_token_ends_when_its_maker_said(client: TestClient, api: Api) -> None:
    ada = api.person()
    now = datetime.now(UTC)
    until = (now + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    limited, unlimited = make(ada, "tasks:read", expires_at=until), make(ada, "tasks:read")
    assert [token["expires_at"] for token in ada.get("/auth/tokens").json()] == [None, until]
    assert limited["expires_at"] == until
    for minutes, status in ((59, 200), (61, 401)):
        with time_machine.travel(now + timedelta(minutes=minutes)):
            assert client.get("/tasks", headers=bearer(limited)).status_code == status
            assert client.get("/tasks", headers=bearer(unlimited)).status_code == 200


@pytest.mark.one_database
def test_the_trail_tells_which_token_was_made_by_whom_and_for_what(api: Api) -> None:
    ada = api.person()
    made = make(ada, "tasks:write", "tasks:read")
    ada.delete(f"/auth/tokens/{made['id']}")
    columns = (audit_events.c[name] for name in ("kind", "actor_id", "user_id", "details"))
    told = select(*columns).order_by(audit_events.c.id.desc())
    events = [tuple(row) for row in database.read(lambda db: db.execute(told.limit(2)).all())]
    assert events == [
        ("token_revoked", ada.id, ada.id, {"token_id": made["id"]}),
        ("token_created", ada.id, ada.id, {"token_id": made["id"], "scopes": ["tasks:read", "tasks:write"]}),
    ]


@pytest.mark.one_database
def test_a_token_that_would_have_expired_already_is_not_made(api: Api) -> None:
    past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
    body = {"name": "late", "scopes": ["tasks:read"], "expires_at": past}
    assert api.person().post("/auth/tokens", json=body).status_code == 422


@pytest.mark.one_database
def test_a_token_of_somebody_who_is_no_admin_any_more_opens_nothing_for_admins(
    client: TestClient, api: Api
) -> None:
    boss, second = api.person("boss", admin=True), api.person("second", admin=True)
    made = make(second, "admin")
    assert client.get("/users", headers=bearer(made)).status_code == 200
    boss.patch(f"/users/{second.id}", json={"role": "member"})
    answer = client.get("/users", headers=bearer(made))
    assert (answer.status_code, answer.json()["detail"]) == (403, "Admin access required")
    boss.patch(f"/users/{second.id}", json={"is_active": False})
    assert client.get("/users", headers=bearer(made)).status_code == 401


def test_the_last_use_is_written_once_a_minute(client: TestClient, api: Api) -> None:
    ada = api.person()
    made = make(ada, "tasks:read")

    def last_used() -> str | None:
        used: str | None = ada.get("/auth/tokens").json()[0]["last_used_at"]
        return used

    assert last_used() is None
    client.get("/tasks", headers=bearer(made))
    first = last_used()
    assert first is not None
    client.get("/tasks", headers=bearer(made))
    # Another worker has not written the time itself, so it looks into the database.
    auth._uses_written.clear()  # noqa: SLF001
    client.get("/tasks", headers=bearer(made))
    assert last_used() == first
    auth._uses_written.clear()  # noqa: SLF001
    earlier = update(program_tokens).values(last_used_at=datetime.now(UTC) - timedelta(seconds=61))
    database.write(lambda db: db.execute(earlier))
    client.get("/tasks", headers=bearer(made))
    assert (last_used() or "") > first
