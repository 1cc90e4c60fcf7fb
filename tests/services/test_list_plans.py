"""The databases read lists along an index that has their order and the columns of their conditions."""

from datetime import UTC, datetime
from itertools import product
from typing import Any

import pytest
from sqlalchemy import Select, text

from database import database
from models import ORDERS
from schemas.tasks import TaskFilters
from services.lists import lookups, on_postgres, parts, planning, statements
from services.lists.parts import AFTER, FIRST, FIRST_WITHOUT_VALUE, Part
from services.lists.planned import Planned
from services.lists.statements import ListShape
from services.query.shapes import Place, Scope
from storage.column_types import microseconds
from storage.prepared import Prepared, prepared_form
from tests.support.api import Api

COUNT = 8000
MIDDLE = datetime(2026, 1, 1, tzinfo=UTC)
RANGES = {"created_at": "created_after", "updated_at": "updated_after", "due_at": "due_after"}
# There is a task for each minute around the middle. It is completed and changed a day later, and due two days
# later. Three in four tasks belong to another account.
FILL = """
INSERT INTO tasks (user_id, title, title_folded, status, priority, project, tags, created_at, updated_at,
    completed_at, due_at, version, project_id, state)
SELECT CASE WHEN n % 4 = 0 THEN :owner_id ELSE :other_id END, 'Task ' || n, 'task ' || n, 'completed', n % 5, 'General',
    CAST(CASE WHEN n % 3 = 0 THEN '["often"]' ELSE '[]' END AS jsonb),
    made, made + interval '1 day', made + interval '1 day', made + interval '2 days', 1,
    CASE WHEN n % 4 = 0 THEN :project_id END, CASE WHEN n % 4 = 0 THEN 'completed' END
FROM generate_series(1, :count) AS n, LATERAL (SELECT :middle + (n - :count / 2) * interval '1 minute' AS made) AS _
"""


DAYS = """
INSERT OR IGNORE INTO project_days (project_id, day, first_id, last_id, first_updated_at, last_updated_at,
    first_due_at, last_due_at, first_completed_at, last_completed_at)
VALUES (:project_id, 99999, 1, 9, :middle, :middle, :middle, :middle, :middle, :middle)
"""


@pytest.fixture(scope="module")
def values(shared_api: Api) -> dict[str, Any]:
    """The parameters of lists. Postgres plans by the content of tables, so there somebody gets many tasks."""
    ada = shared_api.person()
    values: dict[str, Any] = {
        "owner_id": ada.id,
        "project_id": ada.post("/projects", json={"name": "Open"}).json()["id"],
        "limit": 21,
        "tag_0": "often",
        **dict.fromkeys(RANGES.values(), MIDDLE),
    }
    if not database.is_sqlite:
        more = {"other_id": shared_api.person("bob").id, "count": COUNT, "middle": MIDDLE}
        with database.engine.begin() as connection:
            connection.execute(text(FILL), {**values, **more})
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            # New entries of a GIN index wait in a list, and reading this list costs more than the index.
            connection.execute(text("VACUUM ANALYZE tasks, task_tags"))
    return values


def shape(scope: Scope, sort_by: str, **more: Any) -> ListShape:
    """The first page of a list in descending order."""
    plain: dict[str, Any] = {
        "names": (),
        "choices": (),
        "by_id": False,
        "without_index": (),
        "asked": None,
        "part": FIRST,
    }
    return ListShape(scope=scope, sort_by=sort_by, descending=True, **{**plain, **more})


def plan(statement: Select[Any], values: dict[str, Any], *settings: str) -> str:
    """The database's plan for the statement."""
    compiled = statement.compile(dialect=database.engine.dialect)
    with database.engine.connect() as connection:
        for setting in settings:
            connection.exec_driver_sql(f"SET LOCAL {setting}")
        if database.is_sqlite:
            # The plan of SQLite depends on no value.
            nothing = tuple(None for _ in compiled.positiontup or ())
            rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}", nothing).all()
            return "\n".join(row[3] for row in rows)
        given = {**compiled.params, **{name: values[name] for name in compiled.params if name in values}}
        return "\n".join(connection.exec_driver_sql(f"EXPLAIN {compiled}", given).scalars())


