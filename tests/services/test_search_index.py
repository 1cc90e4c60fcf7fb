"""Searching finds the same tasks as reading all of them, whichever part of the tasks the index has already."""

import json
import random
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import AnyRow, database
from models import Caller, tasks
from schemas.flow import FlowQuery
from schemas.tasks import ExportQuery, TaskFilters, TaskSearch
from services import task_service
from services.flow import question, selected
from services.lists import pages, planning, rare_titles, search_index
from services.query import facts
from services.query.fields import FIELDS
from services.query.normal import Circumstances, normalize
from services.query.shapes import Place
from services.query.syntax import parse
from services.tasks import exporting, import_files, importing
from storage.folding import fold, normal_form
from tests.support.api import Api

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


# Years before all tasks, between a few strays and the others, on both sides of 1970, in the middle, after all.
YEARS = (1940, 1959, 1969, 1971, 1975, 1990)
# The limits are so small that a few hundred tasks are beyond them.
SMALLER = {
    "MANY_TASKS": 100,
    "FEW_FOUND": 60,
    "FEW_OF_ALL": 60,
    "FEW_SCANNED": 20,
    "FEW_TAGGED": 30,
    "FEW_IN_RANGE": 50,
    "WORTHWHILE": 50,
    "ROUND": 150,
}


@pytest.fixture
def owner(api: Api, monkeypatch: pytest.MonkeyPatch) -> Caller:
    """Somebody with enough tasks for the index to be used; some titles are rare and some frequent."""
    for name, value in SMALLER.items():
        monkeypatch.setattr(search_index if hasattr(search_index, name) else planning, name, value)
    ada = api.person()
    choice = random.Random(7)  # noqa: S311  # the same titles every time
    titles = [f"{choice.choice(WORDS)} task {number} {choice.choice(WORDS)}" for number in range(400)]
    titles[17], titles[170] = "A rare zanzibar", "ZANZIBAR again"
    rows = [
        {"title": title, "due_at": f"20{10 + number % 30}-01-01T00:00:00Z"}
        for number, title in enumerate(titles)
    ]
    parsed = import_files.parse_json(to_json(rows))
    me = Caller(ada.id, "ada", "ada@example.com", is_active=True, role="member", created_at=parsed[0].due_at)  # type: ignore[arg-type]
    database.write(lambda db: importing.import_tasks(db, me, parsed))
    return me


def found(owner: Caller | None, filters: TaskFilters) -> list[int]:
    """The ids on all pages of an owner's list, or of everybody's, page by page behind the last task."""
    ids: list[int] = []
    while True:
        page = database.read(partial(pages.page, place=Place(owner and owner.id), filters=filters))
        ids += [row.id for row in page.rows]
        if page.next_cursor is None:
            return ids
        filters = filters.model_copy(update={"cursor": page.next_cursor})


def expected(owner: Caller | None, needle: str) -> list[int]:
    """The same ids by looking at all titles in Python."""
    rows = database.read(lambda db: db.execute(tasks.select()).all())
    rows = [row for row in rows if owner is None or row.user_id == owner.id]
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
    index_all()
    database.write(lambda db: task_service.update_task(db, owner, 18, {"title": "now without"}))
    database.write(lambda db: task_service.update_task(db, owner, 30, {"title": "now with Zanzibar"}))
    database.write(lambda db: task_service.delete_task(db, owner, 171))
    assert found(owner, TaskSearch(query="zanzibar")) == [30] == expected(owner, "zanzibar")
    if database.is_sqlite:
        database.write(search_index.index_titles)
        assert (
            database.read(lambda db: db.execute(text("SELECT count(*) FROM task_search_changes")).scalar())
            == 0
        )
    for needle in NEEDLES:
        assert found(owner, TaskSearch(query=needle, limit=40)) == expected(owner, needle), needle


