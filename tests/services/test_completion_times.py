"""Durations of tasks by the counts that the database keeps, compared with reading every duration."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from threading import Event, Thread
from time import monotonic
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import func, insert, select, text
from sqlalchemy.orm import Session

from database import database
from models import Caller, tasks
from services import completion_times, task_service
from services.tasks import import_files, importing
from tables.counts import duration_counts
from tests.support.api import Api, Person

NOW = datetime(2026, 5, 17, tzinfo=UTC)
# Durations of tasks in microseconds.
SPREADS: dict[str, Callable[[Random], int]] = {
    "at once": lambda _random: 0,
    "few alike": lambda random: random.choice((0, 0, 0, 5, 99, 3_600_000_000)),
    "alike": lambda random: 86_400_000_000 * random.randrange(3),
    "short": lambda random: random.randrange(300),
    "long": lambda random: int(random.expovariate(1 / 3e11)),
    "backwards": lambda random: random.randrange(-(10**9), 10**9),
    "centuries": lambda random: random.randrange(5 * 10**15, 6 * 10**15),
}


def make(db: Session, owner_id: int, durations: list[int]) -> None:
    """Insert completed tasks with these durations, past the API."""
    base = {"title": "x", "title_folded": "x", "priority": 0, "project": "General", "tags": [], "version": 1}
    base |= {"user_id": owner_id, "status": "completed"}
    rows = []
    for took in durations:
        done = NOW + timedelta(microseconds=took) if took < 10**15 else NOW
        rows.append(
            base
            | {"created_at": done - timedelta(microseconds=took), "updated_at": done, "completed_at": done}
        )
    if rows:
        db.execute(insert(tasks), rows)


def begin_earlier(db: Session, hours: int, where: str = "true") -> None:
    """Set the beginning of tasks back by this number of hours, or forward if it is negative."""
    much = f"{hours} * 3600000000" if database.is_sqlite else f"interval '{hours} hours'"
    db.execute(text(f"UPDATE tasks SET created_at = created_at - {much} WHERE {where}"))


def both_ways(owner: Person) -> list[Any]:
    """The figures by the counts, if the counts give any, and the figures by reading all durations."""
    return [
        database.read(partial(figures, user_id=owner.id))
        for figures in (completion_times.from_counts, completion_times.from_all)
    ]


@pytest.mark.parametrize("spread", SPREADS)
def test_the_counts_give_the_figures_that_all_durations_give(api: Api, spread: str) -> None:
    ada, random = api.person(), Random(spread)  # noqa: S311  # the same every time
    for number in (0, 1, 1, 2, 17, 400):
        durations = [SPREADS[spread](random) for _ in range(number)]
        database.write(partial(make, owner_id=ada.id, durations=durations))
        by_counts, by_all = both_ways(ada)
        assert by_counts == by_all
    assert both_ways(ada)[0]["total_completed_tasks"] == 421


def test_where_many_took_equally_long_all_are_read(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_times, "FEW_STEPS", 10)
    ada = api.person()
    database.write(partial(make, owner_id=ada.id, durations=[3_600_000_000] * 20 + [0] * 20))
    by_counts, by_all = both_ways(ada)
    assert by_counts is None
    assert database.read(partial(completion_times.get_stats, user_id=ada.id)) == by_all
    assert by_all["average_completion_time_hours"] == 0.5


def test_many_that_took_no_time_are_not_gone_through(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(completion_times, "FEW_STEPS", 0)
    ada = api.person()
    database.write(partial(make, owner_id=ada.id, durations=[0] * 101))
    by_counts, by_all = both_ways(ada)
    assert by_counts == by_all


def test_the_counts_follow_every_change(api: Api) -> None:
    ada, bob, random = api.person("ada"), api.person("bob"), Random(5)  # noqa: S311
    callers = [
        Caller(each.id, "x", "x@example.com", is_active=True, role="member", created_at=NOW)
        for each in (ada, bob)
    ]
    database.write(
        partial(make, owner_id=ada.id, durations=[int(random.expovariate(1e-10)) for _ in range(300)])
    )

    def change(db: Session) -> None:
        for task_id in range(1, 301, 3):
            kind = random.randrange(5)
            if kind == 0:
                task_service.delete_task(db, callers[0], task_id)
            elif kind == 1:
                task_service.update_task(db, callers[0], task_id, {"status": "pending"})
            elif kind == 2:
                task_service.assign_task(db, callers[0], task_id, bob.id)
            elif kind == 3:
                task_service.update_task(db, callers[0], task_id, {"status": "in_progress"})
                task_service.update_task(db, callers[0], task_id, {"status": "completed"})
            else:
                begin_earlier(db, -1, f"id = {task_id}")
        # One statement that changes many, and one that changes none of the durations.
        db.execute(tasks.update().where(tasks.c.id > 250).values(user_id=bob.id))
        db.execute(tasks.update().values(priority=3))
        db.execute(tasks.delete().where(tasks.c.id > 290))
        rows = [{"title": "x", "status": "completed", "created_at": "2026-01-01T00:00:00Z"}] * 20
        importing.import_tasks(db, callers[1], import_files.parse_json(json.dumps(rows).encode()))

    database.write(change)
    for each in (ada, bob):
        by_counts, by_all = both_ways(each)
        assert by_counts == by_all
        assert by_all["total_completed_tasks"] > 50
    kept = select(duration_counts.c.user_id, func.sum(duration_counts.c.count)).group_by(
        duration_counts.c.user_id
    )
    counted = (
        select(tasks.c.user_id, func.count()).where(tasks.c.status == "completed").group_by(tasks.c.user_id)
    )

    def rows(statement: Any) -> list[Any]:
        return database.read(lambda db: sorted(tuple(row) for row in db.execute(statement)))

    assert rows(kept) == rows(counted)


def test_figures_are_of_one_moment_while_tasks_change(api: Api) -> None:
    """All tasks take one hour or, from one moment to the next, two: a reader never sees a mixture."""
    ada = api.person()
    database.write(partial(make, owner_id=ada.id, durations=[3_600_000_000] * 50))
    stop = Event()

    def change() -> None:
        hours = 1
        while not stop.is_set():
            database.write(partial(begin_earlier, hours=hours))
            hours = -hours

    writer = Thread(target=change)
    writer.start()
    seen: set[tuple[float, ...]] = set()
    try:
        deadline, reads = monotonic() + 60, 0
        # On a busy machine 300 reads may all fall between two writes.
        while reads < 300 or (len(seen) < 2 and monotonic() < deadline):
            figures = database.read(partial(completion_times.get_stats, user_id=ada.id))
            seen.add(tuple(figures[name] for name in figures if name.endswith("hours")))
            reads += 1
    finally:
        stop.set()
        writer.join()
    assert seen == {(1.0,) * 6, (2.0,) * 6}


@pytest.mark.usefixtures("api")
def test_on_postgres_the_counts_by_owner_are_locked_first() -> None:
    """Triggers fire in the order of their names. If the order differed between statements, writers would deadlock."""
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    named = text(
        "SELECT tgtype, array_agg(proname ORDER BY tgname) FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid,"
        # The triggers of rows keep the days of projects, and wait for nobody.
        " LATERAL (SELECT tgtype & 1 = 1 AS is_of_rows) AS _"
        " WHERE tgrelid = 'tasks'::regclass AND NOT tgisinternal AND NOT is_of_rows"
        " GROUP BY tgtype ORDER BY tgtype"
    )
    orders = [row[1] for row in database.read(lambda db: db.execute(named).all())]
    kinds = ("inserted", "deleted", "updated")
    assert sorted(orders) == sorted([f"tasks_{kind}", f"tasks_with_durations_{kind}"] for kind in kinds)


def test_an_older_database_is_counted_when_it_is_brought_up_to_date(api: Api) -> None:
    """The counts that the migration makes are those that the triggers keep."""
    ada = api.person()
    random = Random(6)  # noqa: S311
    database.write(
        partial(make, owner_id=ada.id, durations=[int(random.expovariate(1e-10)) for _ in range(99)])
    )
    sums = "sum(count), sum(seconds), sum(microseconds)"
    read = text(f"SELECT bucket, {sums} FROM duration_counts GROUP BY bucket ORDER BY bucket")
    before = database.read(lambda db: db.execute(read).all())
    config = Config("alembic.ini")

    def move(step: Callable[[Config, str], None], revision: str) -> None:
        with database.exclusive_connection() as connection:
            config.attributes["connection"] = connection
            step(config, revision)

    move(command.downgrade, "0011")
    move(command.upgrade, "head")
    assert database.read(lambda db: db.execute(read).all()) == before

    # Tasks that are written while the migration runs are counted too.
    move(command.downgrade, "0011")
    stop = Event()

    def write() -> None:
        while not stop.is_set():
            database.write(partial(make, owner_id=ada.id, durations=[int(random.expovariate(1e-10))]))

    writers = [Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    try:
        move(command.upgrade, "head")
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    by_counts, by_all = both_ways(ada)
    assert by_counts == by_all
    assert by_all["total_completed_tasks"] > 99
