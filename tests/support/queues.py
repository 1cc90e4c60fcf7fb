"""Holding up the threads that work for requests, so that a test decides what happens while they wait."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from security.passwords import hashing


@contextmanager
def busy_hashing() -> Iterator[Callable[[int], None]]:
    """The hashing thread, held up; yields a function that waits until so many wait for it."""
    go_on, begun = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        go_on.wait(30)

    def wait_for(number: int) -> None:
        deadline = time.monotonic() + 10
        while hashing.waiting() < number:
            assert time.monotonic() < deadline
            time.sleep(0.002)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(lambda: asyncio.run(hashing.run(hold)))
        assert begun.wait(10)
        try:
            yield wait_for
        finally:
            go_on.set()
            held.result()