@pytest.mark.parametrize(
    ("is_indexed", "rounds"),
    [
        pytest.param(False, 40, marks=pytest.mark.thorough),
        pytest.param(True, 40, marks=pytest.mark.thorough),
        (True, 20),
    ],
)
def test_texts_within_an_or_are_looked_up_and_found_exactly(
    owner: Caller, monkeypatch: pytest.MonkeyPatch, rounds: int, *, is_indexed: bool
) -> None:
    monkeypatch.setattr(rare_titles, "FEW", 60)
    monkeypatch.setattr(exporting, "EXPORT_CHUNK", 100)
    if is_indexed:
        index_all()
        # These are not in the index yet.
        database.write(lambda db: task_service.update_task(db, owner, 30, {"title": "now with Zanzibar"}))
        database.write(lambda db: task_service.update_task(db, owner, 171, {"title": "now without"}))
    words = [fold(word) for word in WORDS]
    rows = database.read(lambda db: db.execute(tasks.select().order_by(tasks.c.id)).all())
    chance, lengths = random.Random(5), set()  # noqa: S311  # the same filters every time
    for _ in range(rounds):
        texts = chance.sample([*words, "zanzibar", "task 31", "task 7", "nowhere", "bar", "a rare"], 3)
        sought = [json.dumps(each, ensure_ascii=False) for each in texts]
        shape, matches = chance.choice(SHAPES)
        asked = partial(
            task_service.get_tasks_with_filters,
            user=owner,
            filters=TaskFilters(
                filter=shape.format(*sought), limit=500, sort_by="id", sort_order="asc", total=True
            ),
        )
        page = database.read(asked)
        hits = [row.id for row in rows if matches(row, *(text in row.title_folded for text in texts))]
        assert [row.id for row in page.rows] == hits, (shape, texts)
        assert page.total == len(hits)
        everybodys = database.read(partial(asked, everybodys=True))
        assert [row.id for row in everybodys.rows] == hits
        text = asked.keywords["filters"].filter
        assert database.read(partial(ids_of_figures, user=owner, text=text)) == hits, text
        assert ids_of_export(owner, text) == hits, text
        lengths.add(len(hits))
    assert len(lengths) > 10
    normal = normalize(
        parse("title ~ zanzibar or title ~ nowhere"), Circumstances(owner.created_at, ZoneInfo("UTC"), 1, {})
    )
    became = database.read(partial(rare_titles.looked_up, normal=normal, place=Place(owner.id)))
    ids = (18, 30) if is_indexed else (18, 171)
    assert became == facts.Test(facts.OneOf(FIELDS["id"], ids)) or (database.is_sqlite and not is_indexed)


def ids_of_export(user: Caller, text: str) -> list[int]:
    export = database.read(lambda db: exporting.export_page(db, user, ExportQuery(filter=text)))
    ids, following = [row.id for row in export.first.rows], export.following
    while following is not None:
        part = database.read(following)
        ids += [row.id for row in part.rows]
        following = part.following
    return ids


def ids_of_figures(db: Session, user: Caller, text: str) -> list[int]:
    """The ids of the present tasks that flow figures with a filter are about."""
    query = FlowQuery.model_validate({"filter": text, "from": "2020-01-01", "to": "2020-12-31"})
    return sorted(selected.ids(db, question.ask(db, user, query).selection).tolist())


SHAPES: list[tuple[str, Any]] = [
    ("title ~ {} or title ~ {} or title ~ {}", lambda _, a, b, c: a or b or c),
    ("title ~ {} or not (title ~ {} and title ~ {})", lambda _, a, b, c: a or not (b and c)),
    (
        "(title ~ {} or id < 100) and (title !~ {} or title ~ {})",
        lambda row, a, b, c: (a or row.id < 100) and (not b or c),
    ),
    (
        "not (title ~ {} or title ~ {}) and (title ~ {} or id > 50)",
        lambda row, a, b, c: not (a or b) and (c or row.id > 50),
    ),
    ("title ~ {} and (title ~ {} or title ~ {})", lambda _, a, b, c: a and (b or c)),
]


def index_all() -> None:
    while database.read(search_index.waits):
        database.write(search_index.index_titles)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_new_titles_are_looked_up_by_their_ids_though_analyze_has_seen_few_tasks(api: Api) -> None:
    ada = api.person()
    for title in ("one", "two"):
        ada.task(title)
    database.write(lambda db: db.execute(text("ANALYZE")))
    statements = [str(each) for each in (search_index._TITLES, *search_index._INDEX)]  # noqa: SLF001
    joins = [each for each in statements if "JOIN tasks" in each]
    assert len(joins) == 3

    def plan(statement: str) -> list[str]:
        asked = text(f"EXPLAIN QUERY PLAN {statement}")
        return [row[3] for row in database.write(lambda db: db.execute(asked, {"last": 9}).all())]

    for each in joins:
        assert "SEARCH tasks USING INTEGER PRIMARY KEY (rowid=?)" in plan(each), plan(each)


