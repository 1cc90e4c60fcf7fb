"""Batches that are worked out before their transaction have the same effect as those worked out in it."""

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import TypeAdapter
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import database
from models import Caller
from schemas.batch import Batch
from services.tasks import batch_ahead
from services.tasks.batch_ahead import WorkedOut
from tests.support.api import Api, Person

TIMES = frozenset({"created_at", "updated_at", "completed_at"})


# Postgres has many writers, so nothing is worked out before a transaction there.
pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture(autouse=True)
def _small_ones_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_ahead, "LARGE", 1)


def create(title: str, **fields: Any) -> dict[str, Any]:
    return {"op": "create", "task": {"title": title, **fields}}


def parsed(*operations: Any, **options: Any) -> Batch:
    return TypeAdapter(Batch).validate_python({"operations": list(operations), **options})


def caller(person: Person, role: str = "member") -> Caller:
    return Caller(person.id, person.username, f"{person.username}@example.com", True, role, datetime.now(UTC))  # noqa: FBT003  # a tuple


def worked_out(person: Person, *operations: Any, **options: Any) -> WorkedOut:
    user, body = caller(person), parsed(*operations, **options)
    assert batch_ahead.pays(body)
    made = database.read(lambda db: batch_ahead.work_out(db, user, body))
    assert made is not None
    return made


def ids_of(made: WorkedOut, after: int | None) -> list[int]:
    """The ids of a batch's tasks, after it was written."""
    assert after is not None
    ids: list[int] = [each.task.id for each in made.outcomes.results if each.task]
    return [task_id if task_id > 0 else task_id + after for task_id in ids]


