"""Threads that work for any event loop, and the pieces of work they are handed."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, copy_context
from typing import Any, TypeVar

from sqlalchemy.orm import Session

T = TypeVar("T")


class Job:
    """One piece of work for another thread, with the future that its caller waits for."""

    __slots__ = ("context", "error", "future", "is_long", "loop", "result", "work")

    def __init__(
        self, work: Callable[..., Any], loop: asyncio.AbstractEventLoop | None, *, is_long: bool = False
    ) -> None:
        self.work, self.is_long = work, is_long
        self.context: Context = copy_context()
        self.loop = loop
        self.future: Any = Future() if loop is None else loop.create_future()
        self.result: Any = None
        self.error: BaseException | None = None

    def run(self, session: Session | None = None) -> None:
        """Do the work and keep its result or error; a second run replaces the result or error of the first."""
        try:
            if session is None:
                self.result = self.context.run(self.work)
            else:
                self.result = self.context.run(self.work, session)
                session.flush()
            self.error = None
        except BaseException as error:  # noqa: BLE001  # handed to the caller that waits
            self.result, self.error = None, error

    def settle(self) -> None:
        """Set the result of the future; for a future of an event loop, call this in that loop only."""
        if not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)
        # The error refers to the frames that it went through, and these to this job. If the job still referred to the
        # error, only the garbage collector would free the work, with a body of megabytes.
        self.future = self.result = self.error = None


def settle(jobs: list[Job]) -> None:
    """Answer a batch, waking each event loop once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Job]] = {}
    for job in jobs:
        if job.loop is None:
            job.settle()
        else:
            by_loop.setdefault(job.loop, []).append(job)
    for loop, ours in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle_all, ours)
        except RuntimeError:
            continue  # The loop is closed: no one waits any more.


def _settle_all(jobs: list[Job]) -> None:
    for job in jobs:
        job.settle()


def wake(waiting: "asyncio.Future[None]") -> None:
    """End the wait for this future, from any thread; raises RuntimeError if its event loop has closed."""
    waiting.get_loop().call_soon_threadsafe(finish, waiting)


def finish(waiting: "asyncio.Future[None]") -> None:
    """End the wait for this future, unless it has ended already; call this in the future's event loop only."""
    if not waiting.done():
        waiting.set_result(None)


class Threads:
    """A few threads that work for any event loop, started when they are first needed.

    A hop costs less than `run_in_threadpool`. The threads are not shared with it, so that work which waits here
    holds up nothing else.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size, self._name = size, name
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._started = 0
        self._lock = threading.Lock()

    def again(self) -> "Threads":
        """Other threads, for a process that was forked: these are not there."""
        return Threads(self._size, self._name)

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in one of the threads, with the caller's context."""
        job = Job(work, asyncio.get_running_loop())
        future = job.future
        if self._started < self._size:
            self._start_one()
        self._jobs.put(job)
        try:
            result: T = await future
        finally:
            # An error that is raised here refers to this frame: see `Job.settle`.
            del future
        return result

    def waiting(self) -> int:
        """The number of jobs that no thread has taken yet."""
        return self._jobs.qsize()

    def _start_one(self) -> None:
        with self._lock:
            if self._started < self._size:
                self._started += 1
                threading.Thread(
                    target=self._serve, name=f"{self._name}-{self._started}", daemon=True
                ).start()

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            if not job.future.cancelled():
                job.run()
                settle([job])
            # A thread that waits would keep the work, with a body of megabytes.
            del job

    def stop(self) -> None:
        """Let the threads end after their current jobs."""
        with self._lock:
            for _ in range(self._started):
                self._jobs.put(None)
            self._started = 0
