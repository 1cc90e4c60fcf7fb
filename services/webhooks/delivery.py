"""Delivering to webhooks: one thread sees to what is due, others wait for the receivers.

The life of a delivery:

1. A change writes its row of the history. It knows nothing of webhooks, and costs nothing more.
2. `dispatch` follows the feed, and writes a row for each event and each webhook that wants it.
3. `Courier` claims webhooks that are due, and hands each to a sender.
4. The sender sends the webhook's letters one after the other, over connections of its own.
5. What became of them is written with the time of the next attempt, and the webhook is free again.

Receivers that were slow or could not be reached have senders of their own. However many they are, the others are
served by senders that none of them holds up.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence

from config import settings
from database import AnyRow, database
from logging_config import logger
from services.delivery.worker import Worker
from services.events.follower import follower
from services.webhooks import claims, dispatch, sending
from services.webhooks.sending import Letter, Result

# Threads that wait for receivers: they start when they are needed, and cost nothing while they wait.
STEADY = 64
MOST_STEADY = 512
TROUBLED = 32
# A letter that takes longer does not keep others from being begun.
LONG_SECONDS = 0.3
IDLE_SECONDS = 10.0
# Senders that use the database at the same moment, so that they take few of its connections.
DATABASE_TURNS = 2
# A quick receiver is sent one letter after the other, a slower one so many at once.
QUICK_SECONDS = 0.05
AT_ONCE = claims.SLOW_BATCH
# After so long a sender begins no further letter, because the claim could end before the answer comes.
LONGEST_TURN = 2.0
# How often, at most, a change looks whether there are webhooks.
LOOK_SECONDS = 5.0
# How long a process that ends waits for receivers.
STOP_SECONDS = 3.0


class Lane:
    """Threads that take work in its order; started when there is work and no idle thread, ended when they idle.

    Work that has lasted a while does not count among the `size` any more, so that receivers which all cease to answer
    at the same moment hold up the others only briefly; there are never more than `most` threads.
    """

    def __init__(self, name: str, size: int, most: int) -> None:
        self._name, self._size, self._most = name, size, most
        # When the work began that each thread is at.
        self._begun: dict[int, float] = {}
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        # Pieces of work that wait or are being done.
        self._open = 0

    def free(self) -> int:
        """How many more pieces of work would be begun at once."""
        begun_before = time.monotonic() - LONG_SECONDS
        with self._lock:
            lasting = sum(began < begun_before for began in self._begun.values())
            return min(self._size + lasting, self._most) - self._open

    @property
    def is_idle(self) -> bool:
        return self._open == 0

    def put(self, work: Callable[[], None]) -> None:
        """Have the work done."""
        with self._lock:
            self._open += 1
            starts = self._threads < min(self._open, self._most)
            self._threads += starts
            # Within the lock: a thread that ends for want of work looks here once more.
            self._work.put(work)
        if starts:
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                work = self._work.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._lock:
                    if self._work.empty():
                        self._threads -= 1
                        return
                continue
            with self._lock:
                self._begun[threading.get_ident()] = time.monotonic()
            try:
                work()
            except Exception as error:  # noqa: BLE001  # the claim ends by itself, and somebody tries again
                logger.warning("A webhook could not be served and is tried again later: %s", error)
            finally:
                with self._lock:
                    self._open -= 1
                    del self._begun[threading.get_ident()]


class Courier:
    """Hands what is due to senders."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._steady = Lane("webhooks", STEADY, MOST_STEADY)
        self._troubled = Lane("webhooks-in-trouble", TROUBLED, TROUBLED)
        self._turns = threading.BoundedSemaphore(DATABASE_TURNS)
        self.ending = threading.Event()

    def deliver(self) -> float | None:
        """Hand out all that is due; in how many seconds there is more, if that is known."""
        while not self.ending.is_set():
            free = {False: self._steady.free(), True: self._troubled.free()}
            due = database.read(claims.next_due)
            # What no sender is free for waits until one is, who then wakes us.
            waits = [seconds for is_troubled, seconds in due.items() if free[is_troubled] > 0]
            if not waits:
                return LONG_SECONDS if due else None
            if min(waits) > 0:
                return min(waits)
            claimed = database.write(
                lambda db, free=free: claims.claim(db, steady=free[False], troubled=free[True])  # type: ignore[misc]
            )
            for webhook in claimed:
                lane = self._troubled if webhook.failures or webhook.is_slow else self._steady
                lane.put(lambda webhook=webhook: self._serve(webhook))  # type: ignore[misc]
            if not claimed:
                return None
        return None

    def _serve(self, webhook: AnyRow) -> None:
        """Send the letters of a webhook and write down what became of them."""
        letters: list[Letter] = []
        if not self.ending.is_set():
            with self._turns:
                letters = database.read(lambda db: claims.take(db, webhook))
        if webhook.is_slow:
            results = self._send_at_once(letters)
        else:
            results = self._send(letters[:1])
            first = results[0][1] if results else None
            # A quick receiver is sent the rest in its order.
            if first is not None and not first.is_unreachable and first.seconds <= LONGEST_TURN:
                is_quick = first.seconds < QUICK_SECONDS
                results += (self._send if is_quick else self._send_at_once)(letters[1:])
        with self._turns:
            database.write(lambda db: claims.settle(db, webhook, results))
        self._wake()

    def _send_at_once(self, letters: Sequence[Letter]) -> list[tuple[Letter, Result]]:
        """Send several of these at the same time."""
        results: list[tuple[Letter, Result]] = []
        threads = [
            threading.Thread(target=lambda part=part: results.extend(self._send(part)), daemon=True)
            for part in (letters[place::AT_ONCE] for place in range(AT_ONCE))
            if part
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def _send(self, letters: Sequence[Letter]) -> list[tuple[Letter, Result]]:
        """Send these one after the other, as far as the claim allows."""
        results: list[tuple[Letter, Result]] = []
        seconds = 0.0
        for letter in letters:
            result = sending.send(letter)
            results.append((letter, result))
            seconds += result.seconds
            # The next one must end before the claim does. After one that was not reached others come first.
            if result.is_unreachable or seconds > LONGEST_TURN or self.ending.is_set():
                break
        return results

    def stop(self, patience: float) -> None:
        """Hand out nothing more, and wait for the senders."""
        self.ending.set()
        end = time.monotonic() + patience
        while time.monotonic() < end and not (self._steady.is_idle and self._troubled.is_idle):
            time.sleep(0.01)
        sending.connections.close()


class Deliveries:
    """The delivery of webhooks in this process; it belongs to no event loop."""

    def __init__(self) -> None:
        self._worker = Worker("webhook-deliveries", self._work)
        self._courier = Courier(self._worker.wake)
        self._resides = self._listens = False
        self._looked_at = -LOOK_SECONDS

    def start(self) -> None:
        """Deliver from now on, beginning with what an earlier process left."""
        self._courier.ending.clear()
        self._resides = True
        self._worker.reside(settings.delivery_poll_seconds)

    def wake(self) -> None:
        """Look at once: a webhook was changed, or is to be sent something."""
        if self._resides:
            self._worker.wake()
        elif settings.webhook_delivery:
            self.start()

    def notice(self) -> None:
        """Something was changed here: without a lifespan nobody else finds out whether there are webhooks."""
        if (
            settings.webhook_delivery
            and not self._resides
            and time.monotonic() - self._looked_at >= LOOK_SECONDS
        ):
            self._looked_at = time.monotonic()
            self._worker.wake()

    def begin_to_stop(self) -> None:
        """Begin no more deliveries; it only says so."""
        self._courier.ending.set()

    def stop(self) -> None:
        """Finish what is being sent; the rest is left for the next process."""
        follower.leave(self._worker.wake)
        self._courier.stop(STOP_SECONDS)
        self._worker.stop()
        self._resides = self._listens = False
        self._looked_at = -LOOK_SECONDS
        self._courier.ending.clear()

    def _work(self, _user_ids: set[int]) -> float | None:
        is_needed = dispatch.dispatch()
        if is_needed and not self._resides:
            self.start()
        if is_needed and not self._listens:
            follower.listen(self._worker.wake)
        elif self._listens and not is_needed:
            follower.leave(self._worker.wake)
        self._listens = is_needed
        return self._courier.deliver() if is_needed else None


deliveries = Deliveries()
