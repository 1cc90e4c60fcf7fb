"""Accounts, as admins see and change them."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete, insert, select, update
from sqlalchemy.exc import DBAPIError

from account_models import audit_events
from database import database
from models import users
from tables.history import task_history
from tests.support.api import Api, Person, assert_problem


def names(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [user["username"] for user in answer.json()]


def test_accounts_are_listed_searched_and_filtered(api: Api) -> None:
    boss = api.person("boss", admin=True)
    bob = api.person("Bob_1")
    for name in ("bobby", "eve"):
        api.person(name)
    boss.patch(f"/users/{bob.id}", json={"is_active": False})
    assert names(boss.get("/users")) == ["eve", "bobby", "Bob_1", "boss"]
    assert names(boss.get("/users?search=BOB")) == ["bobby", "Bob_1"]
    assert names(boss.get("/users", params={"search": "b_1"})) == ["Bob_1"]
    assert names(boss.get("/users", params={"search": "eve@EXAMPLE"})) == ["eve"]
    assert names(boss.get("/users", params={"search": "%"})) == []
    assert names(boss.get("/users?role=admin")) == ["boss"]
    assert names(boss.get("/users?is_active=false")) == ["Bob_1"]
    assert boss.get(f"/users/{bob.id}").json()["is_active"] is False
    assert boss.get("/users/999").status_code == 404
    assert boss.get("/users?role=owner").status_code == 422


def test_an_account_is_found_by_its_whole_name_in_any_letter_case(api: Api) -> None:
    ada, bob = api.person(), api.person("Bob_1")
    api.person("bobby")
    for name in ("Bob_1", "bob_1", "BOB_1"):
        assert ada.get(f"/users/lookup?username={name}").json() == {"id": bob.id, "username": "Bob_1"}
    for name in ("bob", "Bob%1", "bob_12"):
        assert_problem(ada.get("/users/lookup", params={"username": name}), 404, "user_not_found")


def test_the_list_of_accounts_comes_in_pages(api: Api) -> None:
    boss = api.person("boss", admin=True)
    for number in range(4):
        api.person(f"user{number}")
    first = boss.get("/users?limit=3")
    assert names(first) == ["user3", "user2", "user1"]
    following = boss.get(first.links["next"]["url"])
    assert names(following) == ["user0", "boss"]
    assert "next" not in following.links
    assert names(boss.get("/users?limit=2&skip=3")) == ["user0", "boss"]
    # A page that holds the last account does not send anybody to an empty one.
    assert "next" not in boss.get("/users?limit=5").links


@pytest.mark.one_database
def test_an_account_is_changed_by_the_fields_that_are_sent(api: Api) -> None:
    boss, bob = api.person("boss", admin=True), api.person("bob")
    account = boss.get(f"/users/{bob.id}").json()
    assert boss.patch(f"/users/{bob.id}", json=account).json() == account
    assert boss.patch(f"/users/{bob.id}", json={"role": "admin"}).json() == account | {"role": "admin"}
    assert bob.get("/users").status_code == 200
    answer = boss.patch(f"/users/{bob.id}", json={"username": "robert"})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/username")
    assert boss.patch("/users/999", json={"role": "admin"}).status_code == 404


def test_switching_an_account_off_ends_its_sessions_for_good(api: Api) -> None:
    boss, bob = api.person("boss", admin=True), api.person("bob")
    boss.patch(f"/users/{bob.id}", json={"is_active": False})
    boss.patch(f"/users/{bob.id}", json={"is_active": True})
    assert bob.get("/auth/me").status_code == 401
    assert api.log_in("bob")


@pytest.mark.one_database
def test_an_admin_ends_somebodys_sessions(api: Api) -> None:
    boss, bob = api.person("boss", admin=True), api.person("bob")
    assert boss.delete(f"/users/{bob.id}/sessions").json() == {"message": "Ended 1 sessions"}
    assert bob.get("/auth/me").status_code == 401
    assert boss.delete("/users/999/sessions").status_code == 404


def test_a_deleted_accounts_tasks_go_to_somebody_else(api: Api) -> None:
    boss, ada, bob = api.person("boss", admin=True), api.person(), api.person("bob")
    ada.task("Write the report", status="completed", tags=["writing"])
    task = boss.patch("/tasks/1", json={"description": "Put by the boss"}).json()
    assert boss.delete(f"/users/{ada.id}").status_code == 422
    assert boss.delete(f"/users/{ada.id}?transfer_to={bob.id}&delete_tasks=true").status_code == 422
    assert boss.patch(f"/users/{api.person('gone').id}", json={"is_active": False}).status_code == 200
    gone = boss.get("/users?search=gone").json()[0]["id"]
    for wrong in (ada.id, gone):
        assert boss.delete(f"/users/{ada.id}?transfer_to={wrong}").status_code == 404
    assert boss.delete(f"/users/{ada.id}?transfer_to=999").status_code == 404
    assert boss.delete(f"/users/{ada.id}?transfer_to={bob.id}").status_code == 200
    assert ada.get("/auth/me").json()["detail"] == "User not found"
    (moved,) = bob.get("/tasks").json()
    changed = ("user_id", "updated_at")
    assert {**moved, **dict.fromkeys(changed)} == {**task, **dict.fromkeys(changed)}
    assert moved["user_id"] == bob.id
    (notified,) = bob.get("/notifications").json()
    assert (notified["kind"], notified["task_id"], notified["actor_id"]) == ("assigned", moved["id"], boss.id)
    assert bob.get("/analytics/user-completion-stats").json()["completed_tasks"] == 1
    created, updated, assigned = bob.get(f"/tasks/{task['id']}/history").json()
    assert (created["actor_id"], created["changes"]["title"]) == (ada.id, {"from": None, "to": None})
    assert created["changes"]["status"] == {"from": None, "to": "completed"}
    # The task is there still, and this text is another person's.
    assert updated["changes"] == {"description": {"from": None, "to": "Put by the boss"}}
    assert (assigned["kind"], assigned["actor_id"]) == ("assigned", boss.id)
    assert assigned["changes"] == {"user_id": {"from": ada.id, "to": bob.id}}
    told = boss.get("/audit?kind=user_deleted").json()[0]
    assert (told["user_id"], told["details"]) == (ada.id, {"tasks": 1, "transfer_to": bob.id})


def test_a_deleted_account_leaves_ids_in_history_and_no_words(api: Api) -> None:
    boss, ada = api.person("boss", admin=True), api.person()
    ada.task("My secret plan", description="Of mine", project="Personal", tags=["private"])
    gone = ada.task("Deleted by the admin")
    boss.delete(f"/tasks/{gone['id']}")
    boss.patch("/tasks/1", json={"title": "Put better by the admin"})
    alone = ada.post("/projects", json={"name": "Hidden", "description": "On my own"}).json()["id"]
    assert ada.patch(f"/projects/{alone}", json={"name": "Hidden well"}).status_code == 200
    assert boss.delete(f"/users/{ada.id}?delete_tasks=true").status_code == 200
    rows = database.read(lambda db: db.execute(select(task_history).order_by(task_history.c.id)).all())
    assert [(row.task_id, row.kind) for row in rows] == [
        (1, "created"),
        (2, "created"),
        (2, "deleted"),
        (1, "updated"),
        *((None, f"project_{kind}") for kind in ("created", "updated", "deleted")),
        (1, "deleted"),
    ]
    nothing = {"from": None, "to": None}
    assert list(rows[0].changes.items()) == [
        ("title", nothing),
        ("description", nothing),
        ("status", {"from": None, "to": "pending"}),
        ("priority", {"from": None, "to": 0}),
        ("project", nothing),
        ("tags", nothing),
        ("user_id", {"from": None, "to": ada.id}),
    ]
    last = rows[-1]
    assert last.changes == {"user_id": {"from": ada.id, "to": None}}
    assert (last.previous_owner_id, last.previous_status, last.snapshot) == (ada.id, "pending", None)
    for word in (
        "secret",
        "Of mine",
        "Personal",
        "private",
        "Deleted by",
        "Put better",
        "Hidden",
        "On my own",
    ):
        assert word not in str(rows)
    assert boss.get("/tasks/all").json() == []
    assert boss.get("/analytics/system-summary").json()["total_tasks"] == 0


def test_a_deleted_account_leaves_neither_its_name_nor_its_comments_in_the_events(api: Api) -> None:
    boss, ada, bob = api.person("boss", admin=True), api.person("ada-maria"), api.person("bob")
    path = f"/projects/{bob.post('/projects', json={'name': 'Research'}).json()['id']}"
    for role in ("viewer", "member"):
        assert bob.put(f"{path}/members/{ada.id}", json={"role": role}).status_code == 200
    comments = f"/tasks/{bob.task(project_id=1)['id']}/comments"
    for text in ("I kept this", "I deleted this", "Bob deleted this"):
        ada.post(comments, json={"text": text})
    ada.patch(f"{comments}/1", json={"text": "I still say this"})
    bobs = bob.post(comments, json={"text": "Bob said so"}).json()
    assert ada.delete(f"{comments}/2").status_code == bob.delete(f"{comments}/3").status_code == 204
    assert bob.delete(f"{comments}/{bobs['id']}").status_code == 204
    assert boss.delete(f"/users/{ada.id}?delete_tasks=true").status_code == 200
    # A comment that is there stays.
    assert [(each["author"], each["text"]) for each in bob.get(comments).json()] == [
        (None, "I still say this")
    ]
    events = [each["data"] | {"type": each["type"]} for each in bob.get("/events").json()]
    for word in ("ada-maria", "I kept", "I deleted", "Bob deleted"):
        assert word not in str(events)
    members = [each["member"] for each in events if each["type"].startswith("member.")]
    assert [(each["user_id"], each["role"]) for each in members] == [
        (ada.id, role) for role in ("viewer", "member", "member")
    ]
    made = [each["comment"]["text"] for each in events if each["type"] == "comment.created"]
    assert made == ["I still say this", None, None, "Bob said so"]
    deleted = [each["comment"]["text"] for each in events if each["type"] == "comment.deleted"]
    assert deleted == [None, None, "Bob said so"]


def refused_as_last(answer: Any) -> bool:
    return (answer.status_code, answer.json().get("code")) == (409, "last_admin")


def test_the_last_active_admin_stays_one(api: Api) -> None:
    boss, retired = api.person("boss", admin=True), api.person("retired", admin=True)
    boss.patch(f"/users/{retired.id}", json={"is_active": False})
    here = f"/users/{boss.id}"
    assert refused_as_last(boss.patch(here, json={"role": "member"}))
    assert refused_as_last(boss.patch(here, json={"is_active": False}))
    assert refused_as_last(boss.delete(f"{here}?delete_tasks=true"))
    assert refused_as_last(boss.delete("/auth/me", json={"password": "correct horse battery"}))
    assert boss.patch(here, json={"role": "admin", "is_active": True}).status_code == 200


@pytest.mark.parametrize("blow", ["demote", "disable", "delete"])
def test_of_admins_who_strike_one_another_at_once_one_is_left(api: Api, blow: str) -> None:
    admins = [api.person(f"admin{number}", admin=True) for number in range(3)]

    def strike(pair: tuple[Person, Person]) -> int:
        one, other = pair
        here = f"/users/{other.id}"
        if blow == "delete":
            return int(one.delete(f"{here}?delete_tasks=true").status_code)
        change = {"role": "member"} if blow == "demote" else {"is_active": False}
        return int(one.patch(here, json=change).status_code)

    pairs = [(one, other) for one in admins for other in admins if one is not other]
    with ThreadPoolExecutor(len(pairs)) as pool:
        statuses = list(pool.map(strike, pairs))
    assert set(statuses) <= {200, 401, 403, 404, 409}
    left = select(users.c.id).where(users.c.role == "admin", users.c.is_active)
    assert len(database.read(lambda db: db.execute(left).all())) >= 1


# -- the audit trail ---------------------------------------------------------------------------------


@pytest.mark.one_database
def test_the_trail_says_who_did_what_to_whom_when_and_from_where(client: TestClient, api: Api) -> None:
    boss, bob = api.person("boss", admin=True), api.person("bob")
    client.post("/auth/login", data={"username": "bob", "password": "wrong"}, headers={"X-Request-ID": "r-1"})
    client.post("/auth/login", data={"username": "not-there", "password": "wrong"})
    client.post("/auth/password/forgot", json={"email": "bob@example.com"})
    made = bob.post("/auth/tokens", json={"name": "x", "scopes": ["tasks:read"]}).json()
    bob.delete(f"/auth/tokens/{made['id']}")
    boss.patch(f"/users/{bob.id}", json={"role": "admin"})
    boss.patch(f"/users/{bob.id}", json={"is_active": False})
    boss.delete(f"/users/{bob.id}?delete_tasks=true")
    events = boss.get("/audit").json()
    assert [(event["kind"], event["actor_id"], event["user_id"]) for event in events] == [
        ("user_deleted", boss.id, bob.id),
        ("user_disabled", boss.id, bob.id),
        ("role_changed", boss.id, bob.id),
        ("token_revoked", bob.id, bob.id),
        ("token_created", bob.id, bob.id),
        ("password_reset_requested", None, bob.id),
        ("login_failed", None, None),
        ("login_failed", None, bob.id),
        ("login", bob.id, bob.id),
        ("user_created", None, bob.id),
        ("login", boss.id, boss.id),
        ("user_created", None, boss.id),
    ]
    failed = events[7]
    assert (failed["address"], failed["request_id"]) == ("testclient", "r-1")
    assert events[2]["details"] == {"before": "member", "after": "admin"}
    assert "not-there" not in str(events)


def test_the_trail_is_filtered_and_comes_in_pages(client: TestClient, api: Api) -> None:
    boss, bob = api.person("boss", admin=True), api.person("bob")
    for _ in range(3):
        client.post("/auth/login", data={"username": "bob", "password": "wrong"})
    assert len(boss.get(f"/audit?kind=login_failed&user_id={bob.id}").json()) == 3
    assert [event["kind"] for event in boss.get(f"/audit?actor_id={bob.id}").json()] == ["login"]
    assert boss.get("/audit?created_before=2020-01-01T00:00:00Z").json() == []
    first = boss.get("/audit?limit=5")
    rest = boss.get(first.links["next"]["url"]).json()
    ids = [event["id"] for event in first.json() + rest]
    assert ids == sorted(ids, reverse=True) == list(range(len(ids), 0, -1))


def test_nothing_is_changed_in_the_trail_or_taken_out_of_its_last_month(api: Api) -> None:
    api.person()
    for statement in (update(audit_events).values(kind="nothing"), delete(audit_events)):
        with pytest.raises(DBAPIError, match="the audit trail is only added to"):
            execute(statement)
    old = {
        "created_at": datetime.now(UTC) - timedelta(days=31),
        "kind": "login",
        "address": "-",
        "request_id": "-",
        "details": {},
    }
    execute(insert(audit_events).values(old))
    removed = delete(audit_events).where(audit_events.c.created_at < datetime.now(UTC) - timedelta(days=30))
    assert execute(removed) == 1


def execute(statement: Any) -> int:
    """Write past the API, and return the number of rows."""
    count: int = database.write(lambda db: db.execute(statement).rowcount)  # type: ignore[attr-defined]
    return count


@pytest.mark.parametrize("query", ["delete_tasks=true", "transfer_to={heir}"])
def test_a_manager_who_is_switched_off_keeps_the_project_when_the_other_members_are_deleted(
    api: Api, query: str
) -> None:
    ada, bob, heir = api.person(), api.person("bob"), api.person("heir")
    boss = api.person("boss", admin=True)
    made = ada.post("/projects", json={"name": "Research"}).json()
    here = f"/projects/{made['id']}"
    ada.put(f"{here}/members/{bob.id}", json={"role": "manager"})
    hers, his = (person.task(project_id=made["id"]) for person in (ada, bob))
    boss.patch(f"/users/{ada.id}", json={"is_active": False})
    assert boss.delete(f"/users/{bob.id}?{query.format(heir=heir.id)}").status_code == 200
    boss.patch(f"/users/{ada.id}", json={"is_active": True})
    ada.token = api.log_in("ada")
    assert ada.get(here).json()["role"] == "manager"
    found = ada.get(f"/tasks?project_id={made['id']}").json()
    assert {(task["id"], task["user_id"]) for task in found} == {(hers["id"], ada.id), (his["id"], ada.id)}
    assert [each["username"] for each in boss.get(f"{here}/members").json()] == ["ada"]
    assert_problem(heir.get(here), 404, "project_not_found")
