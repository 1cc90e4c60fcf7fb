"""Retries: a write that is sent again with its `Idempotency-Key` changes nothing and is answered as the first time."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI, Response
from fastapi.testclient import TestClient
from sqlalchemy import text, update

from account_models import idempotency_keys
from auth import CurrentUser
from config import settings
from database import database
from main import app
from schemas.common import Message
from services.background_tasks.retention_tasks import hourly_round
from tables.projects import PROJECT_ROLES
from tests.routers.test_projects import add, project
from tests.security.test_permissions import HOOK
from tests.support.api import Api, Person, assert_problem
from tests.support.openapi_check import resolved
from tests.support.waiting import SECONDS, wait_until
from web.idempotency import _Turns, _turns
from web.problems import install_error_handlers
from web.routing import Router
from web.transaction import WriteSession

WRITES = [
    (method.upper(), path, operation)
    for path, operations in app.openapi()["paths"].items()
    for method, operation in operations.items()
    if method != "get" and operation["security"] and not path.startswith("/auth")
]


def keyed(key: str = "5f0c6a0d") -> dict[str, str]:
    return {"Idempotency-Key": key}


def count(table: str) -> int:
    found: int = database.read(lambda db: db.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())
    return found


def assert_replay(first: Any, second: Any) -> None:
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    assert (first.status_code, first.content) == (second.status_code, second.content)
    for name in ("location", "etag", "content-type", "content-length"):
        assert first.headers.get(name) == second.headers.get(name), name
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_a_create_that_is_sent_again_makes_no_second_task(api: Api) -> None:
    ada = api.person()
    body = {"title": "Écrire le rapport", "status": "completed", "tags": ["a"]}
    first, *others = [ada.post("/tasks", json=body, headers=keyed()) for _ in range(3)]
    assert first.status_code == 201
    for other in others:
        assert_replay(first, other)
    # A path with a slash at its end is the same path.
    assert_replay(first, ada.post("/tasks/", json=body, headers=keyed()))
    assert [count(name) for name in ("tasks", "task_history", "notifications")] == [1, 1, 2]


@pytest.mark.one_database
def test_every_kind_of_write_is_replayed(api: Api) -> None:
    ada, bob, admin = api.person(), api.person("bob"), api.person("root", admin=True)
    task = ada.task()
    calls: list[tuple[Person, str, str, dict[str, Any]]] = [
        (ada, "PUT", "/tasks/1", {"json": {"status": "completed"}, "headers": {"If-Match": '"1-1"'}}),
        (ada, "PATCH", "/tasks/1", {"json": {"title": "Write it well"}}),
        # A call that has taken the task out of the caller's sight is replayed all the same.
        (ada, "PUT", f"/tasks/1/assign?assigned_user_id={bob.id}", {}),
        (bob, "DELETE", "/tasks/1", {}),
        (ada, "POST", "/tasks/import", {"json": [{"title": "a"}, {"title": "b"}]}),
        (ada, "POST", "/notifications/read-all", {}),
        (ada, "PUT", "/notifications/preferences", {"json": {"completed": "daily"}}),
        (ada, "POST", "/analytics/pictures", {"json": {"chart": "throughput"}}),
        (admin, "PATCH", f"/users/{bob.id}", {"json": {"is_active": False}}),
        (admin, "DELETE", f"/users/{bob.id}?delete_tasks=true", {}),
    ]
    for person, method, path, options in calls:
        options["headers"] = {**options.get("headers", {}), **keyed()}
        first = person.call(method, path, **options)
        assert first.status_code < 300, (path, first.text)
        before = {table: count(table) for table in ("tasks", "task_history", "notifications", "audit_events")}
        assert_replay(first, person.call(method, path, **options))
        assert before == {table: count(table) for table in before}, path
    assert task["id"] == 1
    assert [each["title"] for each in ada.get("/tasks").json()] == ["b", "a"]


@pytest.mark.one_database
def test_a_replay_needs_the_rights_that_its_write_used(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    members = f"/projects/{made}/members"
    add(ada, made, bob, "manager")
    task = bob.task("Secret", project_id=made)["id"]
    spare = bob.task("Spare", project_id=made)["id"]
    adas = [ada.task(project_id=made)["id"] for _ in range(2)]
    said = ada.post(f"/tasks/{task}/comments", json={"text": "x"}).json()["id"]
    view = bob.post("/views", json={"name": "v", "filter": "state = pending", "project_id": made}).json()[
        "id"
    ]
    hook = bob.post("/webhooks", json={**HOOK, "project_id": made}).json()["id"]
    batch = {"operations": [{"op": "update", "id": task, "task": {"title": "Still secret"}}]}
    # Each call with the role that it requires, and the error that a stranger gets.
    calls: list[tuple[str, str, dict[str, Any], str, str]] = [
        ("POST", "/tasks", {"json": {"title": "x", "project_id": made}}, "member", "project"),
        ("POST", f"/tasks/import?project_id={made}", {"json": [{"title": "y"}]}, "member", "project"),
        ("POST", "/tasks/batch", {"json": batch}, "member", "task"),
        ("PATCH", f"/tasks/{task}", {"json": {"priority": 1}}, "member", "task"),
        ("PUT", f"/tasks/{task}/blocked", {"json": {"reason": "secret"}}, "member", "task"),
        ("POST", f"/tasks/{task}/comments", {"json": {"text": "secret"}}, "member", "task"),
        ("DELETE", f"/tasks/{task}/comments/{said}", {}, "manager", "task"),
        ("DELETE", f"/tasks/{spare}", {}, "member", "task"),
        ("DELETE", f"/tasks/{adas[0]}", {}, "manager", "task"),
        ("PATCH", f"/tasks/{adas[1]}", {"json": {"project_id": None}}, "manager", "task"),
        ("PUT", f"/tasks/{task}/assign?assigned_user_id={ada.id}", {}, "member", "task"),
        ("PATCH", f"/projects/{made}", {"json": {"description": "secret"}}, "manager", "project"),
        ("PUT", f"{members}/{api.person('eve').id}", {"json": {"role": "viewer"}}, "manager", "project"),
        ("PATCH", f"/views/{view}", {"json": {"name": "w"}}, "member", "view"),
        (
            "POST",
            "/views",
            {"json": {"name": "n", "filter": "id = 1", "project_id": made}},
            "member",
            "project",
        ),
        ("POST", "/calendars", {"json": {"view_id": view}}, "viewer", "view"),
        (
            "POST",
            "/analytics/pictures",
            {"json": {"chart": "aging", "query": {"project_id": made}}},
            "viewer",
            "project",
        ),
        ("PATCH", f"/webhooks/{hook}", {"json": {"description": "d"}}, "manager", "webhook"),
        ("POST", f"/webhooks/{hook}/ping", {}, "manager", "webhook"),
    ]

    def send() -> list[Any]:
        return [bob.call(method, path, headers=keyed(), **options) for method, path, options, _, _ in calls]

    assert [answer.status_code for answer in send() if answer.status_code > 299] == []
    tasks = [each["id"] for each in bob.get(f"/tasks?project_id={made}").json() if each["user_id"] == bob.id]
    for each in tasks:
        ada.put(f"/tasks/{each}/assign?assigned_user_id={ada.id}")
    for role in ("manager", "member", "viewer"):
        ada.put(f"{members}/{bob.id}", json={"role": role})
        for answer, (_, path, _, least, _) in zip(send(), calls, strict=True):
            if PROJECT_ROLES.index(role) >= PROJECT_ROLES.index(least):
                assert answer.headers["idempotency-replayed"] == "true", (path, answer.text)
            else:
                assert_problem(answer, 403, "project_role")
    ada.delete(f"{members}/{bob.id}")
    for answer, (_, _, _, _, thing) in zip(send(), calls, strict=True):
        assert "secret" not in assert_problem(answer, 404, f"{thing}_not_found")["detail"].lower()
    ada.delete(f"/projects/{made}?tasks=delete")
    assert {answer.status_code for answer in send()} == {404}


def test_a_write_that_takes_its_own_rights_away_is_replayed(api: Api) -> None:
    ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
    made = project(ada)["id"]
    add(ada, made, bob, "manager")
    private = api.person("eve").task()["id"]
    batch = {"operations": [{"op": "update", "id": private, "task": {"priority": 4}}]}
    everybodys = {"chart": "aging", "query": {"scope": "all"}}
    for person, method, path, options in (
        (bob, "PUT", f"/projects/{made}/members/{bob.id}", {"json": {"role": "viewer"}}),
        (bob, "DELETE", f"/projects/{made}/members/{bob.id}", {}),
        (ada, "DELETE", f"/projects/{made}?tasks=release", {}),
        (root, "PATCH", f"/tasks/{private}", {"json": {"title": "Mended"}}),
        (root, "POST", "/tasks/batch", {"json": batch}),
        (root, "POST", "/analytics/pictures", {"json": everybodys}),
    ):
        first = person.call(method, path, headers=keyed(), **options)
        assert first.status_code < 300
        assert_replay(first, person.call(method, path, headers=keyed(), **options))
    database.write(lambda db: db.execute(text("UPDATE users SET role = 'member'")))
    answer = root.patch(f"/tasks/{private}", json={"title": "Mended"}, headers=keyed())
    assert_problem(answer, 404, "task_not_found")
    answer = root.post("/tasks/batch", json=batch, headers=keyed())
    assert_problem(answer, 404, "task_not_found")
    answer = root.post("/analytics/pictures", json=everybodys, headers=keyed())
    assert_problem(answer, 403, "admin_required")


@pytest.mark.parametrize("fate", ["release", "delete"])
def test_what_was_done_in_a_project_is_replayed_when_the_project_is_gone(api: Api, fate: str) -> None:
    ada, bob, eve, root = api.person(), api.person("bob"), api.person("eve"), api.person("root", admin=True)
    created = {"json": {"name": "Gone"}, "headers": keyed()}
    made = ada.post("/projects", **created)
    for person in (bob, eve):
        add(ada, made.json()["id"], person, "member")
    body = {"json": {"title": "Mine", "project_id": made.json()["id"]}, "headers": keyed()}
    task = bob.post("/tasks", **body)
    path = f"/tasks/{task.json()['id']}"
    change = {"json": {"priority": 1}, "headers": keyed()}
    bobs, _, roots = [person.patch(path, **change) for person in (bob, eve, root)]
    ada.delete(f"/projects/{made.json()['id']}/members/{eve.id}")
    ada.delete(f"/projects/{made.json()['id']}?tasks={fate}")
    assert_replay(made, ada.post("/projects", **created))
    assert_replay(task, bob.post("/tasks", **body))
    assert_replay(bobs, bob.patch(path, **change))
    assert_replay(roots, root.patch(path, **change))
    # Eve left before the project was deleted, so she gets no replay.
    assert_problem(eve.patch(path, **change), 404, "task_not_found")


def test_a_key_belongs_to_its_account_method_and_path(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    for person in (ada, bob):
        made = person.post("/tasks", json={"title": "x"}, headers=keyed())
        assert made.status_code == 201
        for method in ("PUT", "PATCH"):
            changed = person.call(
                method, f"/tasks/{made.json()['id']}", json={"title": method}, headers=keyed()
            )
            assert changed.json()["title"] == method
            assert "idempotency-replayed" not in changed.headers
    # A program's token acts for its account.
    made = ada.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:write"]}).json()
    answer = api.client.post(
        "/tasks", json={"title": "x"}, headers={**keyed(), "Authorization": f"Bearer {made['token']}"}
    )
    assert answer.headers["idempotency-replayed"] == "true"


@pytest.mark.one_database
def test_another_body_or_query_under_a_used_key_is_refused(api: Api) -> None:
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    ada.post("/tasks", json={"title": "x"}, headers=keyed())
    answer = ada.post("/tasks", json={"title": "y"}, headers=keyed())
    assert_problem(answer, 422, "idempotency_key_reused")
    ada.put(f"/tasks/1/assign?assigned_user_id={bob.id}", headers=keyed())
    answer = ada.put(f"/tasks/1/assign?assigned_user_id={eve.id}", headers=keyed())
    assert_problem(answer, 422, "idempotency_key_reused")
    # The body belongs to the request, even if the endpoint reads no body.
    bob.delete("/tasks/1", headers=keyed())
    answer = bob.call("DELETE", "/tasks/1", headers=keyed(), content=b"{}")
    assert_problem(answer, 422, "idempotency_key_reused")
    assert count("tasks") == 0


@pytest.mark.one_database
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_used_key_is_refused_whatever_is_wrong_with_the_new_request(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    first = ada.post("/tasks", json={"title": "x"}, headers=keyed())

    def again(person: Person, content: bytes, query: str = "", **headers: str) -> Any:
        headers = {**keyed(), "Content-Type": "application/json", **headers}
        return person.call("POST", f"/tasks{query}", content=content, headers=headers)

    large = b'{"title": "' + b"x" * 2**20 + b'"}'
    for content in (b"", b"{", b"\xff", b'{"title": ""}', b'{"title": "x", "x": 1}', b"[]" * 100_000, large):
        assert_problem(again(ada, content), 422, "idempotency_key_reused")
    assert_problem(again(ada, b'{"title": "x"}', "?limit=1"), 422, "idempotency_key_reused")
    assert_problem(again(ada, b"title=x", **{"Content-Type": "text/plain"}), 422, "idempotency_key_reused")
    pieces = ada.call(
        "POST", "/tasks", content=iter([large]), headers={**keyed(), "Content-Type": "application/json"}
    )
    assert_problem(pieces, 422, "idempotency_key_reused")
    assert_replay(first, ada.post("/tasks", json={"title": "x"}, headers=keyed()))
    # An unused key changes nothing about an error, and neither does the key of somebody else.
    assert_problem(again(bob, b"{"), 422, "invalid_input")
    assert_problem(again(bob, large), 413)
    assert_problem(again(bob, b"x", **{"Content-Type": "text/plain"}), 415)
    assert count("tasks") == 1


@pytest.mark.one_database
@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\u00e9".encode("latin-1")])
def test_what_is_no_key_is_refused(shared_person: Person, key: Any) -> None:
    answer = shared_person.post("/tasks", json={"title": "x"}, headers={"Idempotency-Key": key})
    assert_problem(answer, 422, "invalid_input", "header.Idempotency-Key")
    assert count("tasks") == 0


@pytest.fixture
def shared_person(api: Api) -> Person:
    return api.person()


@pytest.mark.one_database
def test_every_printable_key_is_taken_once(api: Api) -> None:
    ada = api.person()
    longest = "".join(chr(0x21 + number % 94) for number in range(255))
    for key in ("k", longest, "a b", '{"a": ~1}'):
        first = ada.post("/tasks", json={"title": key[:10]}, headers=keyed(key))
        assert_replay(first, ada.post("/tasks", json={"title": key[:10]}, headers=keyed(key)))
    headers = [("Authorization", f"Bearer {ada.token}"), ("Idempotency-Key", "a"), ("Idempotency-Key", "a")]
    answer = api.client.post("/tasks", json={"title": "x"}, headers=headers)
    assert_problem(answer, 422, "invalid_input", "header.Idempotency-Key")


def test_what_failed_is_not_kept(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    ada.task()
    failing = {"json": {"title": "y"}, "headers": {**keyed(), "If-Match": '"1-9"'}}
    assert_problem(ada.put("/tasks/1", **failing), 412)
    assert_problem(bob.put("/tasks/1", json={"title": "y"}, headers=keyed()), 404)
    assert_problem(ada.post("/tasks", json={"title": ""}, headers=keyed()), 422)
    assert count("idempotency_keys") == 0
    failing["headers"]["If-Match"] = '"1-1"'
    first = ada.put("/tasks/1", **failing)
    assert first.status_code == 200
    assert_replay(first, ada.put("/tasks/1", **failing))
    first = ada.post("/tasks", json={"title": "now"}, headers=keyed())
    assert first.status_code == 201
    assert_replay(first, ada.post("/tasks", json={"title": "now"}, headers=keyed()))


def test_rights_are_checked_before_a_replay(api: Api) -> None:
    ada, admin = api.person(), api.person("root", admin=True)
    made = ada.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:write"]}).json()
    program = Person(api.client, ada.id, "ada", made["token"])
    assert program.post("/tasks", json={"title": "x"}, headers=keyed()).status_code == 201
    ada.delete(f"/auth/tokens/{made['id']}")
    assert_problem(program.post("/tasks", json={"title": "x"}, headers=keyed()), 401)
    reading = ada.post("/auth/tokens", json={"name": "q", "scopes": ["tasks:read"]}).json()
    reader = Person(api.client, ada.id, "ada", reading["token"])
    assert_problem(reader.post("/tasks", json={"title": "x"}, headers=keyed()), 403, "missing_scope")

    other = api.person("other", admin=True)
    path = f"/users/{ada.id}"
    assert admin.patch(path, json={"role": "admin"}, headers=keyed()).status_code == 200
    other.patch(f"/users/{admin.id}", json={"role": "member"})
    assert_problem(admin.patch(path, json={"role": "admin"}, headers=keyed()), 403, "admin_required")


def test_without_the_header_nothing_is_written(api: Api) -> None:
    ada = api.person()
    ada.task()
    ada.get("/tasks", headers=keyed())
    ada.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:write"]}, headers=keyed())
    assert count("idempotency_keys") == 0


def test_a_key_is_kept_for_its_hours_and_then_deleted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    ada = api.person()
    for number in range(3):
        ada.post("/tasks", json={"title": f"{number}"}, headers=keyed(f"k{number}"))

    def aged(hours: float, *ids: int) -> None:
        at = datetime.now(UTC) - timedelta(hours=hours)
        statement = update(idempotency_keys).where(idempotency_keys.c.id.in_(ids)).values(created_at=at)
        database.write(lambda db: db.execute(statement))

    aged(23.9, 1, 2)
    assert "idempotency_keys" not in hourly_round()
    assert ada.post("/tasks", json={"title": "0"}, headers=keyed("k0")).headers["idempotency-replayed"]
    aged(24.1, 1, 2)
    assert hourly_round()["idempotency_keys"] == 2
    answer = ada.post("/tasks", json={"title": "0"}, headers=keyed("k0"))
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (201, None)
    assert ada.post("/tasks", json={"title": "2"}, headers=keyed("k2")).headers["idempotency-replayed"]
    monkeypatch.setattr(settings, "idempotency_hours", 1)
    aged(2, 3)
    assert hourly_round()["idempotency_keys"] == 1


def test_keys_are_exported_with_their_account_and_go_with_it(api: Api) -> None:
    ada, admin = api.person(), api.person("root", admin=True)
    other = api.person("other", admin=True)
    answer = ada.post("/tasks", json={"title": "My plan"}, headers=keyed())
    (kept,) = ada.get("/auth/me/export").json()["idempotency_keys"]
    assert (kept["status"], kept["body"]) == (201, answer.text)
    assert kept["headers"]["location"] == "/tasks/1"
    assert not {"key_hash", "request_hash"} & set(kept)
    path = f"/users/{ada.id}?delete_tasks=true"
    first = admin.delete(path, headers=keyed())
    assert_replay(first, admin.delete(path, headers=keyed()))
    assert count(f"idempotency_keys WHERE user_id = {ada.id}") == 0
    # An admin who deletes their own account leaves no key behind.
    assert admin.delete(f"/users/{admin.id}?transfer_to={other.id}", headers=keyed()).status_code == 200
    assert count("idempotency_keys") == 0


def test_one_key_sent_by_many_at_once_writes_once(api: Api) -> None:
    ada = api.person()

    def send(number: int) -> Any:
        return ada.post("/tasks", json={"title": f"{number % 4}"}, headers=keyed(f"k{number % 4}"))

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(send, range(48)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.content for answer in answers}) == 4
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 4
    assert [count("tasks"), count("task_history"), count("notifications")] == [4, 4, 4]


def made_app(calls: list[str], go_on: threading.Event | None = None) -> FastAPI:
    """An application with endpoints that no other test has: slow, secret, failing after a write."""
    router = Router(writes="tasks:write")

    class Secret(Message):
        secret: str | None

    @router.post("/secrets", response_model=Secret, status_code=201, secrets=("secret",))
    def make(db: WriteSession, user: CurrentUser, background: BackgroundTasks) -> dict[str, Any]:
        """Make a secret."""
        background.add_task(calls.append, "background")
        return {"message": "keep it", "secret": "whsec_x"}

    @router.delete("/secrets", status_code=204)
    def forget(db: WriteSession, user: CurrentUser, response: Response) -> Response:
        """Forget it."""
        calls.append("work")
        return Response(status_code=204, headers={"ETag": '"1"'})

    @router.post("/slow", response_model=Message)
    def slow(db: WriteSession, user: CurrentUser) -> dict[str, str]:
        """Take a while."""
        calls.append("work")
        assert go_on is not None
        assert go_on.wait(SECONDS)
        return {"message": "done"}

    made = FastAPI()
    made.include_router(router)
    install_error_handlers(made)
    return made


class WithKeys:
    """Treats the header like the middleware."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if found := [value for name, value in scope.get("headers", ()) if name == b"idempotency-key"]:
            scope["idempotency_keys"] = found
        await self._inner(scope, receive, send)


