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
# Stands for what only reading the whole record would find out: the time at which task 1 was made.
MARK = -12345


def record_of(person: Person) -> Record:
    return database.read(lambda db: history.read(db, Selection(person.id)))


def assert_same(found: Record, expected: Record) -> None:
    """The records give the same figures: what becomes of a task after it has left is not among these."""
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


@pytest.mark.parametrize("seed", [1, 2])
def test_a_kept_record_equals_a_new_one_after_random_changes(api: Api, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311  # the same changes each time
    people = [api.person("ada"), api.person("bob")]
    owners: dict[int, Person] = {}
    for step in range(60):
        person = chance.choice(people)
        change_something(person, people, owners, chance)
        if step % 3 == 0 or chance.random() < 0.3:
            found = [record_of(each) for each in people]
            kept = dict(history.kept._entries)  # noqa: SLF001  # put back below
            history.clear()
            for each, one in zip(people, found, strict=True):
                assert_same(one, record_of(each))
            history.clear()
            for key, (version, value, _) in kept.items():
                history.kept.put(key, value, version)


def change_something(
    person: Person, people: list[Person], owners: dict[int, Person], chance: random.Random
) -> None:
    own = [task for task, owner in owners.items() if owner is person]
    what = chance.choice(
        ("create", "status", "status", "text", "assign", "delete", "batch", "import", "past")
    )
    if what == "create" or not own:
        owners[person.task(status=chance.choice(STATUSES))["id"]] = person
        return
    task = chance.choice(own)
    if what == "status":
        answer = person.patch(f"/tasks/{task}", json={"status": chance.choice(STATUSES)})
    elif what == "text":
        answer = person.patch(f"/tasks/{task}", json={"title": f"title {chance.random()}"})
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
        statement = text("UPDATE tasks SET status = 'pending', completed_at = NULL WHERE id = :task")
        database.write(lambda db: db.execute(statement, {"task": task}))
        return
    assert answer.status_code < 300, answer.text
