"""Changing and deleting exactly the tasks that a filter finds, if their number is the expected one."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import database
from models import Caller
from schemas import bulk
from security.callers import CALLER_BY_ID
from services import task_service
from services.tasks import by_filter
from services.tasks.unit_of_work import Changes
from tests.support.api import Api, Person, assert_problem
from tests.support.between import before_statement, changed_beside


def rows(sql: str) -> list[Any]:
    return [tuple(row) for row in database.read(lambda db: db.execute(text(sql)).all())]


def change(person: Person, filter_: str, expected: int, fields: dict[str, Any], **more: Any) -> Any:
    return person.patch("/tasks", params={"filter": filter_, "expected": expected, **more}, json=fields)


def delete(person: Person, filter_: str, expected: int, **more: Any) -> Any:
    return person.delete("/tasks", params={"filter": filter_, "expected": expected, **more})


@pytest.fixture
def ada(api: Api) -> Person:
    """Somebody with ten tasks, five of which are pending; somebody else has as many."""
    bob, ada = api.person("bob"), api.person()
    for person in (bob, ada):
        person.post(
            "/tasks/import",
            json=[
                {
                    "title": f"Task {number}",
                    "status": ("pending", "completed")[number % 2],
                    "priority": number % 5,
                }
                for number in range(10)
            ],
        )
    return ada


def test_all_that_are_found_are_changed_each_by_the_rules_of_one(ada: Person) -> None:
    answer = change(ada, "status = pending", 5, {"status": "completed", "tags": ["done"]})
    assert (answer.status_code, answer.json()) == (200, {"matched": 5, "changed": 5})
    tasks = ada.get("/tasks?tag=done").json()
    assert len(tasks) == 5
    assert all(task["completed_at"] for task in tasks)
    assert [task["title"] for task in ada.get("/tasks?status=pending").json()] == []
    kinds = rows("SELECT kind, count(*) FROM task_history GROUP BY kind ORDER BY kind")
    assert kinds == [("imported", 20), ("status_changed", 5), ("updated", 5)]
    assert rows("SELECT kind, count(*) FROM notifications GROUP BY kind") == [("completed", 5)]
    # Tasks that have the value already are found, and not changed.
    assert change(ada, "priority <= 4", 10, {"tags": ["done"]}).json() == {"matched": 10, "changed": 5}
    assert ada.get("/analytics/user-completion-stats").json()["completed_tasks"] == 10
    assert rows("SELECT count(*) FROM tasks WHERE version > 1") == [(10,)]


def test_many_tasks_get_the_values_that_one_gets(ada: Person) -> None:
    one, *others = (task["id"] for task in ada.get("/tasks").json())
    hard = {
        "title": "\t'1' \\ \"½\" 🎈 ẞTRASSE",
        "description": "Ä\n\u2028\x7f" + "ß" * 60_000,
        "priority": 4,
        "project": "007",
        "tags": ["null", '["a"]', "1e3"],
        "due_at": "9999-12-31T23:59:59.999999Z",
    }
    none: dict[str, Any] = {"description": None, "due_at": None, "tags": []}
    for fields in (hard, none):
        assert ada.patch(f"/tasks/{one}", json=fields).status_code == 200
        assert change(ada, f"id != {one}", 9, fields).json()["changed"] == 9
        columns = (
            "title, title_folded, description, description_folded, priority, project, tags, due_at, version"
        )
        [first, *rest] = rows(
            f"SELECT {columns} FROM tasks WHERE user_id = {ada.id} ORDER BY id = {one} DESC"
        )
        assert rest == [first] * 9
        found = ada.get("/tasks").json()
        assert {task["id"] for task in found} == {one, *others}
        assert all(task[name] == value for task in found for name, value in fields.items())


def test_many_tasks_are_changed_by_one_statement(ada: Person) -> None:
    """Other threads run between the statements of SQLite: a statement for each task would wait for them each time."""
    with before_statement(0, lambda: None) as statements:
        assert change(ada, "id > 0", 10, {"priority": 0, "due_at": None}).json()["changed"] == 8
    [update] = [sql for sql in statements if sql.startswith("UPDATE tasks")]
    # All rows are its one parameter.
    assert "FROM json_" in update


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_many_tasks_are_looked_up_by_their_ids_though_analyze_has_seen_few(ada: Person) -> None:
    """SQLite believes the count of ANALYZE for ever, and would read all tasks for each changed one."""
    with before_statement(0, lambda: None) as statements:
        assert change(ada, "id > 0", 10, {"priority": 0, "due_at": None}).json()["changed"] == 8
    [update] = [sql for sql in statements if sql.startswith("UPDATE tasks")]
    asked = text(f"EXPLAIN QUERY PLAN {update.replace('?', 'NULL')}")
    for counted in (10, 2):
        for sql in (f"DELETE FROM tasks WHERE id > {counted}", "ANALYZE"):
            database.write(partial(Session.execute, statement=text(sql)))
        plan = [row[3] for row in database.write(lambda db: db.execute(asked).all())]
        assert "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)" in plan, plan


@pytest.mark.parametrize(("longest", "written"), [(by_filter.LONGEST, [4, 4, 2]), (5000, [2, 2, 2, 2, 2])])
def test_memory_holds_a_part_of_many_tasks(
    ada: Person, monkeypatch: pytest.MonkeyPatch, longest: int, written: list[int]
) -> None:
    """Each task may have texts of megabytes in all its rows."""
    parts: list[int] = []

    def note(self: Changes, db: Any) -> None:
        parts.extend(len(rows) for _, rows in self.updates)
        write(self, db)

    write = Changes.write
    monkeypatch.setattr(Changes, "write", note)
    monkeypatch.setattr(by_filter, "PART", 4)
    monkeypatch.setattr(by_filter, "LONGEST", longest)
    answer = change(ada, "id > 0", 10, {"description": "x" * 3000})
    assert (answer.json(), parts) == ({"matched": 10, "changed": 10}, written)
    assert [len(task["description"]) for task in ada.get("/tasks").json()] == [3000] * 10
    assert rows("SELECT count(*) FROM task_history WHERE kind = 'updated'") == [(10,)]
    assert delete(ada, "id > 0", 10).json()["changed"] == 10
    assert rows("SELECT count(*) FROM task_history WHERE kind = 'deleted'") == [(10,)]
    assert ada.get("/tasks").json() == []


def test_all_that_are_found_are_deleted(ada: Person) -> None:
    answer = delete(ada, "status = completed and priority > 1", 3)
    assert (answer.status_code, answer.json()) == (200, {"matched": 3, "changed": 3})
    assert len(ada.get("/tasks").json()) == 7
    assert rows("SELECT count(*) FROM tasks") == [(17,)]
    assert rows("SELECT count(*) FROM task_history WHERE kind = 'deleted'") == [(3,)]


def test_another_number_than_expected_changes_nothing(ada: Person) -> None:
    before = rows("SELECT id, version FROM tasks ORDER BY id")
    for answer in (
        change(ada, "status = pending", 4, {"priority": 0}),
        delete(ada, "status = pending", 6),
        delete(ada, "status = pending", 0),
    ):
        problem = assert_problem(answer, 409, "unexpected_number")
        assert "finds 5 tasks" in problem["detail"]
    assert rows("SELECT id, version FROM tasks ORDER BY id") == before
    assert delete(ada, "title = nothing", 0).json() == {"matched": 0, "changed": 0}


def test_more_than_may_be_changed_is_refused_with_the_number(
    api: Api, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_filter, "MOST_CHANGED", 3)
    problem = assert_problem(delete(ada, "status = pending", 3), 409, "unexpected_number")
    assert "finds 5 tasks" in problem["detail"]
    project = ada.post("/projects", json={"name": "Shared"}).json()
    root = api.person("root", admin=True)
    ada.put(f"/projects/{project['id']}/members/{root.id}", json={"role": "member"})
    for person in (root, *[ada] * 4):
        person.task("Shared", project_id=project["id"])
    answer = delete(ada, "status = pending and title = Shared", 3, project_id=project["id"])
    assert "finds 4 tasks" in assert_problem(answer, 409, "unexpected_number")["detail"]
    assert bulk.MOST_CHANGED == 10_000
    assert_problem(delete(ada, "status = pending", 10_001), 422, "invalid_input", "?expected")


def test_filter_and_number_must_both_be_given_and_be_understood(ada: Person) -> None:
    for path, pointer in (
        ("/tasks?expected=10", "?filter"),
        ("/tasks?filter=status%20%3D%20pending", "?expected"),
        ("/tasks?filter=status%20%3D%20pending&expected=-1", "?expected"),
        ("/tasks?filter=status%20%3D%20pending&expected=5&limit=5", "?limit"),
        ("/tasks?filter=status%20%3D%20pending&expected=5&sort_by=id", "?sort_by"),
    ):
        assert_problem(ada.delete(path), 422, "invalid_input", pointer)
        assert_problem(ada.patch(path, json={"priority": 1}), 422, "invalid_input", pointer)
    for wrong in ("", "status = ", "status ="):
        assert_problem(delete(ada, wrong, 10), 422, "invalid_filter", "?filter")
    assert_problem(change(ada, "status = pending", 5, {"priority": 9}), 422, "invalid_input", "#/priority")
    assert rows("SELECT count(*) FROM tasks") == [(20,)]


@pytest.mark.one_database
def test_a_project_that_the_caller_does_not_see_is_not_found(api: Api, ada: Person) -> None:
    project = ada.post("/projects", json={"name": "Shared"}).json()
    task = ada.task("Shared", project_id=project["id"])
    cy = api.person("cyd")
    for project_id in (project["id"], 999):
        within = {"project_id": project_id}
        assert_problem(delete(cy, "title = Shared", 0, **within), 404, "project_not_found")
        assert_problem(change(cy, "title = Shared", 0, {"priority": 1}, **within), 404, "project_not_found")
    own = change(ada, "title = Shared", 1, {"priority": 1}, project_id=project["id"])
    assert own.json() == {"matched": 1, "changed": 1}
    assert ada.get(f"/tasks/{task['id']}").json()["priority"] == 1


def test_plain_filters_and_the_zone_combine_with_the_filter(ada: Person) -> None:
    ada.post("/tasks", json={"title": "Late", "due_at": "2026-11-26T23:30:00Z", "project": "Paris"})
    assert_problem(delete(ada, "due = 2026-11-27", 1), 409)
    assert_problem(delete(ada, "due = 2026-11-27", 1, tz="Europe/Paris", project="Rome"), 409)
    answer = delete(ada, "due = 2026-11-27", 1, tz="Europe/Paris", project="Paris")
    assert answer.json() == {"matched": 1, "changed": 1}


def test_a_key_makes_it_safe_to_repeat(ada: Person) -> None:
    options: Any = {
        "params": {"filter": "status = pending", "expected": 5},
        "headers": {"Idempotency-Key": "once"},
    }
    first, second = (ada.delete("/tasks", **options) for _ in range(2))
    assert first.content == second.content == b'{"matched":5,"changed":5}'
    assert second.headers["idempotency-replayed"] == "true"


def test_of_many_at_once_each_changes_what_it_found(ada: Person) -> None:
    """The second caller finds another number of tasks, or the same tasks with the first caller's changes."""

    def complete(_number: int) -> Any:
        return change(ada, "status = pending", 5, {"status": "completed"})

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(complete, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    assert rows("SELECT count(*) FROM task_history WHERE kind = 'status_changed'") == [(5,)]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_is_found_is_found_at_one_moment(ada: Person) -> None:
    """Another task gets a new tag and project, and the found one loses its own, before each statement of the call."""
    number = 0
    while True:
        number += 1
        one, other = ada.task("One", tags=["new0"], project="new0"), ada.task("Other", project=f"old{number}")

        def swap(db: Any, one: int = one["id"], other: int = other["id"]) -> None:
            caller = Caller(*db.execute(CALLER_BY_ID, {"user_id": ada.id}).one())
            task_service.update_task(db, caller, other, {"tags": ["new1"], "project": "new1"})
            task_service.update_task(db, caller, one, {"tags": [], "project": "old"})

        happened: list[bool] = []
        with before_statement(number, lambda: happened.append(changed_beside(swap))) as made:  # noqa: B023
            answer = change(ada, "project ~ new and tag ~ new", 1, {"priority": 4})
        assert answer.json() == {"matched": 1, "changed": 1}, (number, made)
        changed = {
            each[0]
            for each in rows("SELECT title FROM tasks WHERE title IN ('One', 'Other') AND priority = 4")
        }
        # A swap before the call's last look is seen by it, and a later one waits for the call.
        delete(ada, "title in (One, Other)", 2)
        if any("json_to_recordset" in each for each in made[: number - 1]):
            # The change was made after what the call has written.
            assert number > 8
            break
        assert changed == ({"Other"} if happened == [True] else {"One"}), (number, made)