def test_a_secret_is_shown_once_and_background_work_is_done_once(api: Api) -> None:
    ada, calls = api.person(), list[str]()
    there = Person(TestClient(WithKeys(made_app(calls))), ada.id, "ada", ada.token)
    first, second = (there.post("/secrets", headers=keyed()) for _ in range(2))
    assert first.json() == {"message": "keep it", "secret": "whsec_x"}
    assert second.json() == {"message": "keep it", "secret": None}
    assert second.headers["idempotency-replayed"] == "true"
    assert calls == ["background"]
    stored = database.read(lambda db: db.execute(text("SELECT body FROM idempotency_keys")).scalar_one())
    assert b"whsec" not in bytes(stored)
    first, second = (there.delete("/secrets", headers=keyed()) for _ in range(2))
    assert (first.status_code, first.content, first.headers["etag"]) == (204, b"", '"1"')
    assert_replay_without_id(first, second)
    assert calls == ["background", "work"]


def assert_replay_without_id(first: Any, second: Any) -> None:
    expected = [*first.headers.multi_items(), ("idempotency-replayed", "true")]
    assert sorted(expected) == sorted(second.headers.multi_items())
    assert (first.status_code, first.content) == (second.status_code, second.content)


def test_who_waits_for_the_first_is_answered_by_it_and_holds_up_nobody(api: Api) -> None:
    ada, calls, go_on = api.person(), list[str](), threading.Event()
    with TestClient(WithKeys(made_app(calls, go_on))) as client:
        there = Person(client, ada.id, "ada", ada.token)
        with ThreadPoolExecutor(12) as pool:
            # Ten calls are more than the four threads and connections.
            sent = [pool.submit(there.post, "/slow", headers=keyed()) for _ in range(10)]
            wait_until(lambda: calls and [len(waiting) for waiting in _turns._waiting.values()] == [9])  # noqa: SLF001
            try:
                assert there.get("/nothing").status_code == 404
                assert ada.get("/tasks").status_code == 200
            finally:
                go_on.set()
            answers = [each.result() for each in sent]
    assert [answer.json() for answer in answers] == [{"message": "done"}] * 10
    assert calls == ["work"]


