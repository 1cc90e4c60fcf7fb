"""A thread that does what comes after responses, for as many requests at once as are waiting."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from logging_config import logger

# With no more than that in a round, the next one need not wait for more to come together.
FEW_WAKES = 3


class Worker:
    """Does its work when it is woken, once for all that woke it meanwhile; started by the first who does.

    It belongs to no event loop, so that it serves programs that start no lifespan too. Where there is one, it is
    made resident: it also wakes by itself, and where many wake it leaves a pause for more to come together.

    The work returns in how many seconds it wants to be done again, if it knows.
    """

    def __init__(self, name: str, work: Callable[[set[int]], float | None]) -> None:
        self._name, self._work = name, work
        self._waiting: deque[tuple[int, ...]] = deque()
        # Done at the end of the next round, and the same for those who wait on an event loop.
        self._round: Future[None] = Future()
        self._shared: tuple[Future[None], asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._interval: float | None = None
        self._pause = 0.0
        self.ending = threading.Event()

    def reside(self, interval: float, pause: float = 0.0) -> None:
        """Wake by itself every so many seconds from now on, beginning at once."""
        self._interval, self._pause = interval, pause
        self.wake()

    def wake(self, *user_ids: int) -> "Future[None]":
        """Have the work done, soon, for these accounts among others; the future is done when it is."""
        # First what is to be done, then which round it is: the thread goes the other way round, so that the
        # round that is told of is never over before the work was seen.
        self._waiting.append(user_ids)
        this_round = self._round
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                    self._thread.start()
        if not self._awake.is_set():
            self._awake.set()
        return this_round

    async def work(self, *user_ids: int, patience: float) -> None:
        """Have the work done for these accounts and wait for its end, for so many seconds at most.

        All who wait for the same round on one event loop share one future: there may be hundreds of them.
        """
        this_round, loop = self.wake(*user_ids), asyncio.get_running_loop()
        shared = self._shared
        if shared is None or shared[0] is not this_round or shared[1] is not loop:
            end: asyncio.Future[None] = loop.create_future()
            this_round.add_done_callback(lambda _: _tell(loop, end))
            loop.call_later(patience, _finish, end)
            shared = self._shared = (this_round, loop, end)
        await shared[2]

    def stop(self, patience: float = 3.0) -> bool:
        """End the thread after what it is doing; whether it ended in time. The next who wakes it starts another."""
        with self._lock:
            thread, self._interval, self._pause = self._thread, None, 0.0
            if thread is None:
                return True
            self.ending.set()
            self._awake.set()
            thread.join(patience)
            if thread.is_alive():
                return False
            self._thread = None
            self.ending.clear()
            return True

    def _serve(self) -> None:
        soon: float | None = None
        while not self.ending.is_set() or self._waiting:
            self._awake.wait(
                self._interval if soon is None or self._interval is None else min(soon, self._interval)
            )
            self._awake.clear()
            this_round, self._round = self._round, Future()
            user_ids: set[int] = set()
            wakes = 0
            while self._waiting:
                user_ids.update(self._waiting.popleft())
                wakes += 1
            try:
                soon = self._work(user_ids)
            except Exception as error:  # noqa: BLE001  # the thread must go on, and does it again when it wakes next
                soon = None
                logger.warning("Background work (%s) failed and is done again later: %s", self._name, error)
            this_round.set_result(None)
            if self._pause and wakes > FEW_WAKES:
                self.ending.wait(self._pause)


def _tell(loop: asyncio.AbstractEventLoop, end: "asyncio.Future[None]") -> None:
    with contextlib.suppress(RuntimeError):  # The loop has closed: nobody waits any more.
        loop.call_soon_threadsafe(_finish, end)


def _finish(end: "asyncio.Future[None]") -> None:
    if not end.done():
        end.set_result(None)