def test_it_does_what_it_would_do_in_its_transaction(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    other = api.person("other")
    for _ in range(5):
        other.task()  # These tasks keep the ids of later ones apart from those of accounts.
    ahead = _all_kinds(api.person("ada"))
    monkeypatch.setattr(batch_ahead, "LARGE", 1_000_000)
    within = _all_kinds(api.person("bob"))
    assert ahead == within
    statuses = [each["status"] for each in ahead["results"]]
    assert statuses == [201, 200, 200, 412, 200, 200, 409, 201, 422]


def _all_kinds(person: Person) -> dict[str, Any]:
    """The answer and the effects of a batch of all kinds of operations, in a form that two batches share."""
    first, second, third = (person.task(f"Task {number}", tags=["x"])["id"] for number in range(3))
    operations = [
        create("New", status="completed", tags=["a", "b"], due_at="2026-12-01T00:00:00Z"),
        {"op": "update", "id": first, "if_match": f'"{first}-1"', "task": {"status": "completed"}},
        {"op": "update", "id": first, "task": {"title": "Renamed"}},
        {"op": "update", "id": second, "if_match": f'"{second}-7"', "task": {"title": "Too late"}},
        {"op": "update", "id": second, "task": {"title": "Task 1"}},
        {"op": "delete", "id": third},
        {"op": "update", "id": second, "task": {"updated_at": "2020-01-01T00:00:00Z"}},
        create("Last", description='Ärger: {"id":-1}'),
        {"op": "create", "task": {"title": ""}},
    ]
    answer = person.post("/tasks/batch", json={"atomic": False, "operations": operations})
    assert answer.status_code == 200, answer.text
    ids = {first: "first", second: "second", third: "third", person.id: "me"}
    ids |= {each["id"]: each["title"] for each in person.get("/tasks?limit=100").json()}
    return {
        "results": _plain(answer.json()["results"], ids),
        "tasks": _plain(person.get("/tasks?limit=100").json(), ids),
        "found": _plain(person.get("/tasks?tag=a").json(), ids),
        "events": _plain(person.get("/events?limit=100").json(), ids),
        "notifications": _plain(person.get("/notifications?limit=100").json(), ids),
        "figures": _plain(person.get("/analytics/me").json(), ids),
    }


def _plain(value: Any, ids: dict[int, str], name: str = "") -> Any:
    """A part of an answer without times, and with names in the place of ids."""
    if isinstance(value, dict):
        left_out = TIMES | {"timestamp", "request_id", "username", "read_at", "detail"}
        if "title" not in value:
            # These are the numbers of events and notifications.
            left_out |= {"id"}
        return {key: _plain(each, ids, key) for key, each in value.items() if key not in left_out}
    if isinstance(value, list):
        return [_plain(each, ids) for each in value]
    if name in ("id", "task_id", "user_id", "actor_id", "from", "to"):
        return ids.get(value, "other") if isinstance(value, int) else value
    return value


def test_ids_follow_those_that_others_took_meanwhile(api: Api) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    mine = ada.task("Mine")["id"]
    made = worked_out(
        ada, create("First"), {"op": "update", "id": mine, "task": {"title": "Changed"}}, create("Second")
    )
    taken = [bob.task(f"Bob's {number}")["id"] for number in range(3)][-1]
    assert ids_of(made, database.write(made.write)) == [taken + 1, mine, taken + 2]
    assert {each["id"]: each["title"] for each in ada.get("/tasks").json()} == {
        mine: "Changed",
        taken + 1: "First",
        taken + 2: "Second",
    }
    for task_id in (mine, taken + 1, taken + 2):
        assert ada.get(f"/tasks/{task_id}/history").json()[0]["task_id"] == task_id
    told = [each["task_id"] for each in ada.get("/notifications").json()]
    assert sorted(told) == [mine, taken + 1, taken + 2]


@pytest.mark.parametrize("change", ["changed", "deleted", "given away"])
def test_it_writes_nothing_once_a_task_has_changed(api: Api, change: str) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    mine = ada.task("Mine")["id"]
    made = worked_out(ada, create("New"), {"op": "update", "id": mine, "task": {"title": "Changed"}})
    answer = {
        "changed": lambda: ada.patch(f"/tasks/{mine}", json={"priority": 4}),
        "deleted": lambda: ada.delete(f"/tasks/{mine}"),
        "given away": lambda: ada.put(f"/tasks/{mine}/assign?assigned_user_id={bob.id}"),
    }[change]()
    assert answer.status_code == 200
    before = _counts()
    assert database.write(made.write) is None
    assert _counts() == before


def test_it_may_be_written_again_after_a_transaction_that_failed(api: Api) -> None:
    ada = api.person("ada")
    made = worked_out(ada, create("First"), create("Second"))

    def fail(db: Session) -> None:
        made.write(db)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        database.write(fail)
    assert ada.get("/tasks").json() == []
    last = ada.task("Between")["id"]
    assert ids_of(made, database.write(made.write)) == [last + 1, last + 2]
    assert {each["title"] for each in ada.get("/tasks").json()} == {"Between", "First", "Second"}


def test_what_needs_more_than_own_tasks_is_left_to_the_transaction(api: Api) -> None:
    ada, bob, root = api.person("ada"), api.person("bob"), api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Shared"}).json()["id"]
    shared, hers = ada.task(project_id=project)["id"], ada.task()["id"]
    for person, operation in (
        (ada, {"op": "update", "id": shared, "task": {"title": "x"}}),
        (bob, {"op": "delete", "id": hers}),
        (root, {"op": "delete", "id": hers}),
        (ada, {"op": "delete", "id": 1_000_000}),
        (ada, {"op": "update", "id": hers, "if_match": '"1-99"', "task": {"title": "x"}}),
    ):
        user, body = caller(person, "admin" if person is root else "member"), parsed(operation)
        assert batch_ahead.pays(body)
        assert database.read(lambda db: batch_ahead.work_out(db, user, body)) is None  # noqa: B023  # called at once
    assert not batch_ahead.pays(parsed(create("x", project_id=project)))
    assert not batch_ahead.pays(parsed({"op": "update", "id": hers, "task": {"project_id": project}}))
    assert not batch_ahead.pays(parsed({"op": "assign", "id": hers, "assigned_user_id": bob.id}))


def _counts() -> Any:
    tables = ("tasks", "task_history", "notifications", "task_tags")
    return [
        database.read(lambda db: db.execute(text(f"SELECT count(*) FROM {table}")).scalar())  # noqa: B023  # called at once
        for table in tables
    ]
