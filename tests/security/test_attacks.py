"""Attacks, and why they fail."""

import asyncio
import base64
import contextvars
import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from fastapi.testclient import TestClient
from jose import jwt
from passlib.hash import bcrypt
from pydantic import SecretStr
from sqlalchemy import select, update

from account_models import attempts
from config import key_problem, settings
from configuration.addresses import networks
from database import database
from main import app
from models import users
from request_context import Origin, origin_var
from security import signing
from security.passwords import LONGEST_HASHING_QUEUE, hash_password_async, may_hash, password_context
from security.tokens import forget_verified_tokens
from services.accounts import account as account_service
from services.accounts import attempt as attempt_service
from tests.support.api import PASSWORD, Api
from tests.support.openapi_check import CheckedClient
from tests.support.queues import busy_hashing

PROXY = ("127.0.0.1", 50000)


def claims(user_id: int, **more: Any) -> dict[str, Any]:
    return {
        "sub": str(user_id),
        "kind": "access",
        "exp": datetime.now(UTC) + timedelta(minutes=5),
        **more,
    }


def signed(content: dict[str, Any], key: str | None = None, algorithm: str = "HS256") -> str:
    token: str = jwt.encode(content, key or settings.signing_key(), algorithm=algorithm)
    return token


def unsigned(content: dict[str, Any], header: dict[str, str]) -> str:
    content = {name: int(value.timestamp()) if name == "exp" else value for name, value in content.items()}
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (header, content)
    ]
    return ".".join([*parts, ""])


def without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


def tampered(token: str) -> str:
    """The same token for account 1, with the old signature."""
    head, body, signature = token.split(".")
    content = json.loads(base64.urlsafe_b64decode(body + "=="))
    changed = base64.urlsafe_b64encode(json.dumps(content | {"sub": "1"}).encode()).decode().rstrip("=")
    return f"{head}.{changed}.{signature}"


def forged_tokens(user_id: int) -> dict[str, str]:
    good = claims(user_id)
    return {
        "no algorithm": unsigned(good, {"alg": "none", "typ": "JWT"}),
        "no algorithm in capitals": unsigned(good, {"alg": "NONE", "typ": "JWT"}),
        "another key": signed(good, "another key that is long enough to sign"),
        "another algorithm": signed(good, algorithm="HS512"),
        "another kind": signed(good | {"kind": "refresh"}),
        "no kind": signed(without(good, "kind")),
        "no expiry": signed(without(good, "exp")),
        "no subject": signed(without(good, "sub")),
        "expired": signed(good | {"exp": datetime.now(UTC) - timedelta(seconds=1)}),
        "a tampered payload": tampered(signed(claims(user_id + 1))),
        "a subject beyond every id": signed(good | {"sub": "9" * 40}),
        "a subject that is no number": signed(good | {"sub": "1 OR 1=1"}),
        "a session of nobody's": signed(good | {"sid": 10**6}),
        "no token at all": "nonsense",
        "a program's token of nobody's": "tp_" + "x" * 43,
    }


@pytest.mark.one_database
def test_forged_tokens_are_refused(client: TestClient, api: Api) -> None:
    ada = api.person()
    assert client.get("/auth/me", headers=bearer(signed(claims(ada.id)))).status_code == 200
    for name, token in forged_tokens(ada.id).items():
        answer = client.get("/auth/me", headers=bearer(token))
        assert answer.status_code == 401, name
        assert answer.headers["www-authenticate"] == "Bearer", name


