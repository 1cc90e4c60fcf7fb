"""Conditions on lists use indexes."""

from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, String, bindparam, or_, select, text

from database import Database
from models import task_tags, tasks
from storage.column_types import IsOneOf, ValueList, is_among


@pytest.mark.parametrize(
    "condition",
    [
        is_among(tasks.c.id, "wanted"),
        or_(is_among(tasks.c.id, "wanted"), tasks.c.id == 7),
        tasks.c.id.in_(
            select(task_tags.c.task_id).where(
                task_tags.c.user_id == 1,
                IsOneOf(task_tags.c.tag, bindparam("wanted", type_=ValueList(String()))),
            )
        ),
    ],
)
def test_sqlite_finds_one_of_a_list_by_an_index(
    migrated_sqlite: Path, condition: ColumnElement[bool]
) -> None:
    database = Database(f"sqlite:///{migrated_sqlite}")
    statement = str(select(tasks.c.title).where(condition).compile(dialect=database.engine.dialect))
    asked = text(f"EXPLAIN QUERY PLAN {statement.replace('?', 'NULL')}")
    plan = [row[3] for row in database.read(lambda db: db.execute(asked)).all()]
    database.close()
    assert any("USING INTEGER PRIMARY KEY" in step for step in plan), plan
    assert not any(step.startswith("SCAN tasks") for step in plan), plan
    assert all("tag=?" in step for step in plan if "task_tags" in step), plan
