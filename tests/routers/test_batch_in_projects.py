"""Batches in shared projects: the same rules as one by one, for members, roles, moves and limits."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.routers.test_batch import assign, batch, create, delete, results, rows, update
from tests.routers.test_projects import STATES, add, project
from tests.support.api import Api, Person, assert_problem


def statuses(answer: Any) -> list[int]:
    return [each["status"] for each in results(answer)]


def errors(answer: Any) -> list[str | None]:
    return [each.get("error", {}).get("code") for each in results(answer)]


def test_a_batch_in_a_project_leaves_what_single_calls_leave(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    places = [project(ada, "Research", states=STATES)["id"] for _ in range(2)]
    for place in places:
        add(ada, place, bob)
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("PATCH", "/tasks/{}", {"json": {"title": "Renamed", "status": "in_progress"}}),
        ("PATCH", "/tasks/{}", {"json": {"state": "review", "description": "Look at it"}}),
        ("PUT", f"/tasks/{{}}/assign?assigned_user_id={bob.id}", {}),
        ("PATCH", "/tasks/{}", {"json": {"project_id": None, "priority": 2}}),
        ("DELETE", "/tasks/{}", {}),
    ]
    first = [ada.task(f"Task {number}", project_id=places[0])["id"] for number in range(len(calls))]
    second = [ada.task(f"Task {number}", project_id=places[1])["id"] for number in range(len(calls))]
    marks = rows("SELECT max(id) FROM task_history")[0][0]
    for task_id, (method, path, options) in zip(first, calls, strict=True):
        assert ada.call(method, path.format(task_id), **options).status_code == 200
    made = ada.task("New", project_id=places[0], state="doing", user_id=bob.id)
    middle = rows("SELECT max(id) FROM task_history")[0][0]
    answer = batch(
        ada,
        update(second[0], title="Renamed", status="in_progress"),
        update(second[1], state="review", description="Look at it"),
        assign(second[2], bob.id),
        update(second[3], project_id=None, priority=2),
        delete(second[4]),
        create("New", project_id=places[1], state="doing", user_id=bob.id),
    )
    assert statuses(answer) == [200] * 5 + [201]
    same = results(answer)[-1]["task"]
    different = ("id", "project_id", "created_at", "updated_at")
    assert {name: made[name] for name in made if name not in different} == {
        name: same[name] for name in same if name not in different
    }

    def told(after: int, until: int, place: int) -> str:
        found = rows(
            "SELECT kind, CAST(changes AS text), owner_id, previous_owner_id, status, previous_status, state,"
            f" previous_state, project_id = {place}, previous_project_id = {place}, snapshot IS NULL"
            f" FROM task_history WHERE id > {after} AND id <= {until} ORDER BY id"
        )
        timeless = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", str(found))
        return re.sub(rf'("project_id":{{"from":(?:null,"to":)?){place}\b', r"\1<place>", timeless)

    assert told(marks, middle, places[0]) == told(middle, middle + 100, places[1])
    for table in ("project_counts", "owner_counts"):
        for column in ("pending", "in_progress", "completed"):
            assert rows(f"SELECT sum({column}) FROM {table}") == [
                (rows(f"SELECT count(*) FROM tasks WHERE status = '{column}'")[0][0],)
            ]


@pytest.mark.one_database
@pytest.mark.parametrize("atomic", [True, False])
def test_roles_are_those_of_each_operation(api: Api, *, atomic: bool) -> None:
    ada, viewer, stranger = api.person(), api.person("bob"), api.person("eve")
    place = project(ada)["id"]
    add(ada, place, viewer, "viewer")
    task = ada.task("Shared", project_id=place)["id"]
    own = viewer.task("Own")["id"]
    for person, bad, status, code in (
        (viewer, update(task, title="x"), 403, "project_role"),
        (viewer, create("x", project_id=place), 403, "project_role"),
        (viewer, update(own, project_id=place), 403, "project_role"),
        (stranger, update(task, title="x"), 404, "task_not_found"),
        (stranger, delete(task), 404, "task_not_found"),
        (stranger, create("x", project_id=place), 404, "project_not_found"),
    ):
        answer = batch(person, create("kept"), bad, create("kept too"), atomic=atomic)
        if atomic:
            assert_problem(answer, status, code, "#/operations/1")
        else:
            assert statuses(answer) == [201, status, 201]
            assert errors(answer)[1] == code
    assert rows("SELECT count(*) FROM tasks WHERE title LIKE 'kept%'") == [(0 if atomic else 12,)]
    assert ada.get(f"/tasks/{task}").json()["title"] == "Shared"


def test_a_limit_counts_what_the_batch_itself_puts_there(api: Api) -> None:
    ada = api.person()
    place = project(ada, states=STATES)["id"]
    ids = [ada.task(f"Task {number}", project_id=place)["id"] for number in range(4)]
    into = [update(each, state="doing") for each in ids]
    problem = assert_problem(batch(ada, *into), 409, "wip_limit_reached", "#/operations/2")
    assert "holds 2" in problem["detail"]
    answer = batch(ada, *into[:3], update(ids[0], state="done"), into[3], atomic=False)
    assert statuses(answer) == [200, 200, 409, 200, 200]
    states = [ada.get(f"/tasks/{each}").json()["state"] for each in ids]
    assert states == ["done", "doing", "todo", "doing"]
    # The failed operation has left nothing behind.
    assert rows(f"SELECT count(*) FROM task_history WHERE task_id = {ids[2]}") == [(1,)]


def test_an_archived_project_is_only_read(api: Api) -> None:
    ada = api.person()
    place = project(ada)["id"]
    task = ada.task("Shared", project_id=place)["id"]
    ada.patch(f"/projects/{place}", json={"archived": True})
    answer = batch(ada, update(task, title="x"), create("y", project_id=place), delete(task), atomic=False)
    assert errors(answer) == ["project_archived"] * 3


@pytest.mark.thorough
def test_batches_that_cross_in_two_projects_are_done_one_after_the_other(api: Api) -> None:
    people = [api.person(f"person{number}") for number in range(3)]
    ada = people[0]
    places = [project(ada, f"P{number}", states=STATES)["id"] for number in range(2)]
    for place in places:
        for person in people[1:]:
            add(ada, place, person)
    ids = [ada.task(f"Task {number}", project_id=places[number % 2])["id"] for number in range(8)]

    def cross(number: int) -> None:
        person: Person = people[number % 3]
        order = ids if number % 2 else ids[::-1]
        answer = batch(
            person,
            *(
                update(each, priority=number % 5, state=("todo", "review", "doing")[number % 3])
                for each in order
            ),
            create("New", project_id=places[number % 2]),
            atomic=False,
        )
        assert set(statuses(answer)) <= {200, 201, 409}

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(cross, range(18)))
    assert rows("SELECT count(*) FROM tasks") == [(8 + 18,)]
    for place in places:
        (found,) = rows(f"SELECT count(*) FROM tasks WHERE state = 'doing' AND project_id = {place}")
        assert found[0] <= 2


def test_all_tasks_of_a_filter_are_changed_within_a_project(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    place = project(ada)["id"]
    add(ada, place, bob)
    for person in (ada, bob):
        person.task("Shared", project_id=place)
    bob.task("Private")
    answer = bob.patch("/tasks", params={"filter": "title = Shared", "expected": 1}, json={"priority": 4})
    assert answer.json() == {"matched": 1, "changed": 1}
    assert rows("SELECT user_id FROM tasks WHERE priority = 4") == [(bob.id,)]
