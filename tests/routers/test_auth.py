"""Logging in and out, refreshing, and the sessions."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select

import manage
from account_models import audit_events, refresh_tokens, sessions
from database import database
from security.tokens import create_access_token, verify_token
from services.accounts import session as session_service
from tests.support.api import PASSWORD, Api, assert_problem
from tests.support.zone import machine_in


@pytest.fixture(autouse=True)
def _abroad() -> Iterator[None]:
    with machine_in("Asia/Kathmandu"):
        yield


def log_in(client: TestClient, username: str = "ada") -> Any:
    answer = client.post("/auth/login", data={"username": username, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    return answer.json()


def me(client: TestClient, token: str) -> Any:
    return client.get("/auth/me", headers={"Authorization": f"Bearer {token}"})


def refresh(client: TestClient, token: str) -> Any:
    return client.post("/auth/refresh", json={"refresh_token": token})


def test_login_answers_both_tokens_and_how_long_they_last(client: TestClient, api: Api) -> None:
    api.person()
    tokens = log_in(client)
    assert (tokens["token_type"], tokens["expires_in"]) == ("bearer", 1800)
    assert 0 <= 30 * 86400 - tokens["refresh_expires_in"] < 60
    assert tokens["refresh_token"].startswith("tr_")


def test_refreshing_answers_new_tokens_of_the_same_session(client: TestClient, api: Api) -> None:
    api.person()
    old = log_in(client)
    new = refresh(client, old["refresh_token"]).json()
    assert new["refresh_token"] != old["refresh_token"]
    assert me(client, new["access_token"]).json()["username"] == "ada"
    assert me(client, old["access_token"]).status_code == 200
    assert refresh(client, new["refresh_token"]).status_code == 200


def test_two_tabs_may_refresh_with_the_same_token_at_once(client: TestClient, api: Api) -> None:
    api.person()
    tokens = log_in(client)
    tabs = [refresh(client, tokens["refresh_token"]) for _ in range(2)]
    assert [tab.status_code for tab in tabs] == [200, 200]
    assert all(refresh(client, tab.json()["refresh_token"]).status_code == 200 for tab in tabs)


def test_a_replayed_refresh_token_ends_its_session_although_the_answer_is_401(
    client: TestClient, api: Api
) -> None:
    api.person()
    stolen = log_in(client)
    other = log_in(client)
    renewed = refresh(client, stolen["refresh_token"]).json()
    age_used_tokens()
    answer = refresh(client, stolen["refresh_token"])
    assert (answer.status_code, answer.json()["code"]) == (401, "invalid_refresh_token")
    # Nobody with a token of this session is logged in any more; other sessions go on.
    assert refresh(client, renewed["refresh_token"]).status_code == 401
    assert me(client, renewed["access_token"]).status_code == 401
    assert me(client, other["access_token"]).status_code == 200


def age_used_tokens() -> None:
    """Make used tokens so old that their time of grace is over."""
    used = refresh_tokens.c.used_at
    aged = refresh_tokens.update().where(used.is_not(None))

    def work(db: Any) -> None:
        moment = db.execute(select(used).where(used.is_not(None))).scalars().first()
        db.execute(aged.values(used_at=moment - 2 * session_service.GRACE))

    database.write(work)


@pytest.mark.parametrize("token", ["", "tr_", "tr_" + "x" * 43, "x" * 200])
def test_a_refresh_token_that_is_none_is_refused(client: TestClient, api: Api, token: str) -> None:
    assert refresh(client, token).status_code in (401, 422)


def test_an_ended_session_ends_its_access_token_at_the_next_request(client: TestClient, api: Api) -> None:
    api.person()
    first, second = log_in(client), log_in(client)
    bearer = {"Authorization": f"Bearer {first['access_token']}"}
    assert client.post("/auth/logout", headers=bearer).status_code == 200
    answer = me(client, first["access_token"])
    assert (answer.status_code, answer.json()["detail"]) == (401, "Invalid token")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert refresh(client, first["refresh_token"]).status_code == 401
    assert me(client, second["access_token"]).status_code == 200


def test_logging_out_everywhere_ends_every_session(client: TestClient, api: Api) -> None:
    ada = api.person()
    tokens = [log_in(client) for _ in range(2)]
    assert ada.post("/auth/logout-all").json() == {"message": "Logged out of 3 sessions"}
    assert ada.get("/auth/me").status_code == 401
    assert all(me(client, each["access_token"]).status_code == 401 for each in tokens)


def test_sessions_are_listed_and_ended_one_by_one(client: TestClient, api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    elsewhere = client.post(
        "/auth/login", data={"username": "ada", "password": PASSWORD}, headers={"User-Agent": "Elsewhere/1.0"}
    ).json()
    sessions = ada.get("/auth/sessions").json()
    assert [(each["client"], each["current"]) for each in sessions] == [
        ("Elsewhere/1.0", False),
        ("testclient", True),
    ]
    session = sessions[0]["id"]
    assert bob.delete(f"/auth/sessions/{session}").status_code == 404
    assert me(client, elsewhere["access_token"]).status_code == 200
    assert ada.delete(f"/auth/sessions/{session}").status_code == 200
    assert me(client, elsewhere["access_token"]).status_code == 401
    assert [each["current"] for each in ada.get("/auth/sessions").json()] == [True]


def test_where_somebody_was_is_forgotten_at_the_login_after_the_session_expired(
    client: TestClient, api: Api
) -> None:
    ada, bob = api.person(), api.person("bob")
    past = datetime.now(UTC) - timedelta(seconds=1)
    api.log_in("ada")
    expired = sessions.update().where(sessions.c.id != 3).values(expires_at=past)
    database.write(lambda db: db.execute(expired))
    log_in(client)
    kept = database.read(lambda db: db.execute(select(sessions.c.user_id, sessions.c.id)).all())
    assert sorted(tuple(row) for row in kept) == [(ada.id, 3), (ada.id, 4), (bob.id, 2)]


def test_the_trail_tells_an_owner_who_ended_a_session_and_that_a_token_was_stolen(
    client: TestClient, api: Api
) -> None:
    ada = api.person()
    stolen, other = log_in(client), log_in(client)
    refresh(client, stolen["refresh_token"])
    age_used_tokens()
    refresh(client, stolen["refresh_token"])
    ada.delete(f"/auth/sessions/{verify_token(other['access_token'])['sid']}")
    ada.post("/auth/logout-all")
    columns = (audit_events.c[name] for name in ("kind", "actor_id", "user_id", "details"))
    told = select(*columns).order_by(audit_events.c.id.desc())
    events = [tuple(row) for row in database.read(lambda db: db.execute(told.limit(3)).all())]
    assert events == [
        ("sessions_ended", ada.id, ada.id, {"sessions_ended": 1}),
        ("session_ended", ada.id, ada.id, {"session_id": verify_token(other["access_token"])["sid"]}),
        ("refresh_token_replayed", None, ada.id, {"session_id": verify_token(stolen["access_token"])["sid"]}),
    ]


def test_an_access_token_is_told_and_made_to_end_with_its_session(client: TestClient, api: Api) -> None:
    api.person()
    tokens = log_in(client)
    soon = datetime.now(UTC) + timedelta(seconds=600)
    database.write(lambda db: db.execute(sessions.update().values(expires_at=soon)))
    renewed = refresh(client, tokens["refresh_token"]).json()
    assert renewed["expires_in"] == renewed["refresh_expires_in"]
    assert 0 < renewed["expires_in"] <= 600
    assert verify_token(renewed["access_token"])["exp"] <= soon.timestamp() + 1


def test_a_token_made_without_a_session_works_and_can_not_be_logged_out(client: TestClient, api: Api) -> None:
    ada = api.person()
    token = create_access_token({"sub": str(ada.id)}, timedelta(minutes=5))
    assert me(client, token).json()["username"] == "ada"
    answer = client.post("/auth/logout", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["code"]) == (409, "no_session")
    nobodys = create_access_token({"name": "ada"})
    assert (me(client, nobodys).status_code, me(client, nobodys).json()["code"]) == (401, "invalid_token")


def test_a_name_or_an_email_that_is_taken_is_refused_in_any_letter_case(client: TestClient, api: Api) -> None:
    api.person("Ada")
    for name, email, code in (
        ("ada", "new@example.com", "username_taken"),
        ("ADA", "new@example.com", "username_taken"),
        ("new", "ADA@example.COM", "email_taken"),
    ):
        account = {"username": name, "email": email, "password": PASSWORD}
        assert_problem(client.post("/auth/register", json=account), 400, code)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "email", ["bob@xn--bcher-kva.example", " bob@Bu\u0308cher.example ", "bob@ｂücher。example"]
)
def test_an_email_logs_in_as_it_was_typed_when_registering(client: TestClient, email: str) -> None:
    account = {"username": "bob", "email": email, "password": PASSWORD}
    assert client.post("/auth/register", json=account).json()["email"] == "bob@bücher.example"
    for name in (email, "BOB@bücher.example"):
        log_in(client, name)
        assert manage.main(["reset-link", name]) == 0


@pytest.mark.one_database
def test_the_spellings_of_an_email_share_their_attempts(client: TestClient, api: Api) -> None:
    wrong = [{"username": f"{' ' * spaces}ada@example.com", "password": "wrong"} for spaces in range(30)]
    assert {client.post("/auth/login", data=form).status_code for form in wrong} == {401, 429}


# Mail programs decode the second address.
@pytest.mark.parametrize("email", ["Ada <ada@example.com>", "=?utf-8?q?ada?=@example.com"])
def test_an_email_that_is_read_as_another_one_is_refused_and_not_cut(client: TestClient, email: str) -> None:
    account = {"username": "ada", "email": email, "password": PASSWORD}
    assert_problem(client.post("/auth/register", json=account), 422, "invalid_input", "#/email")


def test_a_disabled_account_is_out_at_once_and_can_not_log_in(client: TestClient, api: Api) -> None:
    admin, bob = api.person("boss", admin=True), api.person("bob")
    assert admin.patch(f"/users/{bob.id}", json={"is_active": False}).status_code == 200
    assert bob.get("/auth/me").status_code == 401
    right = {"username": "bob", "password": PASSWORD}
    assert client.post("/auth/login", data=right).status_code == 403
    assert client.post("/auth/login", data=right | {"password": "wrong"}).status_code == 401
