"""Records of flow figures in memory: after a few changes only the changed tasks are read again."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from database import database
from services.flow import history
from services.flow.question import Selection
from services.flow.record import Record
from tests.support.api import Api, Person

STATUSES = ("pending", "in_progress", "completed")
# The mark replaces the creation time of task 1 in the kept record. Only reading the whole record would correct it.
MARK = -12345


def record_of(person: Person) -> Record:
    return record(Selection(person.id))


def record(selection: Selection) -> Record:
    return database.read(lambda db: history.read(db, selection))


def assert_same(found: Record, expected: Record) -> None:
    """Check that the records give the same figures. A task's changes after it has left do not count."""
    for name in ("ids", "created", "completed", "started", "status"):
        assert np.array_equal(getattr(found, name), getattr(expected, name)), name
    one, other = (
        each.spells.of(each.spells.mine | np.isin(each.spells.task, each.ids)) for each in (found, expected)
    )
    for name in ("task", "start", "stop", "status", "state", "mine"):
        assert np.array_equal(getattr(one, name), getattr(other, name)), name


def mark(person: Person) -> None:
    record_of(person).created[0] = MARK


def is_marked(person: Person) -> bool:
    return bool(record_of(person).created[0] == MARK)


@pytest.mark.parametrize(
    "change",
    [
        lambda ada, _: ada.task("another"),
        lambda ada, _: ada.patch("/tasks/2", json={"status": "completed"}),
        lambda ada, _: ada.patch("/tasks/2", json={"title": "renamed"}),
        lambda ada, _: ada.patch("/tasks/2", json={"project": "Work", "status": "in_progress"}),
        lambda ada, _: ada.delete("/tasks/2"),
        lambda ada, bob: ada.put(f"/tasks/2/assign?assigned_user_id={bob.id}"),
        lambda ada, bob: bob.put(f"/tasks/3/assign?assigned_user_id={ada.id}"),
        lambda ada, _: [ada.patch("/tasks/2", json={"status": each}) for each in STATUSES * 3],
    ],
)
def test_only_changed_tasks_are_read_again(api: Api, change: Callable[[Person, Person], Any]) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    for person, title in ((ada, "first"), (ada, "second"), (bob, "third")):
        person.task(title)
    mark(ada)
    change(ada, bob)
    assert is_marked(ada)
    found = record_of(ada)
    history.clear()
    expected = record_of(ada)
    expected.created[0] = MARK
    assert_same(found, expected)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tasks SET completed_at = created_at, status = 'completed' WHERE id = 1",
        "UPDATE tasks SET created_at = updated_at WHERE id = 1",
        "DELETE FROM tasks WHERE id = 2",
    ],
)
@pytest.mark.parametrize("is_changed_too", [False, True])
def test_the_whole_record_is_read_if_the_history_does_not_tell_all(
    api: Api, statement: str, *, is_changed_too: bool
) -> None:
    ada = api.person("ada")
    for title in ("first", "second", "third"):
        ada.task(title)
    mark(ada)
    database.write(lambda db: db.execute(text(statement)))
    if is_changed_too:
        assert ada.patch("/tasks/3", json={"status": "completed"}).status_code == 200
    assert not is_marked(ada)


def test_many_changes_are_read_with_the_whole_record(api: Api) -> None:
    ada = api.person("ada")
    ada.task()
    mark(ada)
    tasks = [{"title": f"task {number}"} for number in range(250)]
    assert ada.post("/tasks/import", json=tasks).status_code == 201
    assert not is_marked(ada)
    assert len(record_of(ada).ids) == 251


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.thorough)])
def test_kept_records_equal_new_ones_after_random_changes(api: Api, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # the same changes each time
    people = [api.person("ada"), api.person("bob")]
    project = people[0].post("/projects", json={"name": "Together"}).json()["id"]
    people[0].put(f"/projects/{project}/members/{people[1].id}", json={"role": "manager"})
    selections = [*(Selection(each.id) for each in people), Selection(None, project_id=project)]
    owners: dict[int, Person] = {}
    for step in range(60):
        change_something(chance.choice(people), people, owners, project, chance)
        if step % 3 == 0 or chance.random() < 0.3:
            found = [record(each) for each in selections]
            kept = [(each, history.kept.get(each)) for each in selections]
            history.clear()
            for each, one in zip(selections, found, strict=True):
                assert_same(one, record(each))
            history.clear()
            for each, value in kept:
                assert value is not None
                history.kept.put(each, value)


def test_only_changed_tasks_of_a_project_are_read_again(api: Api) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    project = ada.post("/projects", json={"name": "Together"}).json()["id"]
    ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    here = Selection(None, project_id=project)
    for person in (ada, bob):
        person.task("in the project", project_id=project)
        person.task("private")
    record(here).created[0] = MARK
    bob.patch("/tasks/3", json={"state": "in_progress"})
    bob.patch("/tasks/4", json={"status": "completed"})
    bob.task("another", project_id=project)
    bob.put(f"/tasks/3/assign?assigned_user_id={ada.id}")
    found = record(here)
    assert found.created[0] == MARK
    history.clear()
    expected = record(here)
    expected.created[0] = MARK
    assert_same(found, expected)
    record(here).created[0] = MARK
    database.write(lambda db: db.execute(text("UPDATE tasks SET created_at = updated_at WHERE id = 4")))
    assert record(here).created[0] != MARK


def change_something(
    person: Person, people: list[Person], owners: dict[int, Person], project: int, chance: random.Random
) -> None:
    own = [task for task, owner in owners.items() if owner is person]
    what = chance.choice(
        ("create", "status", "status", "text", "move", "assign", "delete", "batch", "import", "past")
    )
    if what == "create" or not own:
        owners[person.task(status=chance.choice(STATUSES))["id"]] = person
        return
    task = chance.choice(own)
    if what == "status":
        answer = person.patch(f"/tasks/{task}", json={"status": chance.choice(STATUSES)})
    elif what == "text":
        answer = person.patch(f"/tasks/{task}", json={"title": f"title {chance.random()}"})
    elif what == "move":
        place = {"project_id": chance.choice((None, project))}
        answer = person.patch(f"/tasks/{task}", json=place)
    elif what == "assign":
        other = chance.choice(people)
        answer = person.put(f"/tasks/{task}/assign?assigned_user_id={other.id}")
        owners[task] = other
    elif what == "delete":
        answer = person.delete(f"/tasks/{task}")
        del owners[task]
    elif what == "batch":
        operations = [
            {"op": "update", "id": chance.choice(own), "task": {"status": chance.choice(STATUSES)}}
            for _ in range(chance.randrange(1, 4))
        ]
        answer = person.post("/tasks/batch", json={"operations": operations})
    elif what == "import":
        rows = [{"title": "imported", "status": "completed", "created_at": "2024-05-01T00:00:00Z"}]
        answer = person.post("/tasks/import", json=rows)
        owners[answer.json()["ids"][0]] = person
    else:
        statement = text("UPDATE tasks SET created_at = updated_at WHERE id = :task AND completed_at IS NULL")
        database.write(lambda db: db.execute(statement, {"task": task}))
        return
    assert answer.status_code < 300, answer.text