def test_search_follows_a_task_to_its_new_owner(api: Api, owner: Caller) -> None:
    bob = api.person("bob")
    his = Caller(bob.id, "bob", "bob@example.com", is_active=True, role="member", created_at=owner.created_at)
    rows = import_files.parse_json(to_json([{"title": f"filler {number}"} for number in range(200)]))
    database.write(lambda db: importing.import_tasks(db, his, rows))
    index_all()
    database.write(lambda db: task_service.assign_task(db, owner, 18, his.id))
    for indexed in (False, True):
        if indexed and database.is_sqlite:
            database.write(search_index.index_titles)
        assert found(his, TaskSearch(query="zanzibar")) == [18], indexed
        assert found(owner, TaskSearch(query="zanzibar")) == [171], indexed
    if database.is_sqlite:
        for one, wanted in ((owner.id, [171]), (his.id, [18]), (None, [18, 171])):
            asked = partial(search_index.find, place=Place(one), needle="zanzibar", limit=9)
            assert database.read(asked) == wanted


def test_an_admin_finds_everybodys(api: Api, owner: Caller) -> None:
    bob = api.person("bob")
    database.write(lambda db: db.execute(tasks.update().where(tasks.c.id % 3 == 0).values(user_id=bob.id)))
    index_all()
    for needle in NEEDLES:
        assert found(None, TaskSearch(query=needle, limit=40)) == expected(None, needle), needle


def test_a_text_that_only_older_tasks_have_often_is_found(owner: Caller) -> None:
    def rename(db: Session) -> None:
        for number in range(1, 151):
            task_service.update_task(db, owner, number, {"title": f"An old habit {number}"})

    database.write(rename)
    index_all()
    for needle in ("old habit", "ha", "habit 150"):
        assert found(owner, TaskSearch(query=needle, limit=100)) == expected(owner, needle), needle


def test_a_pair_of_letters_is_found_in_a_project_whatever_stands_beside_it(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in SMALLER.items():
        monkeypatch.setattr(search_index if hasattr(search_index, name) else planning, name, value)
    ada, choice = api.person(), random.Random(11)  # noqa: S311  # the same titles every time
    project = ada.post("/projects", json={"name": "a"}).json()["id"]
    letters = "abqxz1 -_%.\tÜé東\N{COMBINING DIAERESIS}"
    random_titles = ["".join(choice.choices(letters, k=choice.randrange(2, 9))) for _ in range(400)]
    # The newest tasks tell how frequent a text is.
    titles = [normal_form(f"/{title}") for title in random_titles] + ["Other"] * 200

    def add(db: Session) -> None:
        row = {"user_id": ada.id, "project_id": project, "status": "pending", "state": "pending"}
        for number, title in enumerate(titles):
            made = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number)
            values = {"title": title, "title_folded": fold(title), "created_at": made, "updated_at": made}
            db.execute(tasks.insert().values(**row, **values))

    database.write(add)
    rows = database.read(lambda db: db.execute(tasks.select()).all())
    place, looked_up = Place(project_id=project), 0
    for needle in {*("".join(pair) for pair in product("abqxz1üé-", repeat=2)), "x東", "東", "ü", "q"}:
        filters = TaskFilters(
            project_id=project, title_contains=needle, limit=100, sort_by="id", sort_order="asc"
        )
        page = database.read(partial(pages.page, place=place, filters=filters))
        hits = sorted(row.id for row in rows if fold(needle) in row.title_folded)
        assert [row.id for row in page.rows] == hits[:100], needle
        planned = database.read(partial(planning.plan, place=place, filters=filters))
        looked_up += planned.task_ids is not None
    assert looked_up > 50


