"""Waiting reads: requests that are answered as soon as there is an event."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from services.events.follower import follower
from web.transaction import ReadAgain

# Functions that end the waiting reads of this process at once.
_waiting: set[Callable[[], None]] = set()
# Each commit wakes all waiting reads. The more there are, the less often each of them looks, but at least twice a
# second, so that many cost other requests no more than a few.
SPACING_SECONDS = 0.005
LONGEST_SPACING_SECONDS = 0.5
# Committed events are held back while older transactions are open on Postgres. Most of these end within
# milliseconds, so after these pauses a client finds the event that it has just written.
SETTLING_SECONDS = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.1)


class Settling:
    """Has a request wait a moment until the feed shows all events that are committed when the request comes."""

    def __init__(self) -> None:
        self._pauses = iter(SETTLING_SECONDS)
        self._newest: int | None = None

    def check(self, newest: int, decided: int) -> None:
        """Raise ReadAgain unless this look at the feed shows them, or the wait is over."""
        if self._newest is None:
            self._newest = newest
        if decided < self._newest and (seconds := next(self._pauses, None)) is not None:
            raise ReadAgain(seconds)

    def end(self) -> None:
        """Wait no longer."""
        self._pauses = iter(())


async def wait_for_events(is_there: Callable[[], Awaitable[bool]], seconds: float) -> None:
    """Wait until `is_there` finds an event, at most for this many seconds."""
    loop, grown = asyncio.get_running_loop(), asyncio.Event()
    is_ended = False

    def notice() -> None:
        with contextlib.suppress(RuntimeError):  # The loop has closed.
            loop.call_soon_threadsafe(grown.set)

    def end() -> None:
        nonlocal is_ended
        is_ended = True
        notice()

    follower.listen(notice)
    _waiting.add(end)
    try:
        async with asyncio.timeout(seconds):
            while not (await is_there() or is_ended):
                looked = loop.time()
                await grown.wait()
                if not is_ended:
                    spacing = min(SPACING_SECONDS * len(_waiting), LONGEST_SPACING_SECONDS)
                    await asyncio.sleep(looked + spacing - loop.time())
                grown.clear()
    except TimeoutError:
        return
    finally:
        _waiting.discard(end)
        follower.leave(notice)


def end_all() -> None:
    """Answer every waiting read now, because the program stops. The clients ask another process."""
    for end in list(_waiting):
        end()
