"""The counts that triggers keep equal a recount after thousands of random changes."""

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from sqlalchemy import text

from database import database
from models import Caller
from schemas.tasks import TaskImport
from services import task_service
from services.tasks import importing
from tests.support.api import Api

STATUSES = ("pending", "in_progress", "completed")
PROJECTS = ("General", "b", "ç")
TAGS = ("x", "y", "ü")
CHANGES = {"sqlite": 1000, "postgresql": 500}


def random_task(random: Random) -> dict[str, Any]:
    return {
        "title": random.choice("abc"),
        "description": None,
        "status": random.choice(STATUSES),
        "priority": random.randrange(5),
        "project": random.choice(PROJECTS),
        "tags": random.sample(TAGS, random.randrange(3)),
        "due_at": None,
    }


class Changes:
    """Makes random changes through the services, and knows the result."""

    def __init__(self, callers: list[Caller]) -> None:
        self.random = Random(11)  # noqa: S311  # no secret
        self.callers = callers
        self.owners: dict[int, int] = {}

    def make(self, db: Any, number: int) -> None:
        """Make `number` changes in one transaction."""
        # The database may run the work again, and it must then do the same.
        state, owners = self.random.getstate(), dict(self.owners)
        try:
            for _ in range(number):
                self._change(db)
        except BaseException:
            self.random.setstate(state)
            self.owners = owners
            raise

    def _change(self, db: Any) -> None:
        random, kind, other = self.random, self.random.random(), self.random.randrange(3)
        if not self.owners or kind < 0.35:
            self.owners[task_service.create_task(db, self.callers[other], random_task(random)).id] = other
            return
        task_id = random.choice(list(self.owners))
        caller = self.callers[self.owners[task_id]]
        if kind < 0.75:
            values = random_task(random)
            sent = {name: values[name] for name in random.sample(list(values), 3)}
            task_service.update_task(db, caller, task_id, sent)
        elif kind < 0.85:
            task_service.assign_task(db, caller, task_id, self.callers[other].id)
            self.owners[task_id] = other
        elif kind < 0.99:
            task_service.delete_task(db, caller, task_id)
            del self.owners[task_id]
        else:
            rows = [TaskImport(**random_task(random)) for _ in range(5)]
            importing.import_tasks(db, self.callers[other], rows)
            found = db.execute(text("SELECT id FROM tasks ORDER BY id DESC LIMIT 5")).scalars().all()
            self.owners.update(dict.fromkeys(found, other))


def recounted(tasks: Any) -> dict[tuple[Any, ...], dict[str, int]]:
    """The number of tasks by status: for each owner, for each owner's project, and in all."""
    counts: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for row in tasks:
        for key in ((row.user_id,), (row.user_id, row.project), ()):
            counts[key][row.status] += 1
    return {key: {status: found[status] for status in STATUSES} for key, found in counts.items()}


def kept_in(db: Any, table: str, columns: tuple[str, ...]) -> dict[tuple[Any, ...], dict[str, int]]:
    """The same numbers, as a table keeps them."""
    sums = ", ".join(f"sum({status}) AS {status}" for status in STATUSES)
    group = f" GROUP BY {', '.join(columns)}" if columns else ""
    rows = db.execute(text(f"SELECT {', '.join((*columns, sums))} FROM {table}{group}"))
    kept = {
        tuple(row[: len(columns)]): dict(zip(STATUSES, map(int, row[len(columns) :]), strict=True))
        for row in rows
    }
    return {key: counts for key, counts in kept.items() if any(counts.values())}


@pytest.mark.parametrize("times", [1, pytest.param(8, marks=pytest.mark.thorough)])
def test_random_changes_are_counted_right(api: Api, times: int) -> None:
    sql = text("SELECT id, username, email, is_active, role FROM users ORDER BY id")
    for name in ("ada", "bob", "cyd"):
        api.person(name)
    now = datetime.now(UTC)
    callers = [
        Caller(row.id, row.username, row.email, row.is_active, row.role, now)
        for row in database.read(lambda db: db.execute(sql).all())
    ]
    changes = Changes(callers)
    for _ in range(CHANGES[database.engine.dialect.name] * times // 250):
        database.write(lambda db: changes.make(db, 250))

    def check(db: Any) -> None:
        tasks = db.execute(text("SELECT id, user_id, project, status, tags FROM tasks")).all()
        assert {row.id: row.user_id for row in tasks} == {
            task_id: callers[owner].id for task_id, owner in changes.owners.items()
        }
        right = recounted(tasks)
        for table, columns in (
            ("owner_counts", ("user_id",)),
            ("project_counts", ("user_id", "project")),
            ("system_counts", ()),
        ):
            assert kept_in(db, table, columns) == {
                key: counts for key, counts in right.items() if len(key) == len(columns)
            }
        tagged = db.execute(text("SELECT task_id, user_id, tag FROM task_tags")).all()
        lists = [(row, row.tags if isinstance(row.tags, list) else json.loads(row.tags)) for row in tasks]
        assert sorted(map(tuple, tagged)) == sorted(
            (row.id, row.user_id, tag) for row, tags in lists for tag in set(tags)
        )

    database.read(check)
