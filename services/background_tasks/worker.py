"""A thread that does what comes after responses, for as many requests at once as are waiting."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future

from logging_config import logger


class Worker:
    """Does its work when it is woken, once for all that woke it meanwhile; started by the first who does.

    It belongs to no event loop, so that it serves programs that start no lifespan too. Where there is one, it is
    made resident: it also wakes by itself, and leaves a pause between two rounds for more to come together.

    The work returns in how many seconds it wants to be done again, if it knows.
    """

    def __init__(self, name: str, work: Callable[[set[int]], float | None]) -> None:
        self._name, self._work = name, work
        self._waiting: deque[tuple[tuple[int, ...], Future[None] | None]] = deque()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._interval: float | None = None
        self._pause = 0.0
        self.ending = threading.Event()

    @property
    def is_resident(self) -> bool:
        """Whether it wakes by itself, so that nobody need wait for it."""
        return self._interval is not None

    def reside(self, interval: float, pause: float = 0.0) -> None:
        """Wake by itself every so many seconds from now on, beginning at once."""
        self._interval, self._pause = interval, pause
        self.wake()

    def wake(self, *user_ids: int) -> None:
        """Have the work done, soon, for these accounts among others."""
        self._put(user_ids, None)

    def wake_and_tell(self, *user_ids: int) -> "Future[None]":
        """Have the work done; the future is done when it is."""
        done: Future[None] = Future()
        self._put(user_ids, done)
        return done

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

    def _put(self, user_ids: tuple[int, ...], done: "Future[None] | None") -> None:
        # First what is to be done, then the call: the thread goes the other way round, so that none is missed.
        self._waiting.append((user_ids, done))
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
                    self._thread.start()
        if not self._awake.is_set():
            self._awake.set()

    def _serve(self) -> None:
        soon: float | None = None
        while not self.ending.is_set() or self._waiting:
            self._awake.wait(
                self._interval if soon is None or self._interval is None else min(soon, self._interval)
            )
            self._awake.clear()
            user_ids: set[int] = set()
            told = []
            while self._waiting:
                ids, done = self._waiting.popleft()
                user_ids.update(ids)
                if done is not None:
                    told.append(done)
            try:
                soon = self._work(user_ids)
            except Exception as error:  # noqa: BLE001  # the thread must go on, and does it again when it wakes next
                soon = None
                logger.warning("Background work (%s) failed and is done again later: %s", self._name, error)
            for done in told:
                if not done.cancelled():
                    done.set_result(None)
            if self._pause:
                self.ending.wait(self._pause)
