"""Holds up the threads that work for requests, so that a test decides which things happen while they wait."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from security.passwords import hashing
from tests.support.waiting import SECONDS, wait_until


@contextmanager
def busy_hashing() -> Iterator[Callable[[int], None]]:
    """Hold up the hashing thread; yields a function that waits until a number of requests wait for it."""
    go_on, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(SECONDS)

    def wait_for(number: int) -> None:
        wait_until(lambda: hashing.waiting() >= number)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(lambda: asyncio.run(hashing.run(hold)))
        assert begun.wait(SECONDS)
        try:
            yield wait_for
        finally:
            go_on.set()
            held.result()
