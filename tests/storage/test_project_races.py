"""Many calls at once in a shared project on a real server have the effect of calls one after the other."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from main import app
from tests.routers.test_projects import STATES, add, project
from tests.support.api import Api, Person
from tests.support.openapi_check import CheckedClient
from tests.support.serving import served
from tests.support.waiting import SECONDS

AT_ONCE = 32


@pytest.fixture
def server(client: CheckedClient) -> Iterator[httpx.Client]:
    """A client of a real server, with a connection for each thread; `api` makes the people."""
    limits = httpx.Limits(max_connections=AT_ONCE, max_keepalive_connections=AT_ONCE)
    with served(app) as url, httpx.Client(base_url=url, timeout=SECONDS, limits=limits) as made:
        yield made


def on_server(server: httpx.Client, person: Person) -> Person:
    """The same account, as a caller of the real server."""
    return Person(server, person.id, person.username, person.token)  # type: ignore[arg-type]


def at_once(*work: Callable[[], Any]) -> list[int]:
    """Make these calls at once, and return their statuses."""
    with ThreadPoolExecutor(len(work)) as pool:
        return [each.status_code for each in pool.map(lambda call: call(), work)]


def test_one_of_thirty_two_gets_the_last_place_of_a_state(api: Api, server: httpx.Client) -> None:
    ada = api.person()
    made = project(ada, states=STATES)["id"]
    ada.task(project_id=made, state="doing")
    tasks = [ada.task(project_id=made)["id"] for _ in range(AT_ONCE // 2)]
    there = on_server(server, ada)

    def move(task: int) -> Callable[[], Any]:
        return lambda: there.patch(f"/tasks/{task}", json={"state": "doing"})

    def create() -> Any:
        return there.post("/tasks", json={"title": "x", "project_id": made, "state": "doing"})

    def batch(task: int) -> Callable[[], Any]:
        operations = [{"op": "update", "id": task, "task": {"state": "doing"}}]
        return lambda: there.post("/tasks/batch", json={"operations": operations})

    half, creates = len(tasks) // 2, [create] * (AT_ONCE // 2)
    for _ in range(3):
        statuses = at_once(*map(move, tasks[:half]), *map(batch, tasks[half:]), *creates)
        assert min(statuses) in (200, 201)
        assert sorted(statuses)[1:] == [409] * (AT_ONCE - 1)
        inside = ada.get(f"/tasks?project_id={made}&state=doing").json()
        assert len(inside) == 2
        ada.patch(f"/tasks/{inside[0]['id']}", json={"state": "todo"})


LEAVING: tuple[Callable[[str, Person, Person, Person], tuple[Callable[[], Any], Callable[[], Any]]], ...] = (
    lambda path, ada, bob, _: (
        lambda: ada.delete(f"{path}/{ada.id}"),
        lambda: bob.delete(f"{path}/{bob.id}"),
    ),
    lambda path, ada, bob, _: (
        lambda: ada.put(f"{path}/{bob.id}", json={"role": "viewer"}),
        lambda: bob.put(f"{path}/{ada.id}", json={"role": "member"}),
    ),
    lambda _, ada, bob, root: (
        lambda: root.patch(f"/users/{ada.id}", json={"is_active": False}),
        lambda: root.patch(f"/users/{bob.id}", json={"is_active": False}),
    ),
    lambda path, ada, bob, root: (
        lambda: root.delete(f"/users/{ada.id}?delete_tasks=true"),
        lambda: bob.delete(f"{path}/{bob.id}"),
    ),
)


def test_a_project_keeps_a_manager_whoever_leaves_at_once(api: Api, server: httpx.Client) -> None:
    root, eve = api.person("root", admin=True), api.person("eve")
    for number, ways in enumerate(LEAVING):
        ada, bob = api.person(f"ada{number}"), api.person(f"bob{number}")
        made = project(ada)["id"]
        add(ada, made, bob, "manager")
        add(ada, made, eve)
        path = f"/projects/{made}/members"
        statuses = at_once(
            *ways(path, on_server(server, ada), on_server(server, bob), on_server(server, root))
        )
        assert sorted(status < 300 for status in statuses) == [False, True], (number, statuses)
        assert all(status in (200, 204, 403, 404, 409) for status in statuses)
        assert "manager" in {each["role"] for each in root.get(path).json()}


def test_nothing_is_written_once_a_project_is_archived(api: Api, server: httpx.Client) -> None:
    ada = api.person()
    made = project(ada)["id"]
    there = on_server(server, ada)

    def create() -> Any:
        return there.post("/tasks", json={"title": "x", "project_id": made})

    def archive() -> Any:
        return there.patch(f"/projects/{made}", json={"archived": True})

    statuses = at_once(*([create] * 10), archive, *([create] * 10))
    assert set(statuses) <= {200, 201, 409}
    assert len(ada.get(f"/tasks?project_id={made}").json()) == statuses.count(201)


@pytest.mark.parametrize("number", [0, pytest.param(1, marks=pytest.mark.thorough)])
def test_nobody_owns_a_task_where_they_are_no_member(api: Api, server: httpx.Client, number: int) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada)["id"]
    add(ada, made, bob)
    tasks = [ada.task(str(place), project_id=made)["id"] for place in range(12)]
    there = on_server(server, ada)

    def assign(task: int) -> Callable[[], Any]:
        return lambda: there.put(f"/tasks/{task}/assign?assigned_user_id={bob.id}")

    def remove() -> Any:
        return there.delete(f"/projects/{made}/members/{bob.id}?transfer_to={ada.id}")

    first = 6 + number * 3
    statuses = at_once(
        *(assign(task) for task in tasks[:first]), remove, *(assign(task) for task in tasks[first:])
    )
    assert set(statuses) <= {200, 204, 404}, statuses
    assert statuses[first] == 204
    assert {task["user_id"] for task in ada.get(f"/tasks?project_id={made}").json()} == {ada.id}


@pytest.mark.parametrize("what", ["delete", "release"])
def test_a_project_is_deleted_beside_everything(api: Api, server: httpx.Client, what: str) -> None:
    ada, bob = api.person(), api.person("bob")
    made = project(ada, states=STATES)["id"]
    add(ada, made, bob)
    tasks = [bob.task(str(number), project_id=made)["id"] for number in range(8)]
    theirs, there = on_server(server, bob), on_server(server, ada)
    calls: list[Callable[[], Any]] = [
        lambda: theirs.patch(f"/tasks/{tasks[0]}", json={"state": "review"}),
        lambda: theirs.put(f"/tasks/{tasks[1]}/assign?assigned_user_id={ada.id}"),
        lambda: theirs.put(f"/tasks/{tasks[2]}/blocked", json={"reason": "x"}),
        lambda: theirs.post(f"/tasks/{tasks[3]}/comments", json={"text": "@ada"}),
        lambda: there.delete(f"/projects/{made}?tasks={what}"),
        lambda: theirs.delete(f"/tasks/{tasks[4]}"),
        lambda: theirs.post("/tasks", json={"title": "new", "project_id": made}),
        lambda: theirs.patch(f"/tasks/{tasks[5]}", json={"project_id": None}),
        lambda: there.patch(f"/projects/{made}", json={"name": "Other"}),
    ]
    statuses = at_once(*calls)
    # A released task is private, and has no state `review`.
    assert statuses[0] in (200, 404, 422)
    assert set(statuses[1:]) <= {200, 201, 204, 404}, statuses
    assert statuses[4] == 204
    left = {task["id"]: task for person in (ada, bob) for task in person.get("/tasks?limit=500").json()}
    assert all(task["project_id"] is None and task["state"] == task["status"] for task in left.values())
    if what == "release":
        assert set(tasks) - {tasks[4]} <= set(left)
    for person in (ada, bob):
        stats = person.get("/analytics/user-completion-stats").json()
        assert stats["total_tasks"] == len(person.get("/tasks?limit=500").json())
