"""Prepared statements give the same rows and errors as SQLAlchemy, and writes may share a commit."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import BackgroundTasks, FastAPI
from fastapi.testclient import TestClient
from sqlalchemy import bindparam, event, insert, literal, select, text, update
from sqlalchemy.exc import IntegrityError, InvalidRequestError
from sqlalchemy.orm import Session

from database import database
from models import Caller, tasks, users
from schemas.common import Message
from services import task_service
from services.accounts import user as user_service
from services.tasks.fields import TASK_COLUMNS
from storage.prepared import ROWS_AT_ONCE, prepared, prepared_form
from tables.history import task_history
from tests.support.waiting import SECONDS
from web.routing import Router
from web.transaction import WriteSession

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
ROW = {
    "title": "Straße \U0001f600 100%",
    "title_folded": "strasse",
    "description": None,
    "status": "completed",
    "priority": 3,
    "project": "Général",
    "tags": ["a", "é", '"'],
    "due_at": None,
    "created_at": NOW,
    "updated_at": NOW,
    "completed_at": NOW,
    "version": 1,
}


@pytest.fixture
def owner(database_url: str) -> Caller:
    row = database.write(lambda db: user_service.create_user(db, "ada", "ada@example.com", "x"))
    return Caller(*row[:6])


def both_ways(statement: Any, values: dict[str, Any] | None = None) -> tuple[list[Any], list[Any]]:
    """The rows of a prepared statement, and its rows when SQLAlchemy executes it."""

    def work(db: Session) -> tuple[list[Any], list[Any]]:
        quick = list(db.execute(prepared(statement), values))
        connection = db.connection()
        return quick, list(connection.execute(statement, values))

    return database.write(work)


def test_rows_are_those_of_sqlalchemy(owner: Caller) -> None:
    make = insert(tasks).returning(*TASK_COLUMNS)
    quick, slow = both_ways(make, ROW | {"user_id": owner.id})
    assert quick[0][1:] == slow[0][1:]
    assert quick[0]._fields == slow[0]._fields
    assert quick[0].tags == ["a", "é", '"']
    assert quick[0].created_at == NOW
    assert quick[0].created_at.utcoffset() is not None
    numbers = [quick[0].id, slow[0].id]

    one = select(*TASK_COLUMNS).where(tasks.c.id == bindparam("task_id"), tasks.c.priority == 3)
    quick, slow = both_ways(one, {"task_id": numbers[0]})
    assert quick == slow
    assert len(quick) == 1
    nothing = both_ways(one, {"task_id": -1})
    assert nothing == ([], [])

    changed = (
        update(tasks)
        .where(tasks.c.id == bindparam("task_id"))
        .values(title=bindparam("new_title"), version=tasks.c.version + 1)
        .returning(tasks.c.title, tasks.c.version)
    )
    quick, slow = both_ways(changed, {"task_id": numbers[1], "new_title": "b"})
    assert (quick, slow) == ([("b", 2)], [("b", 3)])

    # Statements with fewer parameters than values, with a value of its own, and without parameters.
    assert both_ways(one, {"task_id": numbers[0], "unused": 1})[0]
    assert both_ways(select(literal("é%")))[0] == [("é%",)]
    assert both_ways(select(users.c.username))[0] == [("ada",)]


def test_columns_are_those_of_the_values_given(owner: Caller) -> None:
    statement = prepared(insert(task_history).returning(task_history.c.changes, task_history.c.owner_id))
    values = {
        "task_id": 1,
        "actor_id": 1,
        "kind": "created",
        "created_at": NOW,
        "changes": {"a": {"to": None}},
    }

    def work(db: Session) -> list[Any]:
        first = db.execute(statement, values).one()
        second = db.execute(statement, values | {"owner_id": owner.id}).one()
        db.execute(statement, [values, values])
        return [tuple(first), tuple(second)]

    assert database.write(work) == [({"a": {"to": None}}, None), ({"a": {"to": None}}, owner.id)]
    assert database.read(lambda db: db.execute(select(task_history.c.id)).all()).__len__() == 4


@pytest.mark.parametrize("count", [3, *ROWS_AT_ONCE, sum(ROWS_AT_ONCE) * 2 + 3])
def test_many_rows_at_once_are_written_as_one_by_one(owner: Caller, count: int) -> None:
    rows = [ROW | {"user_id": owner.id, "title": f"Task {number}"} for number in range(count)]
    make = prepared(insert(tasks))

    def work(db: Session) -> list[Any]:
        db.execute(make, rows)
        return list(db.execute(select(tasks.c.title, tasks.c.tags, tasks.c.created_at).order_by(tasks.c.id)))

    assert database.write(work) == [(f"Task {number}", ["a", "é", '"'], NOW) for number in range(count)]
    with pytest.raises(IntegrityError) as caught:
        database.write(lambda db: db.execute(make, [*rows[1:], rows[0] | {"status": "secret"}]))
    assert "secret" not in str(caught.value).replace(str(caught.value.orig), "")
    assert database.read(lambda db: db.execute(select(tasks.c.id)).all()).__len__() == count


def test_errors_are_those_of_sqlalchemy_and_tell_no_values(owner: Caller) -> None:
    statement = prepared(insert(tasks))
    with pytest.raises(IntegrityError) as caught:
        database.write(lambda db: db.execute(statement, ROW | {"user_id": owner.id, "status": "secret"}))
    assert "secret" not in str(caught.value).replace(str(caught.value.orig), "")
    with pytest.raises(InvalidRequestError, match="required for bind parameter"):
        database.read(
            lambda db: db.execute(prepared(select(tasks.c.id).where(tasks.c.id == bindparam("x"))), {})
        )
    assert database.read(lambda db: db.execute(select(tasks.c.id)).all()) == []


def test_what_is_made_from_a_prepared_statement_is_another(owner: Caller) -> None:
    every = prepared(select(users.c.id))
    none = every.where(users.c.id < 0)
    assert prepared_form(every) is not None
    assert prepared_form(none) is None
    assert database.read(lambda db: db.execute(none).all()) == []


def test_a_text_that_depends_on_its_values_is_refused(owner: Caller) -> None:
    statement = prepared(select(users.c.id).where(users.c.id.in_(bindparam("ids", expanding=True))))
    with pytest.raises(TypeError, match="can't be prepared"):
        database.read(lambda db: db.execute(statement, {"ids": [1]}))


def test_listeners_of_the_engine_hear_of_them(owner: Caller) -> None:
    heard: list[str] = []
    engine = database._autocommit  # noqa: SLF001
    event.listen(engine, "before_cursor_execute", lambda *given: heard.append(given[2]))
    database.read(lambda db: db.execute(prepared(select(users.c.email))).all())
    assert len(heard) == 1


# -- many writes, one commit -------------------------------------------------------------------------


def together(calls: list[Callable[[], Any]], *, behind_long: bool = False) -> list[Any]:
    """Make calls that write at once, on SQLite in one transaction, and return the result or error of each.

    They wait for the end of another write, which is a long one if they are to come `behind_long`.
    """
    held, go = threading.Event(), threading.Event()

    def hold(_db: Session) -> None:
        held.set()
        assert go.wait(SECONDS)

    def result(call: Callable[[], Any]) -> Any:
        try:
            return call()
        except Exception as error:  # noqa: BLE001  # is what is asked for
            return error

    with ThreadPoolExecutor(len(calls) + 1) as pool:
        first = pool.submit(lambda: asyncio.run(database.write_async(hold, is_long=behind_long)))
        assert held.wait(SECONDS)
        results = []
        for number, call in enumerate(calls, 1):
            results.append(pool.submit(result, call))
            # The calls wait for the writer in this order before it goes on.
            while database.is_sqlite and database._writer._jobs.qsize() < number:  # type: ignore[union-attr]  # noqa: SLF001
                threading.Event().wait(0.001)
        go.set()
        first.result(SECONDS)
        return [each.result(SECONDS) for each in results]


def writing(work: Callable[[Session], Any]) -> Callable[[], Any]:
    """A call that writes as a request does."""
    return lambda: asyncio.run(database.write_async(work))


def test_one_that_fails_after_writing_takes_nothing_with_it(owner: Caller) -> None:
    def good(number: int) -> Any:
        def work(db: Session) -> Any:
            values = {"title": f"good {number}", "status": "pending", "priority": 0, "project": "General"}
            return task_service.create_task(
                db, owner, values | {"tags": [], "description": None, "due_at": None}
            ).id

        return work

    def bad(db: Session) -> None:
        db.execute(text("UPDATE users SET email = 'bad@example.com'"))
        raise RuntimeError("bad")

    def refused(db: Session) -> None:
        task_service.get_task(db, owner, -1)

    works = [good(0), refused, good(1), bad, good(2), refused, good(3)]
    results = together([writing(each) for each in works])
    numbers = [result for result in results if isinstance(result, int)]
    assert len(set(numbers)) == 4
    assert [type(each).__name__ for each in (results[1], results[3], results[5])] == [
        "NotFound",
        "RuntimeError",
        "NotFound",
    ]
    found = database.read(
        lambda db: db.execute(select(tasks.c.title).order_by(tasks.c.title)).scalars().all()
    )
    assert found == ["good 0", "good 1", "good 2", "good 3"]
    history = select(task_history.c.task_id).where(task_history.c.kind == "created")
    assert sorted(database.read(lambda db: db.execute(history).scalars().all())) == sorted(numbers)
    emails = database.read(lambda db: db.execute(select(users.c.email)).scalars().all())
    assert emails == ["ada@example.com"]


def test_refusals_alone_do_not_have_the_others_done_twice(owner: Caller) -> None:
    calls: list[int] = []

    def good(db: Session) -> None:
        calls.append(1)
        db.execute(text("UPDATE users SET email_verified_at = NULL"))

    def refused(db: Session) -> None:
        task_service.get_task(db, owner, -1)

    together([writing(each) for each in (good, refused, good, refused, good)])
    assert len(calls) == 3


def test_what_is_put_off_is_done_once_though_the_work_is_done_again(owner: Caller) -> None:
    works: list[int] = []
    done: list[int] = []
    router = Router()

    @router.post("/good", response_model=Message)
    def good(db: WriteSession, background: BackgroundTasks) -> dict[str, str]:
        works.append(1)
        db.execute(text("UPDATE users SET email_verified_at = NULL"))
        background.add_task(done.append, 1)
        return {"message": "good"}

    def bad(db: Session) -> None:
        db.execute(text("UPDATE users SET email_verified_at = NULL"))
        raise RuntimeError("bad")

    app = FastAPI()
    app.include_router(router)
    client = TestClient(app)
    together([lambda: client.post("/good"), writing(bad)])
    assert done == [1]
    # On SQLite a failure in the same transaction makes all its works run again.
    assert len(works) == (2 if database.is_sqlite else 1)
