"""Reads that wait: a request that is answered as soon as there is something to answer."""

import asyncio
import contextlib
import threading
from collections.abc import Awaitable, Callable

from services.events.follower import follower

_ending = threading.Event()


async def wait_for_events(is_there: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait until `is_there` finds an event, for so many seconds at most."""
    loop, grown = asyncio.get_running_loop(), asyncio.Event()

    def notice() -> None:
        with contextlib.suppress(RuntimeError):  # The loop has closed.
            loop.call_soon_threadsafe(grown.set)

    follower.listen(notice)
    try:
        async with asyncio.timeout(seconds):
            while not await is_there():
                await grown.wait()
                grown.clear()
    except TimeoutError:
        return
    finally:
        follower.leave(notice)
