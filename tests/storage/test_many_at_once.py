"""Changing many rows at once on Postgres: the rows that its triggers read grow with the number of changes."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url

from tests.support.api import Api

TASKS = 300
# A plan may read each row several times, but not each row once for every other row.
MOST_READS = 20


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The nodes of a plan."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def rows_read(connection: psycopg.Connection[Any], statement: str) -> dict[str, float]:
    """The largest number of rows that a part of a plan has read, by query, including the queries of triggers."""
    said: list[str] = []
    connection.add_notice_handler(lambda notice: said.append(notice.message_primary or ""))
    connection.execute("SET client_min_messages = log")
    connection.execute(statement)
    connection.execute("SET client_min_messages = warning")
    read: dict[str, float] = {}
    for each in said:
        explained = json.loads(each.partition("plan:")[2])
        read[explained["Query Text"]] = max(
            node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Join Filter", 0))
            for node in nodes(explained["Plan"])
        )
    return read


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_what_triggers_read_grows_with_the_number_of_tasks_that_change(api: Api, database_url: str) -> None:
    api.person().post(
        "/tasks/import", json=[{"title": f"Task {n}", "tags": ["a", "b"]} for n in range(TASKS)]
    )
    url = make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(url, autocommit=True) as connection:
        try:
            connection.execute("LOAD 'auto_explain'")
        except psycopg.Error:
            pytest.skip("this Postgres has no auto_explain")
        for setting in ("analyze", "nested_statements"):
            connection.execute(f"SET auto_explain.log_{setting} = on")
        connection.execute("SET auto_explain.log_format = json")
        connection.execute("SET auto_explain.log_min_duration = 0")
        # This connection plans the triggers for one task.
        connection.execute("ANALYZE task_tags")
        connection.execute("UPDATE tasks SET priority = 1, tags = '[\"c\"]' WHERE id = 1")
        read = rows_read(connection, "UPDATE tasks SET priority = 2")
        read |= rows_read(connection, 'UPDATE tasks SET tags = \'["d", "e"]\'')
        tags = connection.execute("SELECT tag, count(*) FROM task_tags GROUP BY tag ORDER BY tag").fetchall()
    assert tags == [("d", TASKS), ("e", TASKS)]
    assert any("task_tags" in query for query in read)
    assert {query: number for query, number in read.items() if number > MOST_READS * TASKS} == {}
