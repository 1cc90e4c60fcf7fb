"""Figures of random histories, compared with those that a plain replay of the history gives."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import pytest
import time_machine
from sqlalchemy import select

from config import settings
from database import database
from models import tasks
from tables.history import task_history
from tests.routers.test_projects import add, project
from tests.support.api import Api, Person
from tests.support.flow import STATUSES, assert_durations, figures

# The clocks of Berlin change three days later.
START = datetime(2026, 3, 26, 8, tzinfo=UTC)


class Stretch(NamedTuple):
    """A status of a task from a moment on, with its place there; the owner is None after its end."""

    start: datetime
    status: str
    owner: int | None
    project: int | None


def change_something(
    person: Person, people: list[Person], made: int, ids: list[int], chance: random.Random
) -> None:
    what = chance.choice(("create", "delete", "import", *["status"] * 5, *["assign"] * 3, *["move"] * 2))
    if what == "create" or not ids:
        place: dict[str, Any] = chance.choice(({}, {}, {"project_id": made}))
        ids.append(person.task(status=chance.choice(STATUSES), **place)["id"])
        return
    # Some changes are refused, because the task is somebody else's or gone.
    path = f"/tasks/{chance.choice(ids)}"
    if what == "status":
        person.patch(path, json={"status": chance.choice(STATUSES)})
    elif what == "assign":
        person.put(f"{path}/assign?assigned_user_id={chance.choice(people).id}")
    elif what == "move":
        person.patch(path, json={"project_id": chance.choice((None, made))})
    elif what == "delete":
        person.delete(path)
    else:
        created = START - timedelta(days=chance.randint(2, 9))
        row = {"title": "old", "created_at": created.isoformat(), "status": chance.choice(STATUSES)}
        if row["status"] == "completed":
            row["completed_at"] = (created + timedelta(hours=chance.randint(0, 40))).isoformat()
        ids += person.post("/tasks/import", json=[row]).json()["ids"]


def lives() -> dict[int, list[Stretch]]:
    """The stretches of each task's life, by the history."""
    statement = select(task_history).where(task_history.c.task_id.is_not(None)).order_by(task_history.c.id)
    found: dict[int, list[Stretch]] = {}
    for row in database.read(lambda db: db.execute(statement).all()):
        life, at = found.setdefault(row.task_id, []), row.task_created_at or row.created_at
        if row.kind == "imported" and row.task_completed_at is not None:
            life.append(Stretch(at, "pending", row.owner_id, row.project_id))
            at = row.task_completed_at
        life.append(Stretch(at, row.status, row.owner_id, row.project_id))
    return found


def counted(found: dict[int, list[Stretch]], moment: datetime, *, mine: Callable[[Stretch], bool]) -> Any:
    """The number of tasks in each status just before a moment."""
    last = [[each for each in life if each.start < moment][-1:] for life in found.values()]
    there = [each.status for stretches in last for each in stretches if mine(each)]
    return {status: there.count(status) for status in STATUSES}


def spent(life: list[Stretch], status: str, until: datetime) -> float:
    """The seconds in a status until a moment."""
    stops = [*(min(each.start, until) for each in life[1:]), until]
    stretches = zip(life, stops, strict=True)
    return sum(
        max((stop - each.start).total_seconds(), 0) for each, stop in stretches if each.status == status
    )


def check(person: Person, query: str, mine: Callable[[Stretch], bool]) -> None:
    found = lives()
    period = f"from=2026-03-16&tz=Europe/Berlin&{query}"
    for part in figures(person, f"cumulative-flow?interval=day&{period}")["intervals"]:
        expected = counted(found, datetime.fromisoformat(part["ends_at"]), mine=mine)
        assert {status: part[status] for status in STATUSES} == expected, part
    rows = database.read(lambda db: db.execute(select(tasks)).all())
    here = {row.id: row for row in rows if mine(found[row.id][-1])}
    begun = {
        row.id: next((each.start for each in found[row.id] if each.status == "in_progress"), row.created_at)
        for row in here.values()
    }
    aging = figures(person, f"aging?{period}")["tasks"]
    assert {task["id"]: datetime.fromisoformat(task["since"]) for task in aging} == {
        row.id: begun[row.id] for row in here.values() if row.status != "completed"
    }
    done = [row for row in here.values() if row.status == "completed"]
    took = [max((row.completed_at - begun[row.id]).total_seconds(), 0) for row in done]
    assert_same(figures(person, f"cycle-times?{period}")["cycle_time"], took)
    for part in figures(person, f"time-in-status?{period}")["statuses"]:
        times = [spent(found[row.id], part["status"], row.completed_at) for row in done]
        assert_same(part, [each for each in times if each])


def assert_same(found: dict[str, Any], seconds: list[float]) -> None:
    assert found["n"] == len(seconds)
    if seconds:
        assert_durations(found, seconds)


@pytest.mark.one_database
@pytest.mark.parametrize(
    "seed", [3, *(pytest.param(each, marks=pytest.mark.thorough) for each in range(4, 14))]
)
def test_figures_are_those_of_a_plain_replay(api: Api, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    monkeypatch.setattr(settings, "access_token_expire_minutes", 60 * 24 * 90)
    chance = random.Random(seed)  # noqa: S311  # the same changes each time
    with time_machine.travel(START, tick=False) as traveller:
        ada, bob, root = api.person(), api.person("bob"), api.person("root", admin=True)
        made = project(ada)["id"]
        add(ada, made, bob, "manager")
        ids: list[int] = []
        for _ in range(80):
            traveller.shift(timedelta(hours=chance.choice((0, 1, 3, 9, 15))))
            change_something(chance.choice((ada, bob)), [ada, bob], made, ids, chance)
        for person in (ada, bob):
            check(person, "", lambda each, person=person: each.owner == person.id)  # type: ignore[misc]
        check(bob, f"project_id={made}", lambda each: each.owner is not None and each.project == made)
        check(root, "scope=all", lambda each: each.owner is not None)
