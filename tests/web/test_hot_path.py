"""Costs of ordinary requests: two statements, their own and one that finds the caller, and few garbage collections."""

import gc
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import event, insert

from database import database
from security.tokens import create_access_token
from tables.projects import task_comments
from tests.support.api import Api
from tests.web.test_bounds import longest_hold
from web import garbage


@pytest.fixture
def statements(database_url: str) -> Iterator[list[str]]:
    """The statements that are executed from now on, in their order."""
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        seen.append(statement)

    engine = database._autocommit  # noqa: SLF001  # the engine behind every request
    event.listen(engine, "before_cursor_execute", note)
    yield seen
    event.remove(engine, "before_cursor_execute", note)


def test_account_and_session_are_read_by_one_statement(
    client: TestClient, api: Api, statements: list[str]
) -> None:
    ada = api.person()
    made = ada.post("/auth/tokens", json={"name": "p", "scopes": ["tasks:read"]}).json()
    tokens = {
        "of a session": ada.token,
        "of no session": create_access_token({"sub": str(ada.id)}),
        "of a program": made["token"],
    }
    # The first call with a token writes the time of its use too.
    client.get("/tasks", headers={"Authorization": f"Bearer {made['token']}"})
    for name, token in tokens.items():
        statements.clear()
        client.get("/tasks", headers={"Authorization": f"Bearer {token}"})
        assert len(statements) == 2, (name, statements)
        assert "users" in statements[0]
        assert "FROM tasks" in statements[1]


def test_the_start_makes_garbage_collections_rare() -> None:
    """A batch of 1,000 tasks makes some 30,000 objects, which all stay in use while it is answered."""
    was = gc.get_threshold()
    gc.unfreeze()
    gc.set_threshold(700, 10, 10)
    try:
        garbage.collect_rarely()
        garbage.exempt_the_start.__wrapped__()
        assert gc.get_freeze_count() > 10_000
        before = [each["collections"] for each in gc.get_stats()]
        in_use = [[number] for number in range(40_000)]
        assert [each["collections"] for each in gc.get_stats()] == before, len(in_use)
    finally:
        gc.freeze()
        gc.set_threshold(*was)


@pytest.mark.one_database
def test_a_page_of_long_comments_does_not_hold_the_event_loop(api: Api) -> None:
    ada = api.person()
    task_id = ada.task("discussed")["id"]
    comment = {
        "task_id": task_id,
        "author_id": ada.id,
        "text": "日\n" * 5_000,
        "created_at": datetime.now(UTC),
    }
    database.write(lambda db: db.execute(insert(task_comments), [comment] * 500))
    assert longest_hold(ada, f"/tasks/{task_id}/comments?limit=500") < 0.2


@pytest.mark.one_database
def test_a_list_of_long_descriptions_does_not_hold_the_event_loop(api: Api) -> None:
    ada = api.person()
    long = [{"title": f"{each}", "description": "\x01" * 65_536} for each in range(100)]
    assert ada.post("/tasks/import", json=long[:50]).status_code == 201
    assert ada.post("/tasks/import", json=long[50:]).status_code == 201
    assert longest_hold(ada, "/tasks") < 0.2
