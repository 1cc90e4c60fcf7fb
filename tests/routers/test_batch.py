"""Batches: many operations in one call, each by the rules of its own endpoint, with its history and notifications."""

import re
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from database import database
from tests.support.api import Api, Person, assert_problem


def create(title: str = "Write the report", **fields: Any) -> dict[str, Any]:
    return {"op": "create", "task": {"title": title, **fields}}


def update(task_id: int, *, if_match: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"op": "update", "id": task_id, "task": fields, **({"if_match": if_match} if if_match else {})}


def assign(task_id: int, user_id: int) -> dict[str, Any]:
    return {"op": "assign", "id": task_id, "assigned_user_id": user_id}


def delete(task_id: int) -> dict[str, Any]:
    return {"op": "delete", "id": task_id}


def batch(person: Person, *operations: Any, **options: Any) -> Any:
    return person.post("/tasks/batch", json={"operations": list(operations), **options})


def results(answer: Any) -> list[Any]:
    assert answer.status_code == 200, answer.text
    found: list[Any] = answer.json()["results"]
    return found


def rows(sql: str) -> list[Any]:
    return [tuple(row) for row in database.read(lambda db: db.execute(text(sql)).all())]


def everything() -> Any:
    """All data that a batch may change, counts and tags included."""
    return [
        rows(f"SELECT * FROM {table} ORDER BY 1, 2, 3")
        for table in ("tasks", "task_history", "notifications", "owner_counts", "project_counts", "task_tags")
    ]


