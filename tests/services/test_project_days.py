"""The days on which a project's tasks were made tell where its lists begin."""

import itertools
import random
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Connection, text

from database import database
from models import tasks
from schemas.tasks import TaskFilters
from services.lists import on_postgres, pages, planned, planning
from services.lists.lookups import RANGES
from services.lists.project_days import day_of, project_days
from services.query.shapes import Place
from tests.support.api import Api
from tests.support.between import before_statement

# Day 0 has the times of two days, because the databases round towards zero.
FIRST = datetime(1969, 12, 20, tzinfo=UTC)
TIMES = ("created_at", "updated_at", "due_at", "completed_at")
ORDERS = (*TIMES, "title", "priority", "id")
LISTS = list(product(ORDERS, ("asc", "desc"), RANGES))
SIZES = {
    planning: {"MANY_TASKS": 30, "FEW_IN_RANGE": 8},
    planned: {"NEAR": 20, "NEAR_COVERED": 8, "NEAR_GATHERED": 10, "NEAR_IN_INDEX": 12, "MANY_IN_RANGE": 25},
    on_postgres: {"NEAR": 10, "FARTHER": 40},
}


@pytest.fixture
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a list of some dozens of tasks read like a long one."""
    for module, sizes in SIZES.items():
        for name, size in sizes.items():
            monkeypatch.setattr(module, name, size)


def random_task(chance: random.Random, *, in_order: bool) -> dict[str, Any]:
    """A task made within three weeks; its other times are near, and after one another if they are in order."""
    created = FIRST + timedelta(days=21) * chance.random()
    changed, done = sorted(
        created + timedelta(days=chance.uniform(0 if in_order else -9, 9)) for _ in range(2)
    )[::-1]
    is_done = chance.random() < 0.6
    return {
        "title": (title := chance.choice("abcdefgh")),
        "title_folded": title,
        "status": "completed" if is_done else "pending",
        "state": "completed" if is_done else "pending",
        "priority": chance.randrange(5),
        "created_at": created,
        "updated_at": changed,
        "due_at": created + timedelta(days=chance.uniform(0, 9)) if chance.random() < 0.5 else None,
        "completed_at": done if is_done else None,
    }


def fill(db: Any, owner_id: int, project_id: int | None, rows: list[dict[str, Any]]) -> None:
    place = {"user_id": owner_id, "project_id": project_id}
    private = {} if project_id is not None else {"state": None}
    for row in rows:
        db.execute(tasks.insert().values(**row, **place).values(**private))


def encloses(row: Any, task: Any) -> bool:
    """Whether a row of a day encloses a task."""
    for name in ("id", "updated_at", "due_at", "completed_at"):
        value, first, last = getattr(task, name), getattr(row, f"first_{name}"), getattr(row, f"last_{name}")
        if value is not None and (first is None or not first <= value <= last):
            return False
    return True


def test_the_days_enclose_the_tasks_after_any_changes(api: Api) -> None:
    ada, chance = api.person(), random.Random(3)  # noqa: S311  # the same changes every time
    projects = [ada.post("/projects", json={"name": name}).json()["id"] for name in "ab"]

    def change(db: Any) -> None:
        for place in (*projects, None):
            fill(db, ada.id, place, [random_task(chance, in_order=False) for _ in range(60)])
        for task_id in db.execute(text("SELECT id FROM tasks")).scalars().all():
            at, kind = tasks.c.id == task_id, chance.random()
            new = random_task(chance, in_order=False)
            if kind < 0.2:
                db.execute(tasks.delete().where(at))
            elif kind < 0.5:
                place = chance.choice((*projects, None))
                db.execute(tasks.update().where(at).values(project_id=place, state=place and "pending"))
            elif kind < 0.8:
                changed = {name: new[name] for name in (*TIMES, "status")}
                db.execute(tasks.update().where(at).values(**changed))

    database.write(change)
    here = tasks.c.project_id.is_not(None)
    found = database.read(lambda db: db.execute(tasks.select().where(here)).all())
    kept = database.read(lambda db: db.execute(project_days.select()).all())
    assert len({(task.project_id, task.created_at.date()) for task in found}) > 30
    for task in found:
        days = [
            row for row in kept if (row.project_id, row.day) == (task.project_id, day_of(task.created_at))
        ]
        assert any(encloses(row, task) for row in days), (task, days)
    database.write(lambda db: db.execute(text("DELETE FROM tasks")))
    for project in projects:
        assert ada.delete(f"/projects/{project}?tasks=delete").status_code == 204
    assert database.read(lambda db: db.execute(text("SELECT count(*) FROM project_days")).scalar()) == 0


def listed(project_id: int, asked: dict[str, Any], owner_id: int | None = None) -> Iterator[int]:
    """The ids on all pages of a project's list, or of an owner's tasks in a project."""
    filters = TaskFilters.model_validate({"project_id": project_id, **asked})
    place = Place(project_id=project_id) if owner_id is None else Place(owner_id)
    while True:
        page = database.read(partial(pages.page, place=place, filters=filters))
        yield from (row.id for row in page.rows)
        if page.next_cursor is None:
            return
        filters = filters.model_copy(update={"cursor": page.next_cursor, "skip": 0})


def expected(rows: Sequence[Any], asked: dict[str, Any]) -> list[int]:
    """The same ids by a plain reading."""
    for name in set(RANGES) & set(asked):
        column, compare = RANGES[name]
        kept = [(row, getattr(row, column.key)) for row in rows]
        rows = [row for row, value in kept if value is not None and compare(value, asked[name])]
    if "priority" in asked:
        rows = [row for row in rows if row.priority in asked["priority"]]
    values = [(getattr(row, asked["sort_by"]), row.id) for row in rows]
    is_down = asked["sort_order"] == "desc"
    there = sorted((each for each in values if each[0] is not None), reverse=is_down)
    missing = sorted((each for each in values if each[0] is None), key=lambda each: each[1], reverse=is_down)
    return [each[1] for each in there + missing][asked.get("skip", 0) :]


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize(
    ("in_order", "number"),
    [
        (True, 50),
        *(pytest.param(each, len(LISTS), marks=pytest.mark.thorough) for each in (True, False)),
    ],
)
def test_a_list_with_ranges_has_what_a_plain_reading_finds(api: Api, number: int, *, in_order: bool) -> None:
    ada, chance = api.person(), random.Random(5)  # noqa: S311  # the same tasks every time
    project, other = (ada.post("/projects", json={"name": name}).json()["id"] for name in "ab")

    def make(db: Any) -> None:
        for _ in range(30):
            for place, count in ((project, 5), (other, 1)):
                fill(db, ada.id, place, [random_task(chance, in_order=in_order) for _ in range(count)])

    database.write(make)
    here = tasks.select().where(tasks.c.project_id == project)
    rows = database.read(lambda db: db.execute(here).all())
    assert len(rows) == 150
    for sort_by, sort_order, name in chance.sample(LISTS, number):
        asked: dict[str, Any] = {
            "sort_by": sort_by,
            "sort_order": sort_order,
            "limit": chance.choice((5, 40)),
        }
        for each in {name, *chance.sample(list(RANGES), chance.choice((0, 0, 1, 2)))}:
            asked[each] = FIRST + timedelta(
                days=chance.choice((-1, 4, 9, 12, 17, 40)), hours=chance.randrange(24)
            )
        if chance.random() < 0.2:
            asked["skip"] = chance.choice((1, 30))
        if chance.random() < 0.2:
            asked["priority"] = chance.sample(range(5), 2)
        assert list(listed(project, asked)) == expected(rows, asked), asked
        if chance.random() < 0.3:
            # An admin may list an owner's tasks in a project.
            assert list(listed(project, asked, ada.id)) == expected(rows, asked), asked


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_on_postgres_writers_widen_a_day_without_waiting_for_each_other(api: Api) -> None:
    ada, chance = api.person(), random.Random(7)  # noqa: S311  # the same task every time
    project = ada.post("/projects", json={"name": "a"}).json()["id"]
    row = {
        **random_task(chance, in_order=True),
        "created_at": FIRST,
        "user_id": ada.id,
        "project_id": project,
    }
    days = project_days.select().where(project_days.c.project_id == project)

    def add(connection: Connection, due: int) -> None:
        connection.execute(tasks.insert().values(**row | {"due_at": FIRST + timedelta(days=due)}))

    def last_due() -> list[datetime]:
        return sorted(day.last_due_at for day in database.read(lambda db: db.execute(days).all()))

    with ExitStack() as opened:
        first = opened.enter_context(database.engine.connect())
        add(first, 1)
        first.commit()
        assert len(last_due()) == 1
        add(first, 10)
        # Transactions wait for each other at the counts of tasks if their numbers agree in this.
        slot = "SELECT mod(pg_backend_pid(), 16)"
        second = first
        while second.exec_driver_sql(slot).scalar() == first.exec_driver_sql(slot).scalar():
            second = opened.enter_context(database.engine.connect())
        second.exec_driver_sql("SET lock_timeout = '20s'")
        add(second, 20)
        first.rollback()
        second.commit()
        add(first, 30)
        first.commit()
    last = last_due()
    assert len(last) == 2
    for due in (1, 20, 30):
        assert any(day >= FIRST + timedelta(days=due) for day in last)


RARE = {
    "ranges": {
        "due_after": (FIRST + timedelta(days=3)).isoformat(),
        "created_before": (FIRST + timedelta(days=17)).isoformat(),
    },
    "text": {"title_contains": "a"},
    "far": {"filter": "title != a and not title in (b, c, d)"},
}
BOTH_WAYS = list(product(("updated_at", "title"), ("desc", "asc")))


@pytest.mark.usefixtures("_few_are_many")
@pytest.mark.parametrize("which", RARE)
@pytest.mark.parametrize(
    ("orders", "in_project"),
    [
        ([("updated_at", "desc"), ("title", "asc")], True),
        *(pytest.param(BOTH_WAYS, each, marks=pytest.mark.thorough) for each in (True, False)),
    ],
)
def test_pages_have_every_task_that_stays_in_a_list_while_others_change(
    api: Api, which: str, orders: list[tuple[str, str]], *, in_project: bool
) -> None:
    ada, chance = api.person(), random.Random(9)  # noqa: S311  # the same tasks every time
    project = ada.post("/projects", json={"name": "a"}).json()["id"]
    days = itertools.count(1)

    def make(db: Any) -> None:
        fill(db, ada.id, project, [random_task(chance, in_order=True) for _ in range(200)])

    def change(edited: int, deleted: int) -> None:
        now = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=next(days))
        with database.engine.begin() as connection:
            connection.execute(tasks.update().where(tasks.c.id == edited).values(updated_at=now))
            connection.execute(tasks.delete().where(tasks.c.id == deleted))

    def rest(path: str) -> list[int]:
        return [row["id"] for row in ada.get(path.replace("limit=3", "limit=500")).json()]

    database.write(make)
    for sort_by, sort_order in orders:
        params = {"sort_by": sort_by, "sort_order": sort_order, "limit": 3, **RARE[which]}
        params |= {"project_id": project} if in_project else {}
        path = f"/tasks?{urlencode(params)}"
        for number in range(2, 20):
            there = rest(path)
            with before_statement(number, partial(change, there[0], there[1])) as statements:
                first = ada.get(path)
            if len(statements) < number:
                assert number > 2
                break
            found = {row["id"] for row in first.json()}
            found |= set(rest(first.links["next"]["url"])) if "next" in first.links else set()
            assert set(there) - {there[1]} <= found, (params, number, statements)
