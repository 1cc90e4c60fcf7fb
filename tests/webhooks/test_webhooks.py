"""Webhooks, as their owners see them."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr
from sqlalchemy import insert, select, update

from config import settings
from configuration.addresses import networks
from database import database
from services.background_tasks.retention_tasks import hourly_round
from services.events.watermark import watermark
from services.webhooks import beginning, claims, dispatch, fence
from services.webhooks import secret as secrets
from tables.history import task_history
from tables.webhooks import webhook_deliveries, webhooks
from tests.support.api import Api, assert_problem
from tests.support.waiting import SECONDS

# A secret as it was stored under the key of the tests.
STORED_BEFORE = (
    "gAAAAABrDMcejEGxCQHjPgWeOYViZqGkKaICxD5GShlR8G2Dk3cW5Zorags38hXCneyKv389dhf71yiFNdxfCwzWXT3uUF3lOA=="
)
HOOK = {"url": "https://93.184.215.14/hook", "types": ["task.created", "comment.*"]}


def test_a_webhook_is_made_read_changed_and_deleted(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    answer = ada.post("/webhooks", json=HOOK)
    assert answer.status_code == 201
    made = answer.json()
    assert (made["url"], made["types"], made["enabled"]) == (HOOK["url"], HOOK["types"], True)
    assert made["secret"].startswith("whsec_")
    path = answer.headers["location"]
    assert path == f"/webhooks/{made['id']}"
    read = ada.get(path)
    assert read.json() == {name: value for name, value in made.items() if name != "secret"}
    assert read.headers["etag"] == answer.headers["etag"]
    assert ada.get(path, headers={"If-None-Match": f"W/{read.headers['etag']}"}).status_code == 304
    assert ada.get("/webhooks").json() == [read.json()]
    assert bob.get("/webhooks").json() == []
    assert_problem(bob.get(path), 404, "webhook_not_found")

    # A client reads the webhook, edits it, and sends it back.
    changed = ada.patch(path, json={**read.json(), "description": "Tells the chat", "enabled": False})
    assert changed.status_code == 200, changed.text
    assert (changed.json()["description"], changed.json()["enabled"]) == ("Tells the chat", False)
    old = {"If-Match": read.headers["etag"]}
    assert_problem(ada.patch(path, json={"enabled": True}, headers=old), 412)
    assert_problem(ada.delete(path, headers=old), 412)
    assert_problem(ada.patch(path, json={"user_id": bob.id}), 422, pointer="#/user_id")
    assert ada.patch(path, json={"description": None, "url": None}).json()["description"] is None
    assert ada.delete(path).status_code == 204
    assert ada.get(path).status_code == 404


REFUSED = (
    "ftp://93.184.215.14/",
    "https://",
    "hook",
    "https://ada:secret@93.184.215.14/",
    "https://@93.184.215.14/",
    "https://93.184.215.14/#part",
    "https://93.184.215.14:99999/",
    "https://93.184.215.14/a b",
    "http://127.0.0.1:8000/hook",
    "http://localhost/hook",
    "http://2130706433/",
    "http://0x7f.1/",
    "http://0/",
    "http://10.1.2.3/",
    "http://169.254.169.254/latest/meta-data",
    "http://100.64.0.1/",
    "http://224.0.0.1/",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[fe80::1]/",
    "http://[fd00::1]/",
    "http://[2002:7f00:1::]/",
    "http://[::127.0.0.1]/",
    "http://[fec0::2]/",
    "http://[3fff::1]/",
    "http://192.0.0.192/opc/v1",
    "http://[64:ff9b::c000:c0]/",
    "http://192.88.99.1/",
    "http://168.63.129.16/machine/",
    # Names that the resolver of the machine may not know, while that of another machine does.
    "http://[fe80::1%25eth0]/",
    "http://[::1%lo]/",
    "http://127.0.0.1./",
    "http://LOCALHOST./",
    "http://tasks.localhost:8000/",
    "http://a.b.localhost./",
)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_addresses_that_are_not_public_are_refused(api: Api) -> None:
    ada = api.person()
    path = ada.post("/webhooks", json=HOOK).headers["location"]
    for url in REFUSED:
        assert_problem(ada.post("/webhooks", json={**HOOK, "url": url}), 422, pointer="#/url")
        assert_problem(ada.patch(path, json={"url": url}), 422, pointer="#/url")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_networks_that_the_operator_allows_are_taken(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "webhook_allowed_networks", networks("127.0.0.0/8,fd00::/8"))
    ada = api.person()
    for url in (
        "http://127.0.0.1:1/",
        "http://localhost/",
        "http://tasks.localhost./",
        "http://[fd00::1]/",
        "http://[::ffff:127.0.0.1]/",
    ):
        assert ada.post("/webhooks", json={**HOOK, "url": url}).status_code == 201, url
    # A name without an address is accepted, because it may get one later.
    assert ada.post("/webhooks", json={**HOOK, "url": "https://nowhere.invalid/"}).status_code == 201
    assert ada.post("/webhooks", json={**HOOK, "url": "http://10.0.0.1/"}).status_code == 422


BAD_FIELDS: list[tuple[dict[str, Any], str]] = [
    ({"types": []}, "#/types"),
    ({"types": ["task.exploded"]}, "#/types/0"),
    ({"url": None}, "#/url"),
    ({"secret": "whsec_mine"}, "#/secret"),
    ({"description": "x" * 501}, "#/description"),
]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_bad_input_is_named(api: Api) -> None:
    ada = api.person()
    for fields, pointer in BAD_FIELDS:
        assert_problem(ada.post("/webhooks", json={**HOOK, **fields}), 422, pointer=pointer)


def test_an_account_has_twenty_at_most(api: Api) -> None:
    ada = api.person()
    paths = [ada.post("/webhooks", json=HOOK).headers["location"] for _ in range(20)]
    assert_problem(ada.post("/webhooks", json=HOOK), 409, "too_many_webhooks")
    assert len(ada.get("/webhooks?limit=15").json()) == 15
    ada.delete(paths[0])
    assert ada.post("/webhooks", json=HOOK).status_code == 201


def test_the_webhooks_of_a_deleted_project_are_neither_counted_nor_found(api: Api) -> None:
    root = api.person("root", admin=True)
    project = root.post("/projects", json={"name": "Ship"}).json()["id"]
    paths = [
        root.post("/webhooks", json={**HOOK, "project_id": project}).headers["location"] for _ in range(20)
    ]
    root.delete(f"/projects/{project}?tasks=delete")
    assert root.get("/webhooks").json() == []
    for answer in (root.get(paths[0]), root.get(f"{paths[0]}/deliveries"), root.post(f"{paths[0]}/ping")):
        assert_problem(answer, 404, "webhook_not_found")
    assert root.post("/webhooks", json=HOOK).status_code == 201


@pytest.mark.parametrize("how", ["demoted", "removed", "switched off"])
def test_a_projects_webhook_goes_to_a_manager_when_its_maker_is_none_any_more(api: Api, how: str) -> None:
    ada, bob, cyd = api.person(), api.person("bob"), api.person("cyd")
    project = ada.post("/projects", json={"name": "Ship"}).json()["id"]
    other = bob.post("/projects", json={"name": "Bob's"}).json()["id"]
    for each in (cyd, bob):
        ada.put(f"/projects/{project}/members/{each.id}", json={"role": "manager"})
    here = bob.post("/webhooks", json={**HOOK, "project_id": project}).json()["id"]
    kept = {bob.post("/webhooks", json=hook).json()["id"] for hook in (HOOK, {**HOOK, "project_id": other})}
    path = f"/projects/{project}/members/{bob.id}"
    if how == "switched off":
        answer = api.person("boss", admin=True).patch(f"/users/{bob.id}", json={"is_active": False})
    else:
        answer = ada.put(path, json={"role": "member"}) if how == "demoted" else ada.delete(path)
    assert answer.is_success
    owners = dict(database.read(lambda db: list(db.execute(select(webhooks.c.id, webhooks.c.user_id)))))
    assert owners == {here: ada.id} | dict.fromkeys(kept, bob.id)
    assert (
        bob.get(f"/webhooks/{here}").status_code == {"demoted": 403, "removed": 404, "switched off": 401}[how]
    )


def test_an_admin_finds_the_webhooks_it_made_for_projects_of_others(api: Api) -> None:
    ada, root, boss = api.person(), api.person("root", admin=True), api.person("boss", admin=True)
    project = ada.post("/projects", json={"name": "Ship"}).json()["id"]
    made = root.post("/webhooks", json={**HOOK, "project_id": project}).json()["id"]
    assert [each["id"] for each in root.get("/webhooks").json()] == [made]
    assert boss.get("/webhooks").json() == []


@pytest.mark.parametrize("change", [{"role": "member"}, {"is_active": False}])
def test_a_projects_webhook_goes_to_a_manager_when_its_maker_is_no_admin_any_more(
    api: Api, change: dict[str, object]
) -> None:
    ada, root, boss = api.person(), api.person("root", admin=True), api.person("boss", admin=True)
    project = ada.post("/projects", json={"name": "Ship"}).json()["id"]
    own = root.post("/projects", json={"name": "Root's"}).json()["id"]
    ada.put(f"/projects/{project}/members/{root.id}", json={"role": "viewer"})
    here = root.post("/webhooks", json={**HOOK, "project_id": project}).json()["id"]
    kept = {root.post("/webhooks", json=hook).json()["id"] for hook in (HOOK, {**HOOK, "project_id": own})}
    tag = ada.get(f"/webhooks/{here}").headers["etag"]
    assert boss.patch(f"/users/{root.id}", json=change).is_success
    owners = dict(database.read(lambda db: list(db.execute(select(webhooks.c.id, webhooks.c.user_id)))))
    assert owners == {here: ada.id} | dict.fromkeys(kept, root.id)
    assert ada.get(f"/webhooks/{here}").headers["etag"] != tag


def test_the_database_does_not_show_the_secret(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = api.person()
    made = ada.post("/webhooks", json=HOOK, headers={"Idempotency-Key": "once"}).json()
    again = ada.post("/webhooks", json=HOOK, headers={"Idempotency-Key": "once"})
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json() == {**made, "secret": None}
    stored = database.read(lambda db: db.execute(select(webhooks.c.secret)).scalar_one())
    assert made["secret"] not in stored
    assert secrets.decrypt(stored) == made["secret"]
    assert secrets.is_of_current_key(stored)
    # The versions before have stored secrets too.
    assert secrets.decrypt(STORED_BEFORE) == "whsec_kept"
    # After a change of the key, the program needs the former key to decrypt the secret.
    before = settings.secret_key
    assert before is not None
    monkeypatch.setattr(settings, "secret_key", SecretStr("another-key-that-is-long-enough"))
    with pytest.raises(secrets.SecretUnreadableError):
        secrets.decrypt(stored)
    monkeypatch.setattr(settings, "secret_key_previous", before)
    assert secrets.decrypt(stored) == made["secret"]
    assert not secrets.is_of_current_key(stored)


def test_secrets_that_need_the_former_key_are_encrypted_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    made = [ada.post("/webhooks", json=HOOK).json() for _ in range(2)]
    rotated = ada.post(f"/webhooks/{made[0]['id']}/rotate").json()
    monkeypatch.setattr(settings, "secret_key_previous", settings.secret_key)
    monkeypatch.setattr(settings, "secret_key", SecretStr("another-key-that-is-long-enough"))
    hourly_round()
    monkeypatch.setattr(settings, "secret_key_previous", None)
    columns = select(webhooks.c.secret, webhooks.c.previous_secret).order_by(webhooks.c.id)
    stored = database.read(lambda db: db.execute(columns).all())
    assert [[each and secrets.decrypt(each) for each in row] for row in stored] == [
        [rotated["secret"], made[0]["secret"]],
        [made[1]["secret"], None],
    ]


def of_a_lost_key(monkeypatch: pytest.MonkeyPatch) -> str:
    """A stored secret whose key is not set any more."""
    with monkeypatch.context() as patched:
        patched.setattr(settings, "secret_key", SecretStr("a-key-that-nobody-knows-any-more"))
        return secrets.encrypt(secrets.make())


@pytest.mark.one_database
def test_a_secret_that_replaces_a_lost_one_signs_alone_and_is_encrypted_again(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    made = ada.post("/webhooks", json={**HOOK, "enabled": False}).json()
    lost = of_a_lost_key(monkeypatch)
    database.write(lambda db: db.execute(update(webhooks).values(secret=lost)))
    rotated = ada.post(f"/webhooks/{made['id']}/rotate").json()
    now = datetime.now(UTC)
    waiting = {"webhook_id": made["id"], "type": "webhook.ping", "state": "waiting", "attempts": 0}
    waiting |= {"next_attempt_at": now, "created_at": now}
    database.write(lambda db: db.execute(insert(webhook_deliveries), waiting))

    def signing() -> list[str]:
        webhook = database.read(lambda db: db.execute(select(webhooks)).one())
        [letter] = database.read(lambda db: claims.take(db, webhook))
        return list(letter.secrets)

    assert signing() == [rotated["secret"]]
    monkeypatch.setattr(settings, "secret_key_previous", settings.secret_key)
    monkeypatch.setattr(settings, "secret_key", SecretStr("another-key-that-is-long-enough"))
    hourly_round()
    monkeypatch.setattr(settings, "secret_key_previous", None)
    assert signing() == [rotated["secret"]]


def test_the_webhooks_of_a_deleted_project_go_when_nothing_is_left_to_deliver(api: Api) -> None:
    ada = api.person()
    projects = [ada.post("/projects", json={"name": name}).json()["id"] for name in ("Ship", "Dock")]
    gone, late, other, own = (
        ada.post("/webhooks", json={**HOOK, "enabled": False, "project_id": project}).json()["id"]
        for project in (projects[0], *projects, None)
    )
    now = datetime.now(UTC)
    waiting = {"webhook_id": late, "type": "task.created", "state": "waiting", "attempts": 1}
    waiting |= {"next_attempt_at": now + timedelta(hours=1), "created_at": now}
    database.write(lambda db: db.execute(insert(webhook_deliveries), waiting))
    ada.delete(f"/projects/{projects[0]}?tasks=delete")

    def left_after(minutes: int) -> set[int]:
        at = datetime.now(UTC) - timedelta(minutes=minutes)
        database.write(lambda db: db.execute(update(task_history).values(created_at=at)))
        hourly_round()
        return set(database.read(lambda db: db.execute(select(webhooks.c.id)).scalars()))

    assert left_after(55) == {gone, late, other, own}
    assert left_after(65) == {late, other, own}
    database.write(lambda db: db.execute(update(webhook_deliveries).values(next_attempt_at=None)))
    assert left_after(65) == {other, own}


@pytest.mark.one_database
def test_the_end_of_a_project_is_told_though_nothing_was_delivered_for_long(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "webhook_delivery", False)
    ada = api.person()
    project = ada.post("/projects", json={"name": "Ship"}).json()["id"]
    ada.post("/webhooks", json={**HOOK, "types": ["project.deleted"], "project_id": project})
    ada.delete(f"/projects/{project}?tasks=delete")
    at = datetime.now(UTC) - timedelta(hours=3)
    database.write(lambda db: db.execute(update(task_history).values(created_at=at)))
    hourly_round()
    dispatch.dispatch()
    told = database.read(lambda db: list(db.execute(select(webhook_deliveries.c.type)).scalars()))
    assert told == ["project.deleted"]
    database.write(lambda db: db.execute(update(webhook_deliveries).values(next_attempt_at=None)))
    hourly_round()
    assert database.read(lambda db: db.execute(select(webhooks.c.id)).first()) is None


@pytest.mark.one_database
def test_a_second_replay_leaves_out_nothing_of_the_first(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "webhook_delivery", False)
    ada = api.person()
    for title in ("first", "second", "third", "fourth"):
        ada.task(title)
    ids = [each["id"] for each in ada.get("/events").json()]
    path = f"/webhooks/{ada.post('/webhooks', json={**HOOK, 'enabled': False}).json()['id']}"
    # The later ones are asked for while the first is not done, and another begins earlier still.
    for after in (ids[1], ids[2], ids[0]):
        assert ada.post(f"{path}/replay", json={"after": after}).status_code == 202
    assert ada.post(f"{path}/replay", json={"after": ids[3]}).status_code == 202
    dispatch.dispatch()
    assert [each["event_id"] for each in ada.get(f"{path}/deliveries").json()] == ids[:0:-1]


# An event of a task, as a transaction writes it that another program, or another process, holds open.
TELL = (
    "INSERT INTO task_history (task_id, actor_id, kind, created_at, changes, owner_id, status)"
    " SELECT id, user_id, 'updated', now(), '{}', user_id, status FROM tasks"
)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("patience", [0.0, SECONDS])
@pytest.mark.parametrize("is_there", [True, False])
def test_a_webhook_misses_nothing_of_a_transaction_that_is_open_when_it_is_switched_on(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch, patience: float, *, is_there: bool
) -> None:
    monkeypatch.setattr(settings, "webhook_delivery", False)
    monkeypatch.setattr(beginning, "PATIENCE_SECONDS", patience)
    ada = api.person()
    ada.task("Before")
    database.read(watermark.look)
    hook = {**HOOK, "types": ["*"]}
    path = ada.post("/webhooks", json={**hook, "enabled": False}).headers["location"] if is_there else ""
    with psycopg.connect(database_url) as connection:
        connection.execute(TELL)
        ada.task("Meanwhile")
        ending = threading.Timer(0.1, connection.commit)
        if patience:
            ending.start()
        if path:
            assert ada.patch(path, json={"enabled": True}).status_code == 200
        else:
            path = ada.post("/webhooks", json=hook).headers["location"]
        if patience:
            ending.join()
        connection.commit()
    ada.task("After")
    dispatch.dispatch()
    told = [each["type"] for each in ada.get(f"{path}/deliveries").json()]
    # It waits for the end of the transaction, so that hardly anything is told that happened before. If that takes too
    # long, it begins further back.
    assert told == ["task.created", *([] if patience else ["task.created", "task.updated"])]


@pytest.mark.one_database
def test_a_url_that_stays_is_not_checked_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada, bob = api.person(), api.person("bob")
    path = ada.post("/webhooks", json=HOOK).headers["location"]
    before = ada.get(path).json()
    monkeypatch.setattr(fence, "is_allowed", lambda _: False)
    answer = ada.patch(path, json={**before, "description": "Tells the chat"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["description"] == "Tells the chat"
    assert_problem(ada.patch(path, json={"url": f"{HOOK['url']}2"}), 422, pointer="#/url")
    # Nobody learns the URL of others by trying.
    assert_problem(bob.patch(path, json={"url": HOOK["url"]}), 422, pointer="#/url")
