"""Many calls at once on a real server: each promise holds as for calls one after the other."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import database
from main import app
from security.passwords import LONGEST_HASHING_QUEUE
from services.accounts import user as user_service
from tests.support.api import PASSWORD, Api, assert_problem
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until

# One address may hold half of the places for hashing passwords.
AT_ONCE = LONGEST_HASHING_QUEUE // 2


@pytest.fixture
def server(database_url: str) -> Iterator[httpx.Client]:
    """A client of a real server, with a connection for each thread."""
    with served(app) as url, httpx.Client(base_url=url, timeout=SECONDS) as client:
        yield client


def at_once(work: Callable[[int], httpx.Response]) -> list[httpx.Response]:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(work, range(AT_ONCE)))


def log_in(client: httpx.Client, username: str) -> tuple[int, dict[str, str]]:
    account = {"username": username, "email": f"{username}@example.com", "password": PASSWORD}
    user_id: int = client.post("/auth/register", json=account).json()["id"]
    token = client.post("/auth/login", data={"username": username, "password": PASSWORD}).json()[
        "access_token"
    ]
    return user_id, {"Authorization": f"Bearer {token}"}


def count(sql: str) -> Any:
    return database.read(lambda db: db.execute(text(sql)).scalar())


def test_many_registrations_of_one_name_make_one_account(server: httpx.Client) -> None:
    names = ["ada", "ADA", "Ada"]
    answers = at_once(
        lambda number: server.post(
            "/auth/register",
            json={"username": names[number % 3], "email": f"{number}@example.com", "password": PASSWORD},
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (AT_ONCE - 1)
    assert {answer.json().get("detail") for answer in answers} == {None, "Username already registered"}
    assert count("SELECT count(*) FROM users") == 1


def test_many_registrations_of_one_email_make_one_account(server: httpx.Client) -> None:
    emails = ["a@example.com", "A@EXAMPLE.com"]
    answers = at_once(
        lambda number: server.post(
            "/auth/register",
            json={"username": f"user{number}", "email": emails[number % 2], "password": PASSWORD},
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * (AT_ONCE - 1)
    assert {answer.json().get("detail") for answer in answers} == {None, "Email already registered"}
    assert count("SELECT count(*) FROM users") == 1


def test_many_completions_of_one_task_complete_it_once(server: httpx.Client) -> None:
    _, ada = log_in(server, "ada")
    server.post("/tasks", json={"title": "x"}, headers=ada)
    answers = at_once(lambda _: server.put("/tasks/1", json={"status": "completed"}, headers=ada))
    assert [answer.status_code for answer in answers] == [200] * AT_ONCE
    assert len({answer.content for answer in answers}) == 1
    history = server.get("/tasks/1/history", headers=ada).json()
    assert [row["kind"] for row in history] == ["created", "status_changed"]
    assert count("SELECT count(*) FROM notifications WHERE kind = 'completed'") == 1
    assert server.get("/analytics/user-completion-stats", headers=ada).json()["completed_tasks"] == 1


def test_of_many_changes_with_one_entity_tag_one_is_first(server: httpx.Client) -> None:
    _, ada = log_in(server, "ada")
    tag = server.post("/tasks", json={"title": "x"}, headers=ada).headers["etag"]
    answers = at_once(
        lambda number: server.put("/tasks/1", json={"title": f"{number}"}, headers={**ada, "If-Match": tag})
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * (AT_ONCE - 1)


def test_many_assigns_of_one_task_give_it_to_one(server: httpx.Client) -> None:
    _, ada = log_in(server, "ada")
    bob, _ = log_in(server, "bob")
    server.post("/tasks", json={"title": "x"}, headers=ada)
    answers = at_once(lambda _: server.put(f"/tasks/1/assign?assigned_user_id={bob}", headers=ada))
    assert sorted(answer.status_code for answer in answers) == [200] + [403] * (AT_ONCE - 1)
    assert count("SELECT count(*) FROM task_history WHERE kind = 'assigned'") == 1
    assert count("SELECT count(*) FROM notifications WHERE kind = 'assigned'") == 1


def test_many_deletions_of_one_task_delete_it_once(server: httpx.Client) -> None:
    _, ada = log_in(server, "ada")
    server.post("/tasks", json={"title": "x"}, headers=ada)
    answers = at_once(lambda _: server.delete("/tasks/1", headers=ada))
    assert sorted(answer.status_code for answer in answers) == [200] + [404] * (AT_ONCE - 1)
    assert count("SELECT count(*) FROM task_history WHERE kind = 'deleted'") == 1


def test_what_many_delete_at_once_is_deleted_once(server: httpx.Client) -> None:
    _, ada = log_in(server, "ada")
    bob, _ = log_in(server, "bob")
    calls: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/tasks", {"title": "x"}),
        ("/tasks/1/comments", {"text": "x"}),
        ("/projects", {"name": "x"}),
        ("/views", {"name": "x", "filter": "id = 1"}),
        ("/views", {"name": "x", "filter": "id = 1", "project_id": 1}),
        ("/calendars", {}),
        ("/webhooks", {"url": "https://93.184.216.34/", "types": ["*"]}),
    )
    paths = []
    for path, body in calls:
        answer = server.post(path, json=body, headers=ada)
        assert answer.status_code == 201, answer.text
        paths.append(f"{path}/{answer.json()['id']}")
    server.put(f"/projects/1/members/{bob}", json={"role": "viewer"}, headers=ada).raise_for_status()
    for path in [*paths[3:], f"/projects/1/members/{bob}", paths[1], f"{paths[2]}?tasks=delete"]:
        answers = at_once(lambda _, path=path: server.delete(path, headers=ada))  # type: ignore[misc]
        assert sorted(each.status_code for each in answers) == [204] + [404] * (AT_ONCE - 1), path


def test_one_bad_request_never_spoils_its_neighbours(server: httpx.Client) -> None:
    _, ada = log_in(server, "ada")
    server.post("/tasks", json={"title": "shared"}, headers=ada)

    def mixed(number: int) -> httpx.Response:
        if number % 4 == 1:
            return server.put("/tasks/1", json={"id": 99, "title": "y"}, headers=ada)
        if number % 4 == 2:
            return server.delete("/tasks/777", headers=ada)
        if number % 4 == 3:
            return server.post("/tasks/import", json=[{"title": "x"}, {"title": ""}], headers=ada)
        return server.post("/tasks", json={"title": f"task {number}"}, headers=ada)

    for _ in range(5):
        answers = at_once(mixed)
        wanted = {0: 201, 1: 422, 2: 404, 3: 422}
        assert [each.status_code for each in answers] == [wanted[number % 4] for number in range(AT_ONCE)]
    tasks = server.get("/tasks?limit=500", headers=ada).json()
    made = 1 + 5 * (AT_ONCE // 4)
    assert len(tasks) == made
    assert len({task["id"] for task in tasks}) == made
    assert count("SELECT count(*) FROM task_history") == made


def test_a_write_that_fails_in_the_database_fails_alone(api: Api) -> None:
    ada = api.person()
    task = ada.task()

    def work(number: int) -> Any:
        sql = (
            "UPDATE tasks SET title = '' WHERE id = 1"
            if number % 2
            else "UPDATE tasks SET priority = 1 WHERE id = 1"
        )
        try:
            database.write(lambda db: db.execute(text(sql)))
        except Exception as error:  # noqa: BLE001  # which it is depends on the database
            return type(error).__name__
        return "done"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        results = list(pool.map(work, range(AT_ONCE)))
    assert results == ["done", "IntegrityError"] * (AT_ONCE // 2)
    assert ada.get("/tasks/1").json() == task | {"priority": 1}


WAITS = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_write_that_refers_to_what_is_being_deleted_finds_it_gone(api: Api) -> None:
    """Postgres makes the write wait for the deletion, and then refuses its row."""
    ada, bob, eve = api.person("ada"), api.person("bob"), api.person("eve")
    project_id = ada.post("/projects", json={"name": "Going"}).json()["id"]
    task = ada.task()
    view = {"name": "x", "filter": "id = 1"}
    cases: tuple[tuple[str, Callable[[], Any], int, str], ...] = (
        (
            f"projects WHERE id = {project_id}",
            lambda: ada.post("/views", json=view | {"project_id": project_id}),
            404,
            "Project not found",
        ),
        (
            f"users WHERE id = {bob.id}",
            lambda: ada.put(f"/tasks/{task['id']}/assign?assigned_user_id={bob.id}"),
            404,
            "User not found",
        ),
        (f"users WHERE id = {eve.id}", lambda: eve.post("/calendars", json={}), 401, "User not found"),
    )
    with ThreadPoolExecutor(1) as pool:
        for deleted, write, status, detail in cases:
            with database.engine.begin() as deleting:
                deleting.execute(text(f"DELETE FROM {deleted}"))
                answer = pool.submit(write)
                wait_until(lambda: count(WAITS) == 1)
            assert assert_problem(answer.result(SECONDS), status)["detail"] == detail
    assert ada.get(f"/tasks/{task['id']}").json() == task


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_batch_locks_no_task_after_all_others(api: Api) -> None:
    """A task that the caller gets after the batch has begun to lock would be locked out of order."""
    ada, bob = api.person("ada"), api.person("bob")
    his, hers = bob.task()["id"], ada.task()["id"]
    operations = [{"op": "update", "id": each, "task": {"priority": 4}} for each in (his, hers)]
    with ThreadPoolExecutor(1) as pool:
        with database.engine.begin() as holding:
            holding.execute(text(f"SELECT id FROM tasks WHERE id = {hers} FOR UPDATE"))
            answer = pool.submit(
                lambda: ada.post("/tasks/batch", json={"atomic": False, "operations": operations})
            )
            wait_until(lambda: count(WAITS) == 1)
            assert bob.put(f"/tasks/{his}/assign?assigned_user_id={ada.id}").status_code == 200
        results = answer.result(SECONDS).json()["results"]
    assert [each["status"] for each in results] == [404, 200]


def test_a_write_that_comes_while_the_database_closes_is_done_too(api: Api) -> None:
    begun, may_end = threading.Event(), threading.Event()

    def slow(_db: Session) -> bool:
        begun.set()
        return may_end.wait(SECONDS)

    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(database.write, slow)
        assert begun.wait(SECONDS)
        closing = pool.submit(database.close)
        time.sleep(0.05)
        late = pool.submit(database.write, lambda db: db.execute(text("SELECT 1")).scalar())
        time.sleep(0.05)
        may_end.set()
        assert (first.result(SECONDS), late.result(SECONDS)) == (True, 1)
        closing.result(SECONDS)


def test_first_admins_made_at_once_are_one(database_url: str) -> None:
    def make(_number: int) -> bool:
        return user_service.create_first_admin(database, "root", "root@example.com", PASSWORD)

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(make, range(8))) == 1
    assert count("SELECT count(*) FROM users WHERE role = 'admin'") == 1
