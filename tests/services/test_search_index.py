"""Searching among many tasks finds what going through all of them finds, whatever the index knows already."""

import random
from functools import partial

import pytest
from pydantic_core import to_json
from sqlalchemy import text

from database import database
from models import Caller, tasks
from schemas.tasks import TaskFilters, TaskSearch
from services import search_index, task_service, transfer_service
from tests.api import Api
from text import fold

WORDS = [
    "alpha",
    "Beta",
    "GAMMA",
    "straße",
    "naïve",
    "東京都",
    "x_y",
    "50%",
    "🙂🙂",
    "back\\slash",
    'quo"te',
    "ab",
]


# The limits, so small that a few hundred tasks are beyond them.
SMALLER = {
    "MANY_TASKS": 100,
    "FEW_FOUND": 60,
    "FEW_SCANNED": 20,
    "FEW_IN_RANGE": 50,
    "WORTHWHILE": 50,
    "ROUND": 150,
}


@pytest.fixture
def owner(api: Api, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Somebody with so many tasks that the index is asked, some titles rare and some frequent."""
    for name, value in SMALLER.items():
        monkeypatch.setattr(search_index, name, value)
    ada = api.person()
    choice = random.Random(7)  # noqa: S311  # the same titles every time
    titles = [f"{choice.choice(WORDS)} task {number} {choice.choice(WORDS)}" for number in range(400)]
    titles[17], titles[170] = "A rare zanzibar", "ZANZIBAR again"
    rows = [
        {"title": title, "due_at": f"20{10 + number % 30}-01-01T00:00:00Z"}
        for number, title in enumerate(titles)
    ]
    parsed = transfer_service.parse_json(to_json(rows))
    me = Caller(ada.id, "ada", "ada@example.com", is_active=True, role="member", created_at=parsed[0].due_at)  # type: ignore[arg-type]
    database.write(lambda db: transfer_service.import_tasks(db, me, parsed))
    return me


def found(owner: Caller, filters: TaskFilters) -> list[int]:
    """The ids on all pages, by keyset."""
    ids: list[int] = []
    while True:
        page = database.read(partial(task_service.get_tasks_with_filters, user=owner, filters=filters))
        ids += [row.id for row in page.rows]
        if page.next_cursor is None:
            return ids
        filters = filters.model_copy(update={"cursor": page.next_cursor})


def expected(owner: Caller, needle: str) -> list[int]:
    """The same by going through all the titles in Python."""
    rows = database.read(lambda db: db.execute(tasks.select().where(tasks.c.user_id == owner.id)).all())
    hits = [row for row in rows if fold(needle) in fold(row.title)]
    return [row.id for row in sorted(hits, key=lambda row: (row.created_at, row.id), reverse=True)]


NEEDLES = [
    "zanzibar",
    "ALPHA",
    "STRASSE",
    "task 31",
    "京都",
    "_",
    "%",
    "\\s",
    "🙂",
    'o"t',
    "ab",
    "nothing like it",
    "a t",
]


def test_search_among_many_tasks_is_exact(owner: Caller) -> None:
    for needle in NEEDLES:
        assert found(owner, TaskSearch(query=needle, limit=40)) == expected(owner, needle), needle


def test_search_is_exact_after_titles_were_indexed_changed_and_deleted(owner: Caller) -> None:
    def index_all() -> None:
        while database.read(search_index.waits):
            database.write(search_index.index_titles)

    index_all()
    database.write(lambda db: task_service.update_task(db, owner, 18, {"title": "now without"}))
    database.write(lambda db: task_service.update_task(db, owner, 30, {"title": "now with Zanzibar"}))
    database.write(lambda db: task_service.delete_task(db, owner, 171))
    assert found(owner, TaskSearch(query="zanzibar")) == [30] == expected(owner, "zanzibar")
    if database.is_sqlite:
        database.write(search_index.index_titles)
        assert (
            database.read(lambda db: db.execute(text("SELECT count(*) FROM task_search_pending")).scalar())
            == 0
        )
    for needle in NEEDLES:
        assert found(owner, TaskSearch(query=needle, limit=40)) == expected(owner, needle), needle


def test_ranges_wide_and_narrow_give_the_same_rows(owner: Caller) -> None:
    for bound in ("2011-01-01T00:00:00Z", "2030-01-01T00:00:00Z"):
        for name in ("due_after", "due_before"):
            ids = found(owner, TaskFilters.model_validate({name: bound, "limit": 50}))
            both = found(owner, TaskFilters(limit=50))
            rows = database.read(lambda db: db.execute(tasks.select()).all())
            due = {row.id: row.due_at for row in rows}
            limit = TaskFilters.model_validate({name: bound}).model_dump()[name]
            assert ids == [i for i in both if (due[i] >= limit) == (name == "due_after")]
