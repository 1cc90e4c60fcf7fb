"""Work that is done or has failed is freed at once, not when the garbage collector runs: it may hold a large body."""

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from database import database
from errors import NotFound
from storage.threads import Threads
from tests.support.waiting import wait_until

threads = Threads(1, "freed")


async def _write_here(work: Callable[[Any], Any]) -> Any:
    return database.write(work)


WAYS: dict[str, Callable[[Callable[..., Any]], Awaitable[Any]]] = {
    "threads": lambda work: threads.run(lambda: work(None)),
    "read": database.read_async,
    "read on the loop": lambda work: database.read_async(work, on_loop=True),
    "write": database.write_async,
    "long write": lambda work: database.write_async(work, is_long=True),
    "write here": _write_here,
}


class Body:
    """Stands for a large body."""


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("fails", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_work_is_freed_once_it_is_answered(client: TestClient, way: str, fails: bool) -> None:  # noqa: FBT001
    async def ask() -> "weakref.ref[Body]":
        body = Body()

        def work(_db: Any, body: Body = body) -> None:
            if fails:
                raise NotFound(f"There is no {body}")

        with contextlib.suppress(NotFound):
            await WAYS[way](work)
        return weakref.ref(body)

    freed = asyncio.run(ask())
    # The thread lets go of it a moment after the answer.
    wait_until(lambda: freed() is None)
