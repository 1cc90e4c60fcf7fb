"""Mistakes with transactions that a change of the code could make unnoticed are refused on both databases."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

import pytest
from fastapi import Depends
from sqlalchemy import delete, event, func, insert, select, text, update
from sqlalchemy.orm import Session

import auth
from auth import AdminUser, CurrentUser, get_current_user
from database import database, get_db
from main import app
from models import Caller, User, tasks, users
from storage.direct_session import WriteInReadError, one_snapshot
from storage.prepared import prepared
from tests.support.api import Api
from web.routing import Router
from web.transaction import ReadSession

RENAME = update(users).values(username="thief")
THIEF = {"id": 1, "username": "thief"}


def flush_a_change(db: Session) -> None:
    db.get_one(User, 1).username = "thief"
    db.flush()


WRITES = {
    "update": lambda db: db.execute(RENAME),
    "prepared update": lambda db: db.execute(prepared(update(users).values(username="thief"))),
    "delete": lambda db: db.execute(delete(users)),
    "insert of several": lambda db: db.execute(insert(users), [{"username": "a"}, {"username": "b"}]),
    "text": lambda db: db.execute(text("UPDATE users SET username = 'thief'")),
    "text behind a comment's place": lambda db: db.execute(text("DELETE FROM users")),
    "a query that writes": lambda db: db.execute(
        text("WITH gone AS (SELECT 1) UPDATE users SET username = 'thief'")
    ),
    "a loaded object": lambda db: setattr(db.execute(select(User)).scalars().first(), "username", "thief"),
    "a new object": lambda db: db.add(User(username="thief")),
    "a loaded object that is flushed": flush_a_change,
    "many objects": lambda db: db.bulk_update_mappings(User, [THIEF]),
    "a single value": lambda db: db.scalar(RENAME.returning(users.c.id)),
    "single values": lambda db: db.scalars(RENAME.returning(users.c.id)).all(),
}


@pytest.mark.parametrize("how", WRITES)
def test_a_session_that_only_reads_refuses_to_write(api: Api, how: str) -> None:
    ada = api.person()
    with pytest.raises(WriteInReadError):
        database.read(WRITES[how])
    names = database.read(lambda db: db.execute(select(users.c.username)).scalars().all())
    assert names == ["ada"]
    # The connection can read again, and the next use finds none of the refused changes.
    assert database.read(lambda db: db.execute(text("SELECT count(*) FROM users")).scalar()) == 1
    assert ada.get("/auth/me").json()["username"] == "ada"


def test_a_caller_without_a_transaction_is_refused_when_the_router_is_built() -> None:
    router = Router()

    def caller_of(user: CurrentUser) -> Caller:
        return user

    def with_caller(user: CurrentUser) -> None: ...

    def with_admin(user: AdminUser) -> None: ...

    def with_db(db: Annotated[Any, Depends(get_db)]) -> None: ...

    def with_nested(db: ReadSession, user: Annotated[Caller, Depends(caller_of)]) -> None: ...

    def with_plain(db: ReadSession, user: Annotated[Caller, Depends(get_current_user)]) -> None: ...

    for endpoint in (with_caller, with_admin, with_db, with_nested):
        with pytest.raises(TypeError, match=endpoint.__name__):
            router.get(f"/{endpoint.__name__}")(endpoint)
    router.get("/plain")(with_plain)


def test_overrides_that_would_do_nothing_say_why() -> None:
    # Tests that use overrides begin or end with this line.
    app.dependency_overrides = {}
    for override in (
        lambda: setattr(app, "dependency_overrides", {get_db: lambda: None}),
        lambda: app.dependency_overrides.__setitem__(auth.get_current_user, lambda: None),
        lambda: app.dependency_overrides.update({get_db: lambda: None}),
        lambda: app.dependency_overrides.setdefault(get_db, lambda: None),
    ):
        with pytest.raises(TypeError, match="switch"):
            override()
    assert app.dependency_overrides == {}
    app.dependency_overrides.clear()


def test_what_reads_twice_sees_one_state(api: Api) -> None:
    ada = api.person()
    ada.task("one")
    counted = select(func.count()).select_from(tasks)

    def read_twice(db: Session) -> tuple[int, int]:
        first = db.execute(counted).scalar_one()
        # Another connection writes in between.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(ada.task, "two").result()
        return first, db.execute(counted).scalar_one()

    def in_one_snapshot(db: Session) -> tuple[int, int]:
        with one_snapshot(db):
            return read_twice(db)

    assert database.read(in_one_snapshot) == (1, 1)
    # Without the snapshot each read sees the rows of its moment, and so does the next request.
    assert database.read(read_twice) == (2, 3)
    assert len(ada.get("/tasks?sort_by=due_at&total=true").json()) == 3


@pytest.mark.parametrize(
    ("path", "figure"),
    [
        ("throughput", lambda answer: sum(each["created"] for each in answer["intervals"])),
        ("cumulative-flow", lambda answer: answer["intervals"][-1]["pending"]),
        ("aging", lambda answer: answer["n"]),
    ],
)
def test_figures_are_of_one_moment(api: Api, path: str, figure: Callable[[Any], int]) -> None:
    ada = api.person()
    for title in ("one", "two"):
        ada.task(title)
    engine = database._autocommit  # noqa: SLF001  # the engine behind every request
    added: list[str] = []

    def add_a_task(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # Another connection writes after the first read of the account's figures.
        if "owner_counts" in statement and statement.startswith("SELECT") and not added:
            added.append(statement)
            with ThreadPoolExecutor(1) as pool:
                pool.submit(ada.task, "three").result()

    event.listen(engine, "after_cursor_execute", add_a_task)
    try:
        assert figure(ada.get(f"/analytics/{path}").json()) == 2
    finally:
        event.remove(engine, "after_cursor_execute", add_a_task)
    assert added
    assert figure(ada.get(f"/analytics/{path}").json()) == 3