@pytest.mark.parametrize("scope", ["owner", "project"])
@pytest.mark.parametrize(
    ("column", "sort_by"), [pair for pair in product(RANGES, ORDERS) if pair[0] != pair[1]]
)
def test_a_range_of_one_time_is_read_along_the_order_of_another(
    values: dict[str, Any], scope: Scope, sort_by: str, column: str
) -> None:
    name = RANGES[column]
    place = "user_id" if scope == "owner" else "project_id"
    asked = shape(scope, sort_by, names=(name,), without_index=(name,) if database.is_sqlite else ())
    if not database.is_sqlite:
        # Left to choose, Postgres might go through everybody's tasks.
        statement = on_postgres.build(asked._replace(part=FIRST.by("along")))
    else:
        statement = statements.build(asked)
    found = plan(statement, values)
    assert "Sort" not in found, found
    if not database.is_sqlite:
        assert f"ix_tasks_{place}_{sort_by}" in found, found
        assert any(column in line for line in found.splitlines() if "Index Cond" in line), found
    elif column in ORDERS[sort_by]:
        # Only the rows of the page are sorted.
        assert f"LIST SUBQUERY 1\nSEARCH tasks USING COVERING INDEX ix_tasks_{place}_{sort_by}" in found, (
            found
        )
        assert found.count("TEMP B-TREE") <= 1, found
    else:
        assert f"USING INDEX ix_tasks_{place}_{sort_by}" in found, found
        assert "TEMP B-TREE" not in found, found


@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True, scope="module")
@pytest.mark.parametrize("sort_by", [name for name in ORDERS if name != "updated_at"])
def test_sqlite_reads_those_changed_since_from_one_index_alone(values: dict[str, Any], sort_by: str) -> None:
    name = RANGES["updated_at"]
    asked = Planned(shape("project", sort_by, names=(name,), without_index=(name,)), values, {})
    covered = database.read(asked.by_covering_index)
    assert covered is not None
    for part in (FIRST.by("sorted"), FIRST.by("edged"), FIRST.by("sampled"), parts.COUNT):
        found = plan(statements.build(covered.shape._replace(part=part)), values)
        assert "USING COVERING INDEX ix_tasks_project_id_updated_at (project_id=? AND updated_at>?)" in found


@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True, scope="module")
def test_counting_a_range_keeps_nothing_for_each_combination_of_other_filters(values: dict[str, Any]) -> None:
    name = RANGES["updated_at"]
    kept = prepared_form(lookups.in_range("project", name))
    assert isinstance(kept, Prepared)
    asked = shape("project", "title", names=(name,), without_index=(name,))
    for number in range(10):
        with_others = Planned(asked, {**values, f"tag_{number}": "x"}, {})
        assert database.read(with_others.gathered).shape.sorts
    # Each takes kilobytes, and is kept for good. Tests before this one may have left one for Postgres.
    assert [key[0] for key in kept._compiled].count("sqlite") == 1  # noqa: SLF001


@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True, scope="module")
@pytest.mark.parametrize("sort_by", [*ORDERS, "title"])
def test_sqlite_begins_a_list_of_a_project_at_the_first_day_in_the_range(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, sort_by: str
) -> None:
    monkeypatch.setattr(planning, "MANY_TASKS", 0)
    monkeypatch.setattr(planning, "FEW_IN_RANGE", -1)
    name = RANGES["updated_at" if sort_by != "updated_at" else "created_at"]
    filters = TaskFilters.model_validate(
        {"project_id": values["project_id"], "sort_by": sort_by, name: MIDDLE}
    )
    database.write(lambda db: db.execute(text(DAYS), {**values, "middle": microseconds(MIDDLE)}))
    place = Place(project_id=values["project_id"])
    planned = database.read(lambda db: planning.plan(db, place, filters))
    asked = shape(
        "project",
        sort_by,
        names=(name, *planned.bounds),
        without_index=planned.without_index,
        part=FIRST.by("near"),
    )
    found = plan(statements.build(asked), values)
    index = f"ix_tasks_project_id_{sort_by} (project_id=? AND "
    bound = {"title": "title_folded>?", "priority": "priority=? AND id>? AND id<?", "id": "id>? AND id<?"}
    assert f"{index}{bound.get(sort_by, f'{sort_by}>? AND {sort_by}<?')})" in found, found
    # Only the rows of the page are sorted, if any.
    assert found.count("TEMP B-TREE") <= statements.order_has_ranges(asked), found


