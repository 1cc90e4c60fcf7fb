"""How many statements a request takes: the same for one row as for a hundred."""

import pytest
from sqlalchemy import event

from database import database
from tests.support.api import Api, Person


@pytest.fixture
def statements() -> list[str]:
    """Every statement that is sent from now on."""
    return []


def sent_by(person: Person, path: str, statements: list[str]) -> int:
    """How many statements a request sends."""

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    person.get(path)
    engine = database._autocommit  # noqa: SLF001  # the engine behind every request
    event.listen(engine, "before_cursor_execute", note)
    try:
        del statements[:]
        assert person.get(path).status_code == 200
        return len(statements)
    finally:
        event.remove(engine, "before_cursor_execute", note)


def test_a_list_takes_two_statements_however_long_it_is(api: Api, statements: list[str]) -> None:
    ada, admin = api.person(), api.person("root", admin=True)
    ada.post("/tasks/import", json=[{"title": str(number), "tags": ["a"]} for number in range(100)])
    bob = api.person("bob")
    # The caller with the session, then the list; an order by what may be missing reads its two parts.
    for path, most in (
        ("/tasks", 2),
        ("/tasks?tag=a&status=pending", 2),
        ("/tasks?sort_by=due_at", 3),
        # How many tasks there are, and which titles contain it, which are read without the tasks.
        ("/tasks/search?query=1", 4),
        ("/analytics/user-completion-stats", 2),
        ("/analytics/project-stats", 2),
    ):
        assert sent_by(ada, path, statements) == sent_by(bob, path, statements) <= most, statements
    for path in (
        "/tasks/all?limit=1",
        "/tasks/all?limit=100",
        "/analytics/all-users-stats",
        "/analytics/system-summary",
    ):
        assert sent_by(admin, path, statements) <= 2, statements
