"""Noticing new events, for all listeners in this process.

One thread looks for new events, only while there are listeners. It looks at once after a commit of this
process, and a few times a second for commits of other processes. It belongs to no event loop.
"""

import threading
import time
from collections.abc import Callable

from database import database
from errors import fault_of
from logging_config import logger
from services.events.watermark import watermark
from storage.faults import fault_log

# The longest time until a commit of another process is noticed.
POLL_SECONDS = 0.25
# Several commits share one look in this time.
PAUSE_SECONDS = 0.01
# The time between looks while open transactions hold events back.
UNDECIDED_SECONDS = 0.03


class Follower:
    """Calls all listeners when the feed has grown."""

    def __init__(self) -> None:
        self._listeners: set[Callable[[], object]] = set()
        self._lock = threading.Lock()
        self._awake = threading.Event()
        self._thread: threading.Thread | None = None

    def listen(self, listener: Callable[[], object]) -> None:
        """Call the listener from now on, in the follower's thread, whenever there are new events."""
        with self._lock:
            self._listeners.add(listener)
            database.after_commit = self.wake
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="events", daemon=True)
                self._thread.start()

    def leave(self, listener: Callable[[], object]) -> None:
        """Never call the listener again; the thread ends after the last listener has left."""
        with self._lock:
            self._listeners.discard(listener)
            if not self._listeners:
                self._awake.set()

    def wake(self) -> None:
        """Look soon, after a commit of this process."""
        if not self._awake.is_set():
            self._awake.set()

    def _serve(self) -> None:
        announced, wait, is_failing = -1, 0.0, False
        while True:
            self._awake.wait(wait)
            self._awake.clear()
            with self._lock:
                if not self._listeners:
                    self._thread = None
                    return
            wait = POLL_SECONDS
            try:
                decided = database.read(watermark.look)
            except Exception as error:  # noqa: BLE001  # the thread goes on, and looks again
                if not fault_log.add(error) and not is_failing:
                    logger.warning("The feed can't be followed just now: %s", error, exc_info=fault_of(error))
                is_failing = True
                continue
            is_failing = False
            if watermark.is_waiting:
                wait = UNDECIDED_SECONDS
            if decided != announced:
                announced = decided
                with self._lock:
                    # Also those that came during the look: they may have found nothing just before it.
                    listeners = list(self._listeners)
                for listener in listeners:
                    self._tell(listener)
                time.sleep(PAUSE_SECONDS)

    def _tell(self, listener: Callable[[], object]) -> None:
        # The lock keeps the listener from leaving before the call. One that has left may have stopped: the call would start it again.
        with self._lock:
            if listener in self._listeners:
                listener()


follower = Follower()
