"""SQLite's writer: the short writes that wait are committed together, and take turns with the long ones."""

import asyncio
import threading

import pytest
from fastapi.testclient import TestClient
from sqlalchemy import text
from sqlalchemy.orm import Session

from database import database


def test_short_writes_wait_for_one_long_write_at_most(client: TestClient) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres has many writers")
    done: list[str] = []
    begun, go_on = threading.Event(), threading.Event()
    later: list[asyncio.Task[None]] = []

    def block(_: Session) -> None:
        begun.set()
        assert go_on.wait(60)

    async def write(name: str, *, is_long: bool = False, then: str = "") -> None:
        loop = asyncio.get_running_loop()

        def work(db: Session) -> None:
            db.execute(text("UPDATE users SET username = username"))
            done.append(name)
            if then:
                come = asyncio.run_coroutine_threadsafe(submit(then), loop)
                come.result(60)

        await database.write_async(work, is_long=is_long)

    async def submit(name: str) -> None:
        later.append(asyncio.create_task(write(name)))
        # Its job is in the queue once the task waits for it.
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def everything() -> None:
        first = asyncio.create_task(database.write_async(block, is_long=True))
        await asyncio.to_thread(begun.wait, 60)
        waiting = [
            asyncio.create_task(write("long 1", is_long=True, then="short 3")),
            asyncio.create_task(write("short 1")),
            asyncio.create_task(write("long 2", is_long=True)),
            asyncio.create_task(write("short 2")),
        ]
        await asyncio.sleep(0)
        go_on.set()
        await asyncio.gather(first, *waiting)
        await asyncio.gather(*later)

    asyncio.run(everything())
    assert done == ["short 1", "short 2", "long 1", "short 3", "long 2"]
