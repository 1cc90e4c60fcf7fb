"""SQLite's writer: the short writes that wait are committed together, and take turns with the long ones.

Short writes that come while a long one runs share its commit.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, TypeAlias

import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from database import database
from services.tasks.batch_ahead import LARGE
from storage import group_commit
from tables.history import task_history
from tests.storage.test_prepared import together
from tests.support.api import Api
from tests.support.waiting import SECONDS

Write: TypeAlias = Callable[[Session], None]


async def queued(call: Coroutine[Any, Any, Any]) -> "asyncio.Task[Any]":
    """The call as a task whose job waits for the writer."""
    task = asyncio.create_task(call)
    await asyncio.sleep(0)
    return task


def wait_for_jobs(number: int) -> None:
    while database._writer._jobs.qsize() < number:  # type: ignore[union-attr]  # noqa: SLF001
        threading.Event().wait(0.001)


def test_short_writes_wait_for_one_long_write_at_most(api: Api) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres has many writers")
    done: list[str] = []
    begun, go_on, came = threading.Event(), threading.Event(), threading.Event()
    late: list[asyncio.Task[Any]] = []

    def block(_: Session) -> None:
        begun.set()
        assert go_on.wait(SECONDS)

    async def everything() -> None:
        loop = asyncio.get_running_loop()

        async def more() -> None:
            late.append(await queued(database.write_async(lambda _: done.append("short 3"))))
            dropped.cancel()
            came.set()

        def long(_: Session) -> None:
            done.append("long 1")
            asyncio.run_coroutine_threadsafe(more(), loop)
            assert came.wait(SECONDS)

        first = await queued(database.write_async(block, is_long=True))
        assert await asyncio.to_thread(begun.wait, SECONDS)
        waiting = [
            await queued(database.write_async(long, is_long=True)),
            await queued(database.write_async(lambda _: done.append("short 1"))),
        ]
        dropped = await queued(database.write_async(lambda _: done.append("dropped"), is_long=True))
        # Writes in the background are long ones.
        in_background = threading.Thread(target=database.write, args=[lambda _: done.append("long 2")])
        in_background.start()
        waiting.append(await queued(database.write_async(lambda _: done.append("short 2"))))
        await asyncio.to_thread(wait_for_jobs, 5)
        go_on.set()
        await asyncio.gather(first, *waiting)
        await asyncio.gather(*late)
        await asyncio.to_thread(in_background.join)

    asyncio.run(everything())
    assert done == ["short 1", "short 2", "long 1", "short 3", "long 2"]


def keep(db: Session, name: str) -> None:
    db.execute(text("INSERT INTO kept VALUES (:name)"), {"name": name})


def names(db: Session) -> list[str]:
    return list(db.scalars(text("SELECT name FROM kept")))


def fail(db: Session) -> None:
    keep(db, "undone")
    raise KeyError("this write alone")


def end_transaction(db: Session) -> None:
    keep(db, "undone")
    db.execute(text("ROLLBACK"))
    raise KeyError("as a full disk does")


LONG, SHORT = partial(keep, name="long"), partial(keep, name="short")


def late_writes(long: Write, *short: Write) -> list[BaseException | None]:
    """The errors of a long write, and of short ones that come while it runs."""
    came = threading.Event()

    async def everything() -> list[BaseException | None]:
        begun = asyncio.Event()
        loop = asyncio.get_running_loop()

        def hold(db: Session) -> None:
            loop.call_soon_threadsafe(begun.set)
            assert came.wait(SECONDS)
            long(db)

        first = await queued(database.write_async(hold, is_long=True))
        await begun.wait()
        others = [await queued(database.write_async(each)) for each in short]
        came.set()
        return list(await asyncio.gather(first, *others, return_exceptions=True))

    return asyncio.run(everything())


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("writes", "kept"),
    [
        ((LONG, SHORT), ["long", "short"]),
        ((LONG, fail, SHORT), ["long", "short"]),
        ((LONG, SHORT, end_transaction), ["long", "short"]),
        ((fail, SHORT), ["short"]),
    ],
)
def test_short_writes_share_the_transaction_of_a_long_one_and_not_its_errors(
    database_url: str, writes: tuple[Write, ...], kept: list[str]
) -> None:
    database.write(lambda db: db.execute(text("CREATE TABLE kept (name TEXT)")))
    ends = late_writes(*writes)
    assert [type(each) for each in ends] == [
        type(None) if each in {LONG, SHORT} else KeyError for each in writes
    ]
    assert sorted(database.read(names)) == kept


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_short_writes_share_the_commit_of_the_long_one_that_they_wait_for(database_url: str) -> None:
    database.write(lambda db: db.execute(text("CREATE TABLE kept (name TEXT)")))
    seen: list[tuple[list[str], list[str]]] = []

    def look(db: Session) -> None:
        keep(db, "short")
        seen.append((names(db), database.read(names)))

    assert late_writes(LONG, look, SHORT) == [None, None, None]
    assert seen == [(["long", "short"], [])]
    assert database.read(names) == ["long", "short", "short"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("is_long", [True, False])
def test_reads_give_way_to_a_long_write_but_do_not_wait_for_it(
    database_url: str, *, is_long: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "GIVE_WAY_UNTIL_SECONDS", SECONDS)
    done: list[str] = []

    async def everything() -> None:
        begun, read = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(_: Session) -> None:
            threading.Event().wait(group_commit.GIVE_WAY_FROM_SECONDS)
            loop.call_soon_threadsafe(begun.set)
            assert read.wait(SECONDS)

        write = await queued(database.write_async(hold, is_long=is_long))
        await begun.wait()
        reading = await queued(database.read_async(lambda _: done.append("read"), on_loop=True))
        done.append("others")
        await reading
        read.set()
        await write

    asyncio.run(everything())
    assert done == (["others", "read"] if is_long else ["read", "others"])


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_write_that_is_given_up_during_a_long_one_is_not_done(database_url: str) -> None:
    done: list[str] = []

    async def everything() -> None:
        begun, given_up = asyncio.Event(), threading.Event()
        loop = asyncio.get_running_loop()

        def hold(_: Session) -> None:
            loop.call_soon_threadsafe(begun.set)
            assert given_up.wait(SECONDS)

        long = await queued(database.write_async(hold, is_long=True))
        await begun.wait()
        dropped = await queued(database.write_async(lambda _: done.append("dropped")))
        kept = await queued(database.write_async(lambda _: done.append("kept")))
        dropped.cancel()
        await asyncio.sleep(0)
        given_up.set()
        await asyncio.gather(long, kept)

    asyncio.run(everything())
    assert done == ["kept"]


def test_a_large_batch_lets_short_writes_pass(api: Api) -> None:
    ada = api.person()
    operations = [{"op": "create", "task": {"title": "One of many"}}] * LARGE
    answers = together(
        [
            lambda: ada.post("/tasks/batch", json={"operations": operations}),
            lambda: ada.post("/tasks", json={"title": "Alone"}),
        ],
        behind_long=True,
    )
    assert [each.status_code for each in answers] == [200, 201]
    if database.is_sqlite:
        assert answers[1].json()["id"] < answers[0].json()["results"][0]["task"]["id"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/tasks/import", [{"title": "One of many"}]),
        ("PATCH", "/tasks?filter=id=1&expected=1", {"priority": 1}),
        ("DELETE", "/tasks?filter=id=1&expected=1", None),
        ("POST", "/projects", {"name": "Garden", "adopt_tasks": True}),
        ("PATCH", "/projects/1", {"name": "House and garden"}),
        ("DELETE", "/projects/1?tasks=delete", None),
        ("PUT", "/projects/1/members/2", {"role": "viewer"}),
        ("DELETE", "/projects/1/members/2", None),
        ("DELETE", "/users/2?delete_tasks=true", None),
    ],
)
@pytest.mark.usefixtures("database_url")
def test_a_change_of_many_tasks_lets_short_writes_pass(api: Api, method: str, path: str, body: Any) -> None:
    boss, bob = api.person("boss", admin=True), api.person("bob")
    assert boss.post("/tasks", json={"title": "Weed", "project": "Garden"}).json()["id"] == 1
    assert bob.post("/tasks", json={"title": "Cook"}).status_code == 201
    assert boss.post("/projects", json={"name": "House"}).json()["id"] == 1
    assert boss.put(f"/projects/1/members/{bob.id}", json={"role": "member"}).status_code == 200
    many, single = together(
        [
            lambda: boss.call(method, path, json=body),
            lambda: boss.post("/tasks", json={"title": "Alone"}),
        ],
        behind_long=True,
    )
    assert (many.status_code // 100, single.status_code, bob.id) == (2, 201, 2)
    last = database.read(
        lambda db: db.execute(select(task_history).order_by(task_history.c.id.desc())).first()
    )
    assert last is not None
    assert last.task_id != single.json()["id"]