@pytest.mark.one_database
def test_anothers_session_does_not_carry_my_token(client: TestClient, api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    session = ada.get("/auth/sessions").json()[0]["id"]
    assert client.get("/auth/me", headers=bearer(signed(claims(bob.id, sid=session)))).status_code == 401


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def public_keys() -> dict[str, str]:
    key = rsa.generate_private_key(65537, 2048).public_key()
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = key.public_bytes(serialization.Encoding.PEM, info)
    der = key.public_bytes(serialization.Encoding.DER, info)
    ssh = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return {
        "PEM": pem.decode(),
        "SSH": ssh.decode(),
        "DER": der.decode("latin-1"),
        "DER in base64": base64.b64encode(der).decode(),
    }


def test_keys_that_are_unfit_to_sign_with_are_refused() -> None:
    for name, key in (public_keys() | {"empty": ""}).items():
        with pytest.raises(ValueError, match="The key for signing tokens"):
            signing._fit(key)  # noqa: SLF001  # what stands before every use of a key
        assert key_problem(key), name
    assert key_problem("short") is None


@pytest.mark.one_database
def test_the_key_before_still_verifies_and_signs_no_more(
    client: TestClient, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    old = settings.secret_key
    monkeypatch.setattr(settings, "secret_key", SecretStr("the new key, which is long enough"))
    forget_verified_tokens()
    assert ada.get("/auth/me").status_code == 401
    monkeypatch.setattr(settings, "secret_key_previous", old)
    assert ada.get("/auth/me").status_code == 200
    new = api.log_in("ada")
    monkeypatch.setattr(settings, "secret_key_previous", None)
    forget_verified_tokens()
    assert client.get("/auth/me", headers=bearer(new)).status_code == 200
    assert ada.get("/auth/me").status_code == 401


@pytest.mark.one_database
def test_nobody_makes_themselves_an_admin(client: TestClient, api: Api) -> None:
    account = {"username": "eve", "email": "eve@example.com", "password": PASSWORD}
    for extra in (
        {"role": "admin"},
        {"is_active": True},
        {"id": 1},
        {"email_verified_at": "2026-01-01T00:00:00Z"},
    ):
        assert client.post("/auth/register", json=account | extra).status_code == 422
    eve = api.person("eve")
    me = eve.get("/auth/me").json()
    assert eve.patch("/auth/me", json=me).json() == me
    for change in ({"role": "admin"}, {"id": 99}, {"email": "x@example.com"}, {"is_active": False}):
        answer = eve.patch("/auth/me", json=me | change)
        assert answer.status_code == 422, change
        assert answer.json()["errors"][0]["pointer"] == f"#/{next(iter(change))}"
    assert eve.patch("/auth/me", json={"password_hash": "x"}).status_code == 422
    assert eve.patch(f"/users/{eve.id}", json={"role": "admin"}).status_code == 403
    assert eve.post("/auth/tokens", json={"name": "x", "scopes": ["admin"]}).status_code == 403
    assert eve.get("/auth/me").json()["role"] == "member"


def test_nobody_reaches_anothers_task_through_any_parameter(api: Api) -> None:
    ada, eve = api.person(), api.person("eve")
    task = ada.task("Top secret plan", project="Hidden", tags=["hidden"])
    here = f"/tasks/{task['id']}"
    calls = [
        eve.get(here),
        eve.get(f"{here}/history"),
        eve.put(here, json={"title": "Mine"}),
        eve.patch(here, json={"title": "Mine"}),
        eve.delete(here),
        eve.get(here, headers={"If-None-Match": "*"}),
        eve.delete(here, headers={"If-Match": "*"}),
    ]
    assert {call.status_code for call in calls} == {404}
    assert eve.put(f"{here}/assign", params={"assigned_user_id": eve.id}).status_code == 403
    assert eve.post("/tasks", json={"title": "Mine", "user_id": ada.id}).status_code == 422
    mine = eve.task("My own")
    assert eve.put(f"/tasks/{mine['id']}", json={"user_id": ada.id}).status_code == 422
    assert eve.put(f"/tasks/{mine['id']}", json={"id": task["id"]}).status_code == 422
    imported = eve.post("/tasks/import", json=[{"title": "Over it", "id": task["id"], "user_id": ada.id}])
    assert imported.status_code == 201
    for path in (
        "/tasks",
        "/tasks/search?query=secret",
        "/tasks?project=Hidden",
        "/tasks?tag=hidden",
        "/tasks?title_contains=%25",
        "/tasks/export",
        "/analytics/project-stats",
        "/notifications",
        "/auth/me/export",
    ):
        assert "ecret" not in eve.get(path).text, path
        assert "Hidden" not in eve.get(path).text, path
    assert eve.get("/tasks", params={"user_id": ada.id}).status_code == 422
    assert eve.get("/tasks/all").status_code == 403
    assert ada.get(here).json() == task


# -- guessing ----------------------------------------------------------------------------------------


@pytest.fixture
def still_clock(database_url: str) -> Iterator[None]:
    """Stop the clock. The first pause of one second could end in the middle of a test, between two guesses."""
    with time_machine.travel(datetime.now(UTC), tick=False):
        yield


def through_proxy(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A client that chooses its address by X-Forwarded-For, and is believed."""
    monkeypatch.setattr(settings, "trusted_proxies", networks("127.0.0.1"))
    return CheckedClient(app, client.portal, PROXY)


def guess(client: TestClient, address: str, username: str = "ada", password: str = "a guess") -> Any:
    return client.post(
        "/auth/login",
        data={"username": username, "password": password},
        headers={"X-Forwarded-For": address},
    )


@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(
    ("database_url", "addresses", "many"),
    [
        ("sqlite", 1, 200),
        pytest.param("sqlite", 1, 1000, marks=pytest.mark.thorough),
        pytest.param("postgres", 250, 1000, marks=pytest.mark.thorough),
    ],
    indirect=["database_url"],
)
def test_of_many_guesses_a_few_are_heard(
    client: TestClient, api: Api, monkeypatch: pytest.MonkeyPatch, addresses: int, many: int
) -> None:
    api.person()
    attacker = through_proxy(api.client, monkeypatch)

    def guesses(part: int) -> Counter[int]:
        return Counter(
            guess(attacker, f"198.51.100.{number % addresses}").status_code for number in range(part, many, 4)
        )

    with ThreadPoolExecutor(4) as pool:
        heard = sum(pool.map(guesses, range(4)), Counter[int]())
    assert set(heard) == {401, 429}
    assert heard[401] == attempt_service.FREE["both" if addresses == 1 else "account"]
    blocked = guess(attacker, "198.51.100.0", password=PASSWORD)
    assert blocked.status_code == 429
    assert 1 <= int(blocked.headers["retry-after"]) <= attempt_service.LONGEST_DELAY_SECONDS
    # The owner comes from the address of the registration, and is not kept out.
    assert client.post("/auth/login", data={"username": "ada", "password": PASSWORD}).status_code == 200


@pytest.mark.usefixtures("still_clock")
def test_guessing_goes_on_where_it_was_after_a_restart_and_in_another_worker(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.person()
    attacker = through_proxy(api.client, monkeypatch)
    while guess(attacker, "198.51.100.1").status_code == 401:
        pass
    database.switch(database_url)
    assert guess(attacker, "198.51.100.1").status_code == 429


@pytest.mark.one_database
@pytest.mark.usefixtures("still_clock")
def test_one_address_can_not_go_through_many_accounts(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    attacker = through_proxy(api.client, monkeypatch)
    statuses = [guess(attacker, "198.51.100.1", f"user{number}").status_code for number in range(70)]
    free = attempt_service.FREE["address"]
    assert statuses[:free] == [401] * free
    assert statuses[-1] == 429
    assert guess(attacker, "198.51.100.2", "user1").status_code == 401


@pytest.mark.one_database
@pytest.mark.usefixtures("still_clock")
def test_a_forwarded_address_counts_only_from_a_trusted_proxy(api: Api) -> None:
    api.person()
    stranger = CheckedClient(app, api.client.portal, ("203.0.113.9", 40000))
    statuses = [guess(stranger, f"198.51.100.{number}", "nobody").status_code for number in range(25)]
    assert statuses[-1] == 429


@pytest.mark.one_database
@pytest.mark.usefixtures("still_clock")
def test_the_names_of_the_registered_are_not_for_the_asking(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.person()
    attacker = through_proxy(api.client, monkeypatch)
    taken = {"username": "ada", "email": "other@example.com", "password": PASSWORD}
    headers = {"X-Forwarded-For": "198.51.100.1"}
    statuses = [attacker.post("/auth/register", json=taken, headers=headers).status_code for _ in range(70)]
    assert statuses[0] == 400
    assert statuses[-1] == 429


# -- finding out who has an account ------------------------------------------------------------------


@pytest.mark.one_database
@pytest.mark.usefixtures("still_clock")
@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/auth/login", lambda name: {"data": {"username": name, "password": "a guess"}}),
        ("/auth/password/forgot", lambda name: {"json": {"email": f"{name}@example.com"}}),
        ("/auth/email/resend", lambda name: {"json": {"email": f"{name}@example.com"}}),
        ("/auth/refresh", lambda name: {"json": {"refresh_token": f"tr_{name}"}}),
    ],
)
def test_a_stranger_is_answered_alike_about_the_known_and_the_unknown(
    client: TestClient, api: Api, monkeypatch: pytest.MonkeyPatch, path: str, body: Any
) -> None:
    api.person()
    stranger = through_proxy(api.client, monkeypatch)

    def ask(name: str) -> Any:
        return stranger.post(path, headers={"X-Forwarded-For": "198.51.100.1"}, **body(name))

    for _ in range(30):  # 30 are more than the free guesses, so answers that tell to wait are compared too.
        answers = [ask("ada"), ask("nobody")]
        assert answers[0].status_code == answers[1].status_code
        known, unknown = ({**answer.json(), "request_id": ""} for answer in answers)
        if answers[0].status_code != 429:
            assert known == unknown
        assert set(answers[0].headers) == set(answers[1].headers)


def test_a_link_is_good_for_one_use_and_dies_with_the_password(client: TestClient, api: Api) -> None:
    ada = api.person()
    links = [reset_token("ada") for _ in range(2)]
    body = {"token": links[0], "new_password": "another long battery"}
    assert client.post("/auth/password/reset", json=body).status_code == 200
    for token in (*links, "nonsense"):
        answer = client.post("/auth/password/reset", json=body | {"token": token})
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_link")
    assert ada.get("/auth/me").status_code == 401


def reset_token(name: str) -> str:
    link = database.write(lambda db: account_service.link_for_operator(db, name))
    return link.partition("token=")[2]


def test_of_two_who_use_a_link_at_once_one_gets_it(client: TestClient, api: Api) -> None:
    api.person()
    token = reset_token("ada")

    def use(password: str) -> int:
        answer = client.post("/auth/password/reset", json={"token": token, "new_password": password})
        return int(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        statuses = list(pool.map(use, [f"battery number {number}" for number in range(4)]))
    assert sorted(statuses) == [200, 400, 400, 400]


def test_an_old_hash_is_renewed_at_the_next_login(client: TestClient, api: Api) -> None:
    ada = api.person()
    old = bcrypt.using(rounds=4).hash(PASSWORD)
    database.write(lambda db: db.execute(users.update().values(password_hash=old)))
    api.log_in("ada")
    kept = database.read(
        lambda db: db.execute(select(users.c.password_hash).where(users.c.id == ada.id)).scalar_one()
    )
    assert kept != old
    assert password_context.identify(kept) == "bcrypt_sha256"
    assert not password_context.needs_update(kept)
    api.log_in("ada")


def hash_for(pool: ThreadPoolExecutor, address: str) -> Any:
    """Have a password hashed for somebody at this address."""

    def run() -> str:
        origin_var.set(Origin(address, "-"))
        return asyncio.run(hash_password_async(PASSWORD))

    return pool.submit(contextvars.copy_context().run, run)


@pytest.mark.one_database
def test_one_address_holds_half_of_the_hashing_places_and_owners_have_their_own(
    client: TestClient, api: Api
) -> None:
    api.person()
    stranger = CheckedClient(app, api.client.portal, ("203.0.113.9", 4000))
    attacker = CheckedClient(app, api.client.portal, ("198.51.100.1", 4000))
    ada = {"username": "ada", "password": PASSWORD}
    half = LONGEST_HASHING_QUEUE // 2
    with ThreadPoolExecutor(LONGEST_HASHING_QUEUE + 1) as pool:
        with busy_hashing() as wait_for:
            queued = [hash_for(pool, "198.51.100.1") for _ in range(half)]
            wait_for(half)
            refused = attacker.post("/auth/login", data=ada)
            assert (refused.status_code, refused.json()["code"]) == (503, "hashing_busy")
            account = {"username": "eve", "email": "eve@example.com", "password": PASSWORD}
            assert attacker.post("/auth/register", json=account).status_code == 503
            assert may_hash()
            queued += [hash_for(pool, "198.51.100.2") for _ in range(half)]
            wait_for(2 * half)
            # Another stranger finds all places taken. The owner gets one of the places for owners.
            refused = stranger.post("/auth/login", data=ada)
            assert (refused.status_code, refused.json()["code"]) == (503, "hashing_busy")
            assert int(refused.headers["retry-after"]) > 0
            owner = pool.submit(client.post, "/auth/login", data=ada)
            wait_for(2 * half + 1)
            assert client.get("/health").status_code == 200
        assert owner.result().status_code == 200
        assert len({each.result() for each in queued}) == 2 * half
    assert stranger.post("/auth/login", data=ada).status_code == 200


@pytest.mark.one_database
def test_an_address_makes_so_many_accounts_an_hour(
    client: TestClient, api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "registrations_per_hour", 3)
    attacker = through_proxy(client, monkeypatch)

    def register(number: int, address: str = "198.51.100.1", **fields: str) -> Any:
        account = {"username": f"user{number}", "email": f"user{number}@example.com", "password": PASSWORD}
        return attacker.post("/auth/register", json=account | fields, headers={"X-Forwarded-For": address})

    assert register(1).status_code == 200
    # A failed registration makes no account, and does not count towards the limit.
    assert register(2, email="user1@example.com").status_code == 400
    assert register(3, username="USER1").status_code == 400
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(register, range(10, 18)))
    assert sorted(answer.status_code for answer in answers) == [200] * 2 + [429] * 6
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["code"] == "too_many_registrations"
    assert 3500 < int(refused.headers["retry-after"]) <= 3600
    assert register(20, "198.51.100.2").status_code == 200
    past = update(attempts).where(attempts.c.key == "register:hour:198.51.100.1")
    database.write(lambda db: db.execute(past.values(blocked_until=datetime.now(UTC))))
    assert [register(number).status_code for number in range(30, 34)] == [200, 200, 200, 429]


@pytest.mark.one_database
def test_no_count_tells_which_email_belongs_to_which_name(client: TestClient, api: Api) -> None:
    api.person()
    stranger = CheckedClient(app, client.portal, ("203.0.113.9", 4000))

    def guess_once(name: str) -> Any:
        return stranger.post("/auth/login", data={"username": name, "password": "a guess"})

    while guess_once("ada").status_code == 401:
        pass
    assert guess_once("ADA").status_code == 429
    for email in ("ada@example.com", "nobody@example.com"):
        assert guess_once(email).status_code == 401