@pytest.mark.parametrize("shared_api", ["postgres"], indirect=True, scope="module")
@pytest.mark.parametrize("sort_by", list(ORDERS))
def test_postgres_begins_a_list_of_a_project_at_the_first_day_in_the_range(
    values: dict[str, Any], monkeypatch: pytest.MonkeyPatch, sort_by: str
) -> None:
    name = RANGES["updated_at" if sort_by != "updated_at" else "created_at"]
    filters = TaskFilters.model_validate(
        {"project_id": values["project_id"], "sort_by": sort_by, name: MIDDLE}
    )
    place = Place(project_id=values["project_id"])
    sorts = database.read(lambda db: planning.plan(db, place, filters))
    assert sorts.way == "along"
    monkeypatch.setattr(planning, "FEW_IN_RANGE", COUNT)
    assert database.read(lambda db: planning.plan(db, place, filters)).way == "sorted"
    bounds = {"least_id", "most_id", *({f"most_{sort_by}"} if sort_by.endswith("_at") else ())}
    assert set(sorts.bounds) == bounds
    asked = shape("project", sort_by, names=(name, *bounds), part=FIRST.by("along"))
    found = plan(on_postgres.build(asked), values | dict(sorts.bounds))
    assert "Sort" not in found, found
    assert f"ix_tasks_project_id_{sort_by}" in found, found
    (index_condition,) = (line for line in found.splitlines() if "Index Cond" in line)
    for column in (name.replace("_after", "_at"), "id", sort_by):
        assert f"ROW(project_id, {column}) " in index_condition or column == "priority", found
    assert "Filter" not in found, found


@pytest.mark.parametrize("shared_api", ["postgres"], indirect=True, scope="module")
@pytest.mark.parametrize("scope", ["owner", "project"])
@pytest.mark.parametrize(
    ("part", "sort_by"),
    [
        *product((FIRST, AFTER), (*ORDERS, "title")),
        *product((FIRST_WITHOUT_VALUE,), statements.NULLABLE),
    ],
)
def test_postgres_reads_no_more_of_the_next_tasks_than_the_page_needs(
    values: dict[str, Any], scope: Scope, sort_by: str, part: Part
) -> None:
    asked = shape(scope, sort_by, names=("title_contains",), part=part.by("near"))
    after = {"title": "task 5", "priority": 2, "id": COUNT}.get(sort_by, MIDDLE)
    more = {"title_contains": "%9%", "near": 100, "after_value": after, "after_id": COUNT}
    found = plan(on_postgres.build(asked), values | more)
    assert "Sort" not in found, found
    assert f"ix_tasks_{'user' if scope == 'owner' else scope}_id_{sort_by}" in found, found


@pytest.mark.parametrize("shared_api", ["postgres"], indirect=True, scope="module")
def test_postgres_finds_a_pair_of_letters_by_the_index_of_trigrams(values: dict[str, Any]) -> None:
    with database.engine.connect() as connection:
        if connection.scalar(text("SELECT to_regclass('ix_task_search_project')")) is None:
            pytest.skip("this Postgres has no pg_trgm or no btree_gin")
    # With so few tasks in the project Postgres would read all titles, if pages did not cost more.
    settings = (
        "enable_indexscan = off",
        "enable_indexonlyscan = off",
        "seq_page_cost = 50",
        "random_page_cost = 50",
    )
    more = {"needle": "qx", "at_most": 600}
    found = plan(lookups.with_pair(of_ascii=True), values | more, *settings)
    pairs = [line for line in found.splitlines() if "Index Cond" in line and "title_folded ~" in line]
    assert len(pairs) == 2, found
    assert found.count("Bitmap Index Scan on ix_task_search") == 2, found
    assert found.count("ix_tasks_project_id_letters") == 1, found


@pytest.mark.parametrize("shared_api", ["postgres"], indirect=True, scope="module")
def test_postgres_does_not_read_all_rows_of_several_tags(values: dict[str, Any]) -> None:
    found = plan(lookups.tagged("project", 2), values | {"tag_1": "rare", "at_most": 100})
    # One limit is that of the tasks, the other that of the rows.
    assert found.count("Limit") == 2, found


@pytest.mark.parametrize("shared_api", ["sqlite"], indirect=True, scope="module")
def test_sqlite_finds_the_blocked_tasks_of_a_project_by_their_index(values: dict[str, Any]) -> None:
    found = plan(lookups.chosen("project", "blocked", 0), values)
    assert "ix_tasks_project_id_blocked" in found


@pytest.mark.parametrize("scope", ["owner", "project"])
def test_a_list_of_a_tag_is_read_along_the_tag(values: dict[str, Any], scope: Scope) -> None:
    found = plan(statements.build(shape(scope, "created_at", choices=(("tag", 1),))), values)
    assert "task_tags" in found
    assert "Sort" not in found, found
    assert "TEMP B-TREE" not in found, found
