"""A thread for work after responses, which serves all waiting requests in one round."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from errors import fault_of
from logging_config import logger
from storage.faults import fault_log
from storage.threads import finish, wake

# After a round with no more requests than this, the next round starts without a pause.
FEW_WAKES = 3


class Worker:
    """Does its work when it is woken, once for all requests that woke it meanwhile. The first call starts it.

    The thread belongs to no event loop, so that it also serves programs that start no lifespan. A lifespan
    makes the worker resident: it then wakes by itself too, and pauses between rounds, so that one round
    serves more requests.

    The work returns the number of seconds after which it should be done again, if it knows.
    """

    def __init__(self, name: str, work: Callable[[set[int]], float | None]) -> None:
        self._name, self._work = name, work
        self._waiting: deque[tuple[int, ...]] = deque()
        # The future of the next round's end, and the same for callers that wait on an event loop.
        self._round: Future[None] = Future()
        self._shared: tuple[Future[None], asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._interval: float | None = None
        self._pause = 0.0
        self.ending = threading.Event()

    def keep_running(self, interval: float, pause: float = 0.0) -> None:
        """Wake by itself at this interval (in seconds) from now on, beginning at once."""
        self._interval, self._pause = interval, pause
        self.wake()

    def wake(self, *user_ids: int) -> "Future[None]":
        """Ask for the work for these accounts; the future is done when the work is done."""
        # The request is noted before the round is read. The thread does the opposite, so that the round that
        # is returned never ends before it has seen the request.
        self._waiting.append(user_ids)
        this_round = self._round
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(
                        target=self._serve, args=[self.ending], name=self._name, daemon=True
                    )
                    self._thread.start()
        if not self._awake.is_set():
            self._awake.set()
        return this_round

    async def work(self, *user_ids: int, patience: float) -> None:
        """Have the work done for these accounts, and wait for its end, at most this many seconds.

        Callers that wait for the same round on one event loop share a future, because there may be hundreds.
        """
        this_round, loop = self.wake(*user_ids), asyncio.get_running_loop()
        shared = self._shared
        if shared is None or shared[0] is not this_round or shared[1] is not loop:
            end: asyncio.Future[None] = loop.create_future()
            this_round.add_done_callback(lambda _: _tell(end))
            loop.call_later(patience, finish, end)
            shared = self._shared = (this_round, loop, end)
        await shared[2]

    def stop(self, patience: float = 3.0) -> bool:
        """End the thread after its current round; returns whether it ended in time.

        The next call of the worker starts another thread.
        """
        with self._lock:
            thread, self._interval, self._pause = self._thread, None, 0.0
            if thread is None:
                return True
            self.ending.set()
            self._awake.set()
            thread.join(patience)
            # A thread that is still in its round ends by itself, and is not waited for by the next one.
            self._thread, self.ending = None, threading.Event()
            return not thread.is_alive()

    def _serve(self, ending: threading.Event) -> None:
        soon: float | None = None
        thread = threading.current_thread()
        while not ending.is_set() or (self._waiting and self._thread is thread):
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
            except Exception as error:  # noqa: BLE001  # the thread goes on, and tries again later
                soon = None
                if not fault_log.add(error):
                    logger.warning(
                        "Background work (%s) failed and is done again later: %s",
                        self._name,
                        error,
                        exc_info=fault_of(error),
                    )
            this_round.set_result(None)
            if self._pause and wakes > FEW_WAKES:
                ending.wait(self._pause)


def _tell(end: "asyncio.Future[None]") -> None:
    with contextlib.suppress(RuntimeError):  # The loop is closed: no one waits any more.
        wake(end)
