"""Delivering to webhooks: one thread hands out due webhooks, and others wait for the receivers.

The life of a delivery:

1. A change writes its row of the history, and nothing for webhooks.
2. `dispatch` follows the feed, and writes a row for each event and each webhook that wants it.
3. `Courier` claims webhooks that are due, and hands each to a sender.
4. The sender sends the webhook's letters: one after the other to a quick receiver, several at once to a
slower one.
5. The sender writes the results with the times of the next attempts, and releases the webhook.

Receivers that were slow or could not be reached have senders of their own, so that they do not hold up the
others.

A server has a process beside it do all of this while there are webhooks (`DeliveryProcess`). Until that process is
ready, or if it can't run, the server does it itself.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence

from config import settings
from database import AnyRow, database
from errors import fault_of
from logging_config import logger
from services.delivery.worker import Worker
from services.events.follower import follower
from services.webhooks import claims, dispatch, sending
from services.webhooks.process import DeliveryProcess
from services.webhooks.sending import Letter, Result
from storage.faults import fault_log

# The numbers of threads that wait for receivers: they start when they are needed, and end when idle.
STEADY = 64
MOST_STEADY = 512
TROUBLED = 32
# A letter that takes longer no longer counts against the number of senders.
LONG_SECONDS = 0.3
IDLE_SECONDS = 10.0
# The most senders that use the database at once, so that they take few of its connections.
DATABASE_TURNS = 2
# A receiver that answers in less than QUICK_SECONDS gets one letter after the other; a slower one gets
# AT_ONCE letters at a time.
QUICK_SECONDS = 0.05
AT_ONCE = claims.SLOW_BATCH
# A sender begins no letter after this long, because the claim could end before the answer comes.
LONGEST_TURN_SECONDS = 2.0
# The least time between two looks for webhooks after changes.
LOOK_SECONDS = 5.0
# The time that an ending process waits for receivers.
STOP_SECONDS = 3.0


class Lane:
    """Threads that take work in its order: they start when work finds no idle thread, and end when idle.

    Work that has lasted a while no longer counts towards `size`. Receivers that all stop answering at the
    same moment therefore hold up the others only briefly. There are never more than `most` threads.
    """

    def __init__(self, name: str, size: int, most: int) -> None:
        self._name, self._size, self._most = name, size, most
        # The time when each thread began its current work.
        self._begun: dict[int, float] = {}
        self._work: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        # The number of pieces of work that wait or are being done.
        self._open = 0

    def free(self) -> int:
        """The number of further pieces of work that would begin at once."""
        begun_before = time.monotonic() - LONG_SECONDS
        with self._lock:
            lasting = sum(began < begun_before for began in self._begun.values())
            return min(self._size + lasting, self._most) - self._open

    @property
    def is_idle(self) -> bool:
        """Whether no work waits or is being done."""
        return self._open == 0

    def put(self, work: Callable[[], None]) -> None:
        """Have the work done."""
        with self._lock:
            self._open += 1
            starts = self._threads < min(self._open, self._most)
            self._threads += starts
            # The work is put under the lock, because a thread that is about to end looks once more under the
            # lock.
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
            except Exception as error:  # noqa: BLE001  # the claim ends by itself: another try follows
                if not fault_log.add(error):
                    logger.warning(
                        "A webhook could not be served and is tried again later: %s",
                        error,
                        exc_info=fault_of(error),
                    )
            finally:
                with self._lock:
                    self._open -= 1
                    del self._begun[threading.get_ident()]


class Courier:
    """Hands due webhooks to senders."""

    def __init__(self, wake: Callable[[], object]) -> None:
        self._wake = wake
        self._steady = Lane("webhooks", STEADY, MOST_STEADY)
        self._troubled = Lane("webhooks-in-trouble", TROUBLED, TROUBLED)
        self._turns = threading.BoundedSemaphore(DATABASE_TURNS)
        self.ending = threading.Event()

    def deliver(self) -> float | None:
        """Hand out all due webhooks; returns the seconds until the next is due, if known."""
        while not self.ending.is_set():
            free = {False: self._steady.free(), True: self._troubled.free()}
            due = database.read(claims.next_due)
            # Without a free sender webhooks wait: a sender that becomes free wakes this thread.
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
        """Send the letters of a webhook, and write the results."""
        letters: list[Letter] = []
        if not self.ending.is_set():
            with self._turns:
                letters = database.read(lambda db: claims.take(db, webhook))
        if webhook.is_slow:
            results = self._send_at_once(letters)
        else:
            results = self._send(letters[:1])
            first = results[0][1] if results else None
            # A quick receiver gets the rest in order.
            if first is not None and not first.is_unreachable and first.seconds <= LONGEST_TURN_SECONDS:
                is_quick = first.seconds < QUICK_SECONDS
                results += (self._send if is_quick else self._send_at_once)(letters[1:])
        with self._turns:
            database.write(lambda db: claims.settle(db, webhook, results))
        self._wake()

    def _send_at_once(self, letters: Sequence[Letter]) -> list[tuple[Letter, Result]]:
        """Send several of these letters at the same time."""
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
        """Send these letters one after the other, as long as the claim allows."""
        results: list[tuple[Letter, Result]] = []
        seconds = 0.0
        for letter in letters:
            result = sending.send(letter)
            results.append((letter, result))
            seconds += result.seconds
            # The next letter must end before the claim does. After a receiver was not reached, other webhooks
            # come first.
            if result.is_unreachable or seconds > LONGEST_TURN_SECONDS or self.ending.is_set():
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
        self._process = DeliveryProcess(self._worker.wake)
        self._is_started = self._listens = self._has_process = False
        self._looked_at = -LOOK_SECONDS

    def start(self, *, in_process: bool = True) -> None:
        """Deliver from now on, beginning with deliveries that an earlier process left.

        Unless it happens `in_process`, a child process delivers while there are webhooks.
        """
        self._courier.ending.clear()
        self._is_started, self._has_process = True, not in_process
        self._worker.keep_running(settings.delivery_poll_seconds)

    def wake(self) -> None:
        """Look at once, because a webhook was changed or has a new delivery."""
        if self._is_started:
            self._worker.wake()
        elif settings.webhook_delivery:
            self.start()

    def notice(self) -> None:
        """Look for webhooks after a change: without a lifespan no other code does."""
        if (
            settings.webhook_delivery
            and not self._is_started
            and time.monotonic() - self._looked_at >= LOOK_SECONDS
        ):
            self._looked_at = time.monotonic()
            self._worker.wake()

    def begin_to_stop(self) -> None:
        """Begin no more deliveries. A signal handler may call this: it waits for nothing."""
        self._courier.ending.set()
        self._process.begin_to_stop()

    def stop(self) -> None:
        """Finish the letters that are being sent; the next process takes up the rest."""
        self._courier.stop(STOP_SECONDS)
        self._process.stop(STOP_SECONDS + 1)
        self._worker.stop()
        follower.leave(self._worker.wake)
        # Until it left, the follower may have started the thread again.
        self._worker.stop()
        self._is_started = self._listens = self._has_process = False
        self._looked_at = -LOOK_SECONDS
        self._courier.ending.clear()

    def _work(self, _user_ids: set[int]) -> float | None:
        if self._has_process and not self._courier.ending.is_set():
            self._process.keep(wanted=dispatch.is_needed())
            if self._process.is_ready:
                self._process.wake()
                self._listen(is_needed=False)
                return None
        is_needed = dispatch.dispatch()
        if is_needed and not self._is_started:
            self.start()
        self._listen(is_needed=is_needed)
        return self._courier.deliver() if is_needed else None

    def _listen(self, *, is_needed: bool) -> None:
        """Follow the feed while this process delivers."""
        if is_needed and not self._listens:
            follower.listen(self._worker.wake)
        elif self._listens and not is_needed:
            follower.leave(self._worker.wake)
        self._listens = is_needed


deliveries = Deliveries()