def test_operations_are_done_in_their_order(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    first, second, third = (ada.task(f"Task {number}") for number in range(3))
    answer = batch(
        ada,
        create("New", tags=["a"], status="completed"),
        update(first["id"], title="Renamed", due_at="2026-12-01T00:00:00Z"),
        update(first["id"], status="completed", if_match=f'"{first["id"]}-2"'),
        assign(second["id"], bob.id),
        delete(third["id"]),
        create("Last"),
    )
    made, renamed, completed, given, gone, last = results(answer)
    assert [each["status"] for each in answer.json()["results"]] == [201, 200, 200, 200, 200, 201]
    assert gone == {"status": 200}
    assert (renamed["task"]["title"], renamed["task"]["status"]) == ("Renamed", "pending")
    assert (completed["task"]["title"], completed["task"]["completed_at"] is None) == ("Renamed", False)
    assert given["task"]["user_id"] == bob.id
    # The tasks of the answer are the tasks of the list.
    assert [each["id"] for each in ada.get("/tasks").json()] == [
        last["task"]["id"],
        made["task"]["id"],
        first["id"],
    ]
    for each in (made, completed, last):
        assert ada.get(f"/tasks/{each['task']['id']}").json() == each["task"]
    assert bob.get(f"/tasks/{second['id']}").json() == given["task"]
    assert ada.get(f"/tasks/{first['id']}").headers["etag"] == f'"{first["id"]}-3"'
    stats = ada.get("/analytics/user-completion-stats").json()
    assert (stats["total_tasks"], stats["completed_tasks"]) == (3, 2)
    assert [each["title"] for each in ada.get("/tasks?tag=a").json()] == ["New"]


def test_a_batch_leaves_what_single_calls_leave(api: Api) -> None:
    """Single calls and a batch of the same calls leave the same tasks, history, notifications and counts."""
    ada, bob, eve = api.person(), api.person("bob"), api.person("eve")
    for person in (ada, bob):
        for number in range(4):
            person.task(f"Task {number}", tags=["a"])

    def ids(person: Person) -> list[int]:
        return [task["id"] for task in person.get("/tasks?sort_by=id&sort_order=asc").json()]

    one, two, three, four = ids(ada)
    ada.post("/tasks", json={"title": "New", "project": "P", "status": "completed"})
    ada.patch(f"/tasks/{one}", json={"title": "Renamed", "status": "in_progress", "tags": ["b"]})
    ada.patch(f"/tasks/{one}", json={"title": "Renamed"})
    ada.patch(f"/tasks/{two}", json={"status": "completed", "project": "P"})
    ada.put(f"/tasks/{three}/assign?assigned_user_id={eve.id}")
    ada.delete(f"/tasks/{four}")
    one, two, three, four = ids(bob)
    results(
        batch(
            bob,
            create("New", project="P", status="completed"),
            update(one, title="Renamed", status="in_progress", tags=["b"]),
            update(one, title="Renamed"),
            update(two, status="completed", project="P"),
            assign(three, eve.id),
            delete(four),
        )
    )

    def left(person: Person) -> Any:
        mine = f"WHERE user_id = {person.id}"
        of_mine = f"WHERE actor_id = {person.id} ORDER BY id"
        found = [
            rows(
                "SELECT title, title_folded, description, status, priority, project, tags, version, state,"
                f" completed_at IS NULL, updated_at > created_at FROM tasks {mine} ORDER BY id"
            ),
            rows(
                "SELECT kind, CAST(changes AS text), status, previous_status, previous_owner_id IS NULL,"
                " owner_id IS NULL, task_created_at IS NULL, task_completed_at IS NULL, request_id IS NULL,"
                f" snapshot IS NULL FROM task_history {of_mine}"
            ),
            rows(f"SELECT kind, task_title, state FROM notifications {of_mine}"),
            rows(
                "SELECT project, sum(pending), sum(in_progress), sum(completed) FROM project_counts"
                f" {mine} GROUP BY project ORDER BY project"
            ),
            rows(f"SELECT tag FROM task_tags {mine} ORDER BY task_id, tag"),
        ]
        # Times and owners differ.
        told = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", str(found))
        return re.sub(rf'("(?:from|to)":){person.id}\b', r"\1<me>", told)

    assert left(ada) == left(bob)


@pytest.mark.parametrize(
    ("bad", "status", "code", "pointer"),
    [
        (update(999, title="x"), 404, "task_not_found", "#/operations/2"),
        (update(1, if_match='"1-9"', title="x"), 412, "precondition_failed", "#/operations/2"),
        (update(1, id=9), 422, "invalid_input", "#/operations/2/task/id"),
        (update(1, title=" "), 422, "invalid_input", "#/operations/2/task/title"),
        (create("x", nix=1), 422, "invalid_input", "#/operations/2/task/nix"),
        ({"op": "create", "task": None}, 422, "invalid_input", "#/operations/2/task"),
        (assign(2, 1), 403, "cannot_assign", "#/operations/2"),
        (assign(1, 99), 404, "user_not_found", "#/operations/2"),
        (delete(2), 404, "task_not_found", "#/operations/2"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_one_that_fails_undoes_all_or_itself(
    api: Api, bad: dict[str, Any], status: int, code: str, pointer: str
) -> None:
    ada, bob = api.person(), api.person("bob")
    ada.task("Ada's")
    bob.task("Bob's")
    before = everything()
    operations = [create("New"), update(1, title="Changed"), bad, create("Last"), delete(1)]
    problem = assert_problem(batch(ada, *operations), status, code, pointer)
    assert everything() == before
    assert "results" not in problem

    answer = batch(ada, *operations, atomic=False)
    kept = results(answer)
    assert [each["status"] for each in kept] == [201, 200, status, 201, 200]
    assert set(kept[2]) == {"status", "error"}
    error = kept[2]["error"]
    assert {name: error[name] for name in ("status", "code", "detail")} == {
        name: problem[name] for name in ("status", "code", "detail")
    }
    assert error["request_id"] == answer.headers["x-request-id"]
    assert pointer in [each["pointer"] for each in error["errors"]]
    assert [task["title"] for task in ada.get("/tasks").json()] == ["Last", "New"]
    assert [task["title"] for task in bob.get("/tasks").json()] == ["Bob's"]
    kinds = rows(f"SELECT kind FROM task_history WHERE actor_id = {ada.id} ORDER BY id")
    assert [kind for (kind,) in kinds] == ["created", "created", "updated", "created", "deleted"]


@pytest.mark.one_database
@pytest.mark.parametrize("atomic", [True, False])
@pytest.mark.parametrize(
    ("bad", "pointer"),
    [
        ({"op": "destroy", "id": 1}, "#/operations/1/op"),
        ({"id": 1}, "#/operations/1/op"),
        ({"op": ["create"]}, "#/operations/1/op"),
        ("create", "#/operations/1"),
        (None, "#/operations/1"),
        ([{"op": "create"}], "#/operations/1"),
        ({"op": "update", "task": {"title": "x"}}, "#/operations/1/id"),
        ({"op": "update", "id": 1}, "#/operations/1/task"),
        ({"op": "delete", "id": "1"}, "#/operations/1/id"),
        ({"op": "delete", "id": 2**63}, "#/operations/1/id"),
        ({"op": "delete", "id": 1, "force": True}, "#/operations/1/force"),
        ({"op": "assign", "id": 1}, "#/operations/1/assigned_user_id"),
    ],
    ids=str,
)
def test_what_is_no_operation_is_refused_whole(api: Api, bad: Any, pointer: str, *, atomic: bool) -> None:
    ada = api.person()
    assert_problem(batch(ada, create(), bad, atomic=atomic), 422, "invalid_input", pointer)
    assert ada.get("/tasks").json() == []


@pytest.mark.one_database
def test_all_tasks_that_are_not_valid_are_told_at_once(api: Api) -> None:
    ada = api.person()
    problem = assert_problem(batch(ada, create(), create(""), update(1, priority=9), create("x" * 999)), 422)
    assert [each["pointer"] for each in problem["errors"]] == [
        "#/operations/1/task/title",
        "#/operations/2/task/priority",
        "#/operations/3/task/title",
    ]
    # Without `atomic` each operation has its own mistakes.
    answers = results(batch(ada, create(""), update(1, priority=9), create("x" * 999), atomic=False))
    assert [[each["pointer"] for each in answer["error"]["errors"]] for answer in answers] == [
        ["#/operations/0/task/title"],
        ["#/operations/1/task/priority"],
        ["#/operations/2/task/title"],
    ]
    for wrong in ([], [create()] * 1001):
        assert_problem(batch(ada, *wrong), 422, "invalid_input", "#/operations")
    assert_problem(ada.post("/tasks/batch", json={"operations": [create()], "x": 1}), 422, pointer="#/x")
    assert rows("SELECT count(*) FROM tasks") == [(0,)]


def test_a_task_that_leaves_the_callers_sight_is_out_of_it_for_the_rest(api: Api) -> None:
    ada, bob, admin = api.person(), api.person("bob"), api.person("root", admin=True)
    ada.task()
    ada.task()
    answers = results(
        batch(
            ada,
            assign(1, bob.id),
            update(1, title="x"),
            delete(2),
            delete(2),
            assign(1, ada.id),
            atomic=False,
        )
    )
    assert [each["status"] for each in answers] == [200, 404, 200, 404, 403]
    assert_problem(batch(ada, update(1, title="x"), assign(1, bob.id)), 404)
    # An admin sees and changes everybody's.
    answers = results(batch(admin, update(1, title="x"), assign(1, ada.id), update(1, title="y"), delete(1)))
    assert [each["status"] for each in answers] == [200] * 4
    assert [kind for (kind,) in rows("SELECT kind FROM notifications WHERE task_id = 1 ORDER BY id")] == [
        "created",
        "assigned",
        "assigned",
    ]


def test_a_task_of_the_same_batch_can_be_changed_and_its_number_is_not_given_again(api: Api) -> None:
    ada = api.person()
    answers = results(batch(ada, create("a"), update(1, title="b"), create("c"), delete(2), create("d")))
    assert [each.get("task", {}).get("id") for each in answers] == [1, 1, 2, None, 3]
    assert ada.task()["id"] == 4
    assert [(row[0], row[1]) for row in rows("SELECT task_id, kind FROM task_history ORDER BY id")] == [
        (1, "created"),
        (1, "updated"),
        (2, "created"),
        (2, "deleted"),
        (3, "created"),
        (4, "created"),
    ]


@pytest.mark.one_database
def test_a_thousand_operations_take_a_key_and_hold_nobody_up(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    operations = [create(f"Task {number}", description="x" * 100) for number in range(1000)]
    ending = threading.Event()

    def look_on() -> None:
        while not ending.is_set():
            assert bob.get("/tasks").status_code == 200

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look_on)
        headers = {"Idempotency-Key": "a thousand"}
        first, second = (
            ada.post("/tasks/batch", json={"operations": operations}, headers=headers) for _ in range(2)
        )
        ending.set()
        looking.result()
    assert first.content == second.content
    assert second.headers["idempotency-replayed"] == "true"
    made = results(first)
    assert [each["task"]["title"] for each in made] == [f"Task {number}" for number in range(1000)]
    assert rows("SELECT count(*) FROM tasks") == [(1000,)]
    assert rows("SELECT count(*), count(DISTINCT task_id) FROM task_history") == [(1000, 1000)]
    assert rows("SELECT count(*) FROM notifications") == [(1000,)]
    answers = results(
        batch(
            ada,
            *(update(each["task"]["id"], status="completed") for each in made[:500]),
            *(delete(each["task"]["id"]) for each in made[500:]),
        )
    )
    assert len(answers) == 1000
    assert ada.get("/analytics/user-completion-stats").json()["completed_tasks"] == 500


def test_batches_that_cross_each_other_are_done_one_after_the_other(api: Api) -> None:
    people = [api.person(f"person{number}") for number in range(4)]
    ada, admin = people[0], api.person("root", admin=True)
    ids = [ada.task(f"Task {number}")["id"] for number in range(12)]

    def cross(number: int) -> list[int]:
        order = ids if number % 2 else ids[::-1]
        if number % 4 < 2:
            answer = batch(
                ada, create(), *(update(each, priority=number % 5) for each in order), atomic=False
            )
        else:
            heirs = people if number % 8 < 4 else people[::-1]
            answer = batch(admin, *(assign(each, heirs[place % 4].id) for place, each in enumerate(order)))
        assert answer.status_code == 200, answer.text
        return [each["status"] for each in answer.json()["results"]]

    with ThreadPoolExecutor(8) as pool:
        statuses = {status for each in pool.map(cross, range(24)) for status in each}
    assert statuses <= {200, 201, 404}
    counted = rows("SELECT sum(pending) FROM owner_counts")
    assert counted == [(24,)]