def test_two_letters_are_looked_up_wherever_they_stand(
    owner: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not database.is_sqlite:
        pytest.skip("the index is SQLite's")
    titles = {5: "qx first", 6: "in the middleqxmiddle", 7: "at the end qx", 8: "qx", 9: "q x"}
    for number, title in titles.items():
        values = {"title": title}
        database.write(partial(task_service.update_task, user=owner, task_id=number, values=values))
    index_all()
    database.write(search_index.index_titles)
    asked = partial(search_index.find, place=Place(owner.id), needle="qx", limit=50)
    assert database.read(asked) == [5, 6, 7, 8]
    # Two letters that begin very many trigrams are looked for in the titles.
    monkeypatch.setattr(search_index, "MOST_TRIGRAMS", 1)
    assert database.read(asked) is None
    assert found(owner, TaskSearch(query="qx")) == [8, 7, 6, 5] == expected(owner, "qx")


def test_tags_rare_and_frequent_are_listed_by_title(owner: Caller) -> None:
    def tag(db: Session) -> None:
        for number in range(1, 101):
            tags = ["frequent"] + ["rare"] * (number % 25 == 0)
            task_service.update_task(db, owner, number, {"tags": tags})

    database.write(tag)
    rows = database.read(lambda db: db.execute(tasks.select()).all())
    by_title = sorted(rows, key=lambda row: (row.title_folded, row.id))
    for wanted, number in (("rare", 4), ("frequent", 100), ("none such", 0)):
        ids = found(owner, TaskFilters(tag=[wanted], sort_by="title", sort_order="asc", limit=30))
        assert ids == [row.id for row in by_title if wanted in row.tags], wanted
        assert len(ids) == number


@pytest.fixture
def years(owner: Caller) -> list[AnyRow]:
    """His tasks, made over many years around 1970, due and completed soon after or long before or never."""
    choice = random.Random(8)  # noqa: S311  # the same times every time
    first = datetime(1960, 1, 1, tzinfo=UTC)

    def spread(db: Session) -> None:
        for number in range(1, 401):
            made = first + timedelta(days=number * 20, hours=choice.randrange(400))
            strays = number % 50 == 0
            due = made + timedelta(days=choice.randrange(60) - 7000 * strays)
            values: dict[str, Any] = {"created_at": made, "due_at": due if number % 3 else None}
            if number % 4:
                values |= {"status": "completed", "completed_at": made + timedelta(days=choice.randrange(90))}
            db.execute(tasks.update().where(tasks.c.id == number).values(values))

    database.write(spread)
    return list(database.read(lambda db: db.execute(tasks.select()).all()))


def test_ranges_find_all_that_lie_in_them_wherever_the_list_begins(
    owner: Caller, years: list[AnyRow]
) -> None:
    for order, year, column in product(("asc", "desc"), YEARS, ("due_at", "completed_at")):
        in_order = sorted(years, key=lambda row: (row.created_at, row.id), reverse=order == "desc")
        bound = datetime(year, 1, 1, tzinfo=UTC)
        for side in ("after", "before"):
            name = column.replace("at", side)
            ids = found(owner, TaskFilters.model_validate({name: bound, "sort_order": order, "limit": 100}))
            times = {row.id: getattr(row, column) for row in years}
            within = [
                row.id for row in in_order if (at := times[row.id]) and (at >= bound) == (side == "after")
            ]
            assert ids == within, (order, name, year)


def test_ranges_at_the_ends_of_time_are_no_error(owner: Caller) -> None:
    last = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)
    first = datetime(1, 1, 1, tzinfo=UTC)
    values = {"created_at": last, "due_at": last}
    database.write(lambda db: db.execute(tasks.update().where(tasks.c.id == 400).values(values)))
    values = {"created_at": first, "due_at": first}
    database.write(lambda db: db.execute(tasks.update().where(tasks.c.id == 1).values(values)))
    assert len(found(owner, TaskFilters(due_after=first, limit=50))) == 400
    assert found(owner, TaskFilters(due_after=last)) == [400]
    assert found(owner, TaskFilters(due_before=last, sort_order="asc"))[0] == 1


def test_ranges_wide_and_narrow_give_the_same_rows(owner: Caller) -> None:
    for bound in ("2011-01-01T00:00:00Z", "2030-01-01T00:00:00Z"):
        for name in ("due_after", "due_before"):
            ids = found(owner, TaskFilters.model_validate({name: bound, "limit": 50}))
            both = found(owner, TaskFilters(limit=50))
            rows = database.read(lambda db: db.execute(tasks.select()).all())
            due = {row.id: row.due_at for row in rows}
            limit = TaskFilters.model_validate({name: bound}).model_dump()[name]
            assert ids == [i for i in both if (due[i] >= limit) == (name == "due_after")]
