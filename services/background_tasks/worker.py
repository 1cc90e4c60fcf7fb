"""The one thread that does what comes after responses, for as many requests at once as are waiting."""

import asyncio
import queue
import threading
from concurrent.futures import Future

from logging_config import logger
from services.background_tasks.analytics_tasks import update_analytics_cache
from services.background_tasks.notification_tasks import deliver_due

# How long a background task waits for its work: a server that stops must not wait for a slow mail server.
PATIENCE_SECONDS = 5.0


class Worker:
    """Refreshes caches and delivers notifications when it is woken; started by the first who wakes it.

    It belongs to no event loop, so that it serves programs that start no lifespan too.
    """

    def __init__(self) -> None:
        self._woken: queue.SimpleQueue[tuple[tuple[int, ...], Future[None]] | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def wake(self, *user_ids: int) -> "Future[None]":
        """Have the caches of these accounts refreshed and deliver what is due; done when the future is."""
        done: Future[None] = Future()
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._serve, name="background", daemon=True)
                    self._thread.start()
        self._woken.put((user_ids, done))
        return done

    def stop(self) -> None:
        """End the thread after what it is doing; the next who wakes it starts another."""
        with self._lock:
            if self._thread is not None:
                self._woken.put(None)
                self._thread.join()
                self._thread = None

    def _serve(self) -> None:
        while (first := self._woken.get()) is not None:
            waiting, ends = [first], False
            try:
                while True:
                    more = self._woken.get_nowait()
                    if more is None:
                        ends = True
                        break
                    waiting.append(more)
            except queue.Empty:
                pass
            self._work({user_id for user_ids, _ in waiting for user_id in user_ids})
            for _, done in waiting:
                if not done.cancelled():
                    done.set_result(None)
            if ends:
                return

    @staticmethod
    def _work(user_ids: set[int]) -> None:
        for user_id in user_ids:
            update_analytics_cache(user_id)
        try:
            asyncio.run(_deliver_all())
        except Exception:  # noqa: BLE001  # the thread must go on
            logger.exception("Notifications could not be delivered; they are tried again")


async def _deliver_all() -> None:
    while await deliver_due():
        pass


worker = Worker()


async def after_change(*user_ids: int) -> None:
    """What follows a change of these accounts' tasks: their caches are refreshed, notifications delivered."""
    await asyncio.wait([asyncio.wrap_future(worker.wake(*user_ids))], timeout=PATIENCE_SECONDS)