def test_a_turn_passes_over_those_who_gave_up() -> None:
    turns, order = _Turns(), list[str]()

    async def take(name: str, hold: float = 0.0) -> None:
        async with turns.turn("key"):
            order.append(name)
            await asyncio.sleep(hold)

    async def crowd() -> None:
        first = asyncio.create_task(take("first", 0.05))
        await asyncio.sleep(0)
        others = [asyncio.create_task(take(name)) for name in ("gone", "second", "third")]
        await asyncio.sleep(0)
        others[0].cancel()
        await first
        # The turn goes to the next request, which is cancelled in this moment.
        others[1].cancel()
        await asyncio.gather(*others, return_exceptions=True)

    thread = threading.Thread(target=lambda: asyncio.run(crowd()))
    thread.start()
    thread.join(SECONDS)
    assert order == ["first", "third"]
    assert not turns._waiting  # noqa: SLF001


@pytest.mark.parametrize(
    ("method", "path", "operation"), WRITES, ids=[f"{method} {path}" for method, path, _ in WRITES]
)
def test_every_write_of_an_account_declares_the_key(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    parameters = [resolved(app.openapi(), each) for each in operation["parameters"]]
    names = [each["name"] for each in parameters if each["in"] == "header"]
    assert "Idempotency-Key" in names
    success = next(answer for status, answer in operation["responses"].items() if status < "300")
    assert "Idempotency-Replayed" in success["headers"]
    schema = success.get("content", {}).get("application/json", {}).get("schema", {})
    fields = app.openapi()["components"]["schemas"].get(schema.get("$ref", "").rpartition("/")[2], {})
    for name, field in fields.get("properties", {}).items():
        # A field that is shown only once is null in a replay.
        assert "secret" not in name or "null" in field["type"], name
