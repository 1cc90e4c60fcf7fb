"""Tokens, sessions and links that replace the password: they end with it, and their number is limited."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, select, text, update
from sqlalchemy.orm import Session

from account_models import account_mails, known_addresses, program_tokens, refresh_tokens, sessions
from database import database
from errors import NotAuthenticated
from schemas.accounts import ProgramTokenCreate
from security.callers import load_caller
from security.passwords import hash_password
from security.tokens import token_hash, verify_token
from services.accounts import account as account_service
from services.accounts import given_out, program_token
from services.accounts import link as link_service
from services.accounts import session as session_service
from services.flow import pictures
from services.webhooks import webhook
from tables.webhooks import webhooks
from tests.support.api import PASSWORD, Api, Person
from tests.support.queues import busy_hashing
from tests.support.waiting import SECONDS, wait_until

NEW = "another long battery"
WAITING = text(
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


def reset_token(name: str) -> str:
    link = database.write(lambda db: account_service.link_for_operator(db, name))
    return link.partition("token=")[2]


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def is_on(webhook_id: int) -> bool:
    """Whether a webhook is on."""
    enabled = select(webhooks.c.enabled).where(webhooks.c.id == webhook_id)
    return bool(database.read(lambda db: db.execute(enabled).scalar_one()))


def give_out(person: Person) -> dict[str, Callable[[], int]]:
    """Everything that gives access, each with a call whose status tells whether it still does."""
    client = person.client
    logged_in = client.post("/auth/login", data={"username": person.username, "password": PASSWORD}).json()
    program = person.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:read"]}).json()["token"]
    picture = person.post("/analytics/pictures", json={"chart": "throughput"}).json()["url"]
    calendar = person.post("/calendars", json={}).json()["url"]
    hook = person.post("/webhooks", json={"url": "https://93.184.215.14/", "types": ["task.*"]}).json()
    link = database.write(
        lambda db: link_service.make(db, person.id, "change", "thief@example.com").partition("token=")[2]
    )
    return {
        "session": lambda: client.get("/auth/me", headers=bearer(logged_in["access_token"])).status_code,
        "refresh token": lambda: (
            client.post("/auth/refresh", json={"refresh_token": logged_in["refresh_token"]}).status_code
        ),
        "program token": lambda: client.get("/tasks", headers=bearer(program)).status_code,
        "picture": lambda: client.get(picture).status_code,
        "calendar": lambda: client.get(calendar).status_code,
        "webhook": lambda: 200 if is_on(hook["id"]) else 404,
        "mailed link": lambda: client.post("/auth/email/verify", json={"token": link}).status_code,
    }


ENDED = {
    "session": 401,
    "refresh token": 401,
    "program token": 401,
    "picture": 403,
    "calendar": 404,
    "webhook": 404,
    "mailed link": 400,
}

WORKING = ("session", "program token", "picture", "calendar", "webhook")


@pytest.mark.parametrize("how", ["reset", pytest.param("change", marks=pytest.mark.one_database)])
def test_a_new_password_ends_everything_that_was_given_out_before(
    client: TestClient, api: Api, how: str
) -> None:
    ada, bob = api.person(), api.person("bob")
    given, bobs = give_out(ada), give_out(bob)
    assert {name: given[name]() for name in WORKING} == dict.fromkeys(WORKING, 200)
    if how == "reset":
        body = {"token": reset_token("ada"), "new_password": NEW}
        assert client.post("/auth/password/reset", json=body).status_code == 200
        assert ada.get("/auth/me").status_code == 401
    else:
        change = {"current_password": PASSWORD, "new_password": NEW}
        assert ada.post("/auth/password", json=change).status_code == 200
        assert ada.get("/auth/me").status_code == 200
    assert {name: still() for name, still in given.items()} == ENDED
    assert {name: still() for name, still in bobs.items()} == dict.fromkeys(ENDED, 200)
    again = Person(client, ada.id, "ada", api.log_in("ada", NEW))
    picture = again.post("/analytics/pictures", json={"chart": "throughput"}).json()["url"]
    assert client.get(picture).status_code == 200
    assert again.get("/calendars").json() == []
    # The owner looks through the webhooks and switches the good ones on again.
    (hook,) = again.get("/webhooks").json()
    assert (hook["enabled"], hook["disabled_reason"]) == (False, None)
    assert again.patch(f"/webhooks/{hook['id']}", json={"enabled": True}).json()["enabled"] is True
    addresses = database.read(
        lambda db: db.execute(select(known_addresses.c.user_id, known_addresses.c.address)).all()
    )
    assert (ada.id, "testclient") in addresses


def test_a_thiefs_address_is_not_known_after_a_reset(client: TestClient, api: Api) -> None:
    ada = api.person()
    database.write(lambda db: db.execute(update(known_addresses).values(address="203.0.113.7")))
    client.post("/auth/password/reset", json={"token": reset_token("ada"), "new_password": NEW})
    kept = database.read(
        lambda db: db.execute(
            select(known_addresses.c.address).where(known_addresses.c.user_id == ada.id)
        ).scalars()
    )
    assert list(kept) == ["testclient"]


def test_what_is_made_while_the_owner_ends_everything_is_ended_too(client: TestClient, api: Api) -> None:
    ada = api.person()
    claims = verify_token(ada.token)
    thief = database.read(lambda db: load_caller(db, claims))
    client.post("/auth/password/reset", json={"token": reset_token("ada"), "new_password": NEW})
    wanted = ProgramTokenCreate(name="mine now", scopes=["tasks:read"])
    with pytest.raises(NotAuthenticated):
        database.write(lambda db: program_token.create(db, thief, wanted))
    hook = {"url": "https://93.184.215.14/", "types": ["task.*"], "project_id": None, "enabled": True}
    with pytest.raises(NotAuthenticated):
        database.write(lambda db: webhook.create(db, thief, hook))
    made = database.write(lambda db: pictures.make_link(db, thief, "throughput", {}, 1))
    assert client.get(made["url"]).status_code == 403


CONFIRMED = {
    "password": (
        "POST",
        "/auth/password",
        {"current_password": PASSWORD, "new_password": "the thief's own one"},
    ),
    "email": ("POST", "/auth/email", {"email": "thief@example.com", "password": PASSWORD}),
    "removal": ("DELETE", "/auth/me", {"password": PASSWORD}),
}


@pytest.mark.parametrize("what", CONFIRMED)
@pytest.mark.parametrize("how", ["reset", "session ended"])
def test_what_a_password_confirmed_is_not_written_after_the_owner_shut_the_caller_out(
    client: TestClient, api: Api, what: str, how: str
) -> None:
    ada = api.person()
    token, hashed = reset_token("ada"), hash_password(NEW)
    session = ada.get("/auth/sessions").json()[0]["id"]
    method, path, body = CONFIRMED[what]
    with ThreadPoolExecutor(1) as pool:
        with busy_hashing() as wait_for:
            thief = pool.submit(ada.call, method, path, json=body)
            wait_for(1)
            if how == "reset":
                database.write(lambda db: account_service.reset_password(db, token, hashed))
            else:
                database.write(lambda db: db.execute(sessions.delete().where(sessions.c.id == session)))
        assert thief.result().status_code in (401, 403)
    password = NEW if how == "reset" else PASSWORD
    owner = Person(client, ada.id, "ada", api.log_in("ada", password))
    assert owner.get("/auth/me").json()["email"] == "ada@example.com"
    mails = database.read(lambda db: db.execute(select(account_mails.c.kind)).scalars().all())
    assert "change" not in mails


# -- refreshing --------------------------------------------------------------------------------------


def refresh(client: TestClient, token: str) -> Any:
    return client.post("/auth/refresh", json={"refresh_token": token})


def logged_in(client: TestClient, api: Api) -> str:
    api.person()
    token: str = client.post("/auth/login", data={"username": "ada", "password": PASSWORD}).json()[
        "refresh_token"
    ]
    return token


def set_used_ago(token: str, ago: timedelta) -> None:
    used = update(refresh_tokens).where(refresh_tokens.c.token_hash == token_hash(token))
    at = database.read(
        lambda db: db.execute(
            select(refresh_tokens.c.used_at).where(refresh_tokens.c.token_hash == token_hash(token))
        ).scalar_one()
    )
    database.write(lambda db: db.execute(used.values(used_at=at - ago)))


def test_forty_refreshes_at_once_hand_out_one_successor(client: TestClient, api: Api) -> None:
    token = logged_in(client, api)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(client, token), range(40)))
    assert {answer.status_code for answer in answers} == {200}
    (successor,) = {answer.json()["refresh_token"] for answer in answers}
    unused = select(func.count()).select_from(refresh_tokens).where(refresh_tokens.c.used_at.is_(None))
    # One of the two belongs to the session that the test began with.
    assert database.read(lambda db: db.execute(unused).scalar_one()) == 2
    assert refresh(client, successor).status_code == 200


def test_a_tab_that_comes_late_within_the_grace_gets_the_newest_of_the_chain(
    client: TestClient, api: Api
) -> None:
    token = logged_in(client, api)
    second = refresh(client, token).json()["refresh_token"]
    third = refresh(client, second).json()["refresh_token"]
    assert len({token, second, third}) == 3
    assert refresh(client, token).json()["refresh_token"] == third
    assert refresh(client, third).status_code == 200


def test_a_used_token_is_good_for_ten_seconds_and_then_ends_its_session(client: TestClient, api: Api) -> None:
    assert timedelta(seconds=10) == session_service.GRACE
    token = logged_in(client, api)
    successor = refresh(client, token).json()
    set_used_ago(token, timedelta(seconds=8))
    assert refresh(client, token).json()["refresh_token"] == successor["refresh_token"]
    set_used_ago(token, timedelta(seconds=3))
    assert refresh(client, token).status_code == 401
    assert client.get("/auth/me", headers=bearer(successor["access_token"])).status_code == 401
    assert refresh(client, successor["refresh_token"]).status_code == 401


# -- how much of it there is -------------------------------------------------------------------------


@pytest.mark.one_database
def test_a_refresh_token_is_no_cookie_and_a_cookie_no_refresh_token(client: TestClient, api: Api) -> None:
    api.person()
    form = {"username": "ada", "password": PASSWORD}
    token = client.post("/auth/login", data=form).json()["refresh_token"]

    def as_cookie(held: str) -> int:
        headers = {"Cookie": f"task_platform_session={held}"}
        return int(client.post("/auth/page/token", json={}, headers=headers).status_code)

    # A thief who had it exchanged here would come and go, and the owner's next refresh would show nothing.
    assert [as_cookie(token), as_cookie(f"remembered.{token}")] == [401, 401]
    assert client.post("/auth/refresh", json={"refresh_token": token}).status_code == 200
    client.post("/auth/page/login", json=form)
    held = client.cookies["task_platform_session"]
    assert client.post("/auth/refresh", json={"refresh_token": held}).status_code == 401
    assert as_cookie(held) == 200
    client.cookies.clear()


def test_an_account_has_a_hundred_program_tokens_at_most(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    assert program_token.MOST_TOKENS == 100
    monkeypatch.setattr(program_token, "MOST_TOKENS", 5)
    ada, bob = api.person(), api.person("bob")
    body = {"name": "p", "scopes": ["tasks:read"]}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: ada.post("/auth/tokens", json=body), range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * 5 + [409] * 7
    refused = next(answer for answer in answers if answer.status_code == 409)
    assert refused.json()["code"] == "too_many_tokens"
    assert bob.post("/auth/tokens", json=body).status_code == 201
    ada.delete(f"/auth/tokens/{ada.get('/auth/tokens').json()[0]['id']}")
    assert ada.post("/auth/tokens", json=body).status_code == 201


@pytest.mark.one_database
def test_making_a_token_is_mailed_to_the_owner_but_not_for_ever(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program_token.MOST_MAILS == 20
    monkeypatch.setattr(program_token, "MOST_MAILS", 3)
    monkeypatch.setattr("config.settings.smtp_server", "127.0.0.1")
    monkeypatch.setattr("config.settings.smtp_port", 9)
    ada = api.person()
    for _ in range(5):
        made = ada.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:read"]}).json()
        assert ada.delete(f"/auth/tokens/{made['id']}").status_code == 200
    rows = database.read(lambda db: db.execute(select(account_mails.c.kind, account_mails.c.email)).all())
    assert [tuple(row) for row in rows] == [("token_created", "ada@example.com")] * 3
    assert database.read(lambda db: db.execute(select(program_tokens)).all()) == []


def test_the_hundred_and_first_session_ends_the_one_longest_unused(client: TestClient, api: Api) -> None:
    assert session_service.MOST_SESSIONS == 100
    ada = api.person()
    database.write(
        lambda db: [session_service.start(db, ada.id) for _ in range(session_service.MOST_SESSIONS - 1)]
    )
    listed = ada.get("/auth/sessions").json()
    assert len(listed) == 100
    # The oldest session is the test's own, which has just been used.
    used = update(sessions).where(sessions.c.id == listed[-1]["id"])
    database.write(lambda db: db.execute(used.values(last_used_at=sessions.c.expires_at)))
    api.log_in("ada")
    left = ada.get("/auth/sessions").json()
    assert len(left) == 100
    assert {each["id"] for each in listed} - {each["id"] for each in left} == {listed[-2]["id"]}


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("by_program", [True, False])
@pytest.mark.parametrize("is_there", [True, False])
def test_no_webhook_is_switched_on_while_a_new_password_switches_them_off(
    api: Api, *, by_program: bool, is_there: bool
) -> None:
    ada = api.person()
    hook = {"url": "https://93.184.215.14/", "types": ["task.*"]}
    path = ada.post("/webhooks", json={**hook, "enabled": False}).headers["location"]
    thief = ada
    if by_program:
        token = ada.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:write"]}).json()["token"]
        thief = Person(api.client, ada.id, ada.username, token)
    with ThreadPoolExecutor(1) as pool:
        with database.engine.begin() as resetting:
            given_out.end_everything_given_out(Session(resetting), ada.id)
            answer = pool.submit(
                lambda: (
                    thief.patch(path, json={"enabled": True})
                    if is_there
                    else thief.post("/webhooks", json=hook)
                )
            )
            wait_until(lambda: answer.done() or database.read(lambda db: db.execute(WAITING).scalar()) == 1)
        assert answer.result(SECONDS).status_code == 401
    on = select(func.count()).select_from(webhooks).where(webhooks.c.enabled)
    assert database.read(lambda db: db.execute(on).scalar()) == 0
