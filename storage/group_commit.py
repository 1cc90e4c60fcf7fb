"""SQLite's one writer: a thread that commits the waiting writes of all requests in one transaction.

One fsync then serves many writers, durably: each of them is answered after the commit. A write that fails takes
no other with it, because the others are run again without it. A transaction has at most one long write, so that the
short ones do not wait for several; those that came while it ran share its commit.
"""

import contextlib
import queue
import sqlite3
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import islice

from storage.direct_session import OpenSession
from storage.faults import translated_error
from storage.sqlite_file import once_free
from storage.threads import Job, settle

LARGEST_BATCH = 128
# A checkpoint copies the pages of the write-ahead log into the database file, which takes as long as several commits.
# The writer makes one between transactions, once this many rows have changed: fewer if nobody waits for it, and otherwise
# about as many as a batch of 1,000 changes. SQLite makes one within a commit once the log has LOG_PAGES pages of 4 KB.
CHANGES_WHEN_IDLE = 1000
CHANGES_WHEN_BUSY = 8000
LOG_PAGES = 4000
# SQLite's driver asks for the interpreter after each statement and each row, and a busy thread hands it on after 5 ms. While
# a long write keeps others from writing, all threads do so earlier. Always doing so would cost requests a tenth more CPU.
SWITCH_SECONDS = 0.001
_DEFAULT_SWITCH_SECONDS = sys.getswitchinterval()
# Reads give way to a long write that has run for this long. Most end sooner, and some go on for half a minute.
GIVE_WAY_FROM_SECONDS = 0.005
GIVE_WAY_UNTIL_SECONDS = 0.2


class GroupCommitWriter:
    """The thread, its queue of jobs, and the batches that it commits."""

    def __init__(self, open_session: Callable[[], OpenSession]) -> None:
        self._open_session = open_session
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        # The jobs that the thread has taken from the queue and not begun.
        self._short: deque[Job] = deque()
        self._long: deque[Job] = deque()
        self._was_short = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        # The seconds for which it waits while another process writes.
        self._patience = 0.0
        # The number of rows that the connection had changed at its last checkpoint.
        self._checkpointed = 0
        # When the long write that runs got SQLite's lock, in seconds of the monotonic clock.
        self._long_since: float | None = None

    def has_right_of_way(self) -> bool:
        """Whether a long write runs, to which reads should leave the processor."""
        since = self._long_since
        return (
            since is not None and GIVE_WAY_FROM_SECONDS <= time.monotonic() - since <= GIVE_WAY_UNTIL_SECONDS
        )

    def submit(self, job: Job) -> None:
        """Queue the job; the thread starts with the first."""
        if self._thread is threading.current_thread():
            raise RuntimeError("a write can't wait for another write: hand the session on instead")
        # The lock keeps a job from being queued behind the end of a thread that stops: no one would do it.
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="database-writer", daemon=True)
                self._thread.start()
            self._jobs.put(job)

    def stop(self) -> None:
        """End the thread once it has done what is queued."""
        with self._lock:
            if self._thread is not None:
                self._jobs.put(None)
                self._thread.join()
                self._thread = None

    def _serve(self) -> None:
        opened: OpenSession | None = None
        self._checkpointed = 0
        while batch := self._next_batch(opened):
            try:
                opened = opened or self._open()
                self._commit(opened, batch)
            except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it
                _fail(batch, error)
                if opened is not None:
                    opened.close()
                opened, self._checkpointed = None, 0
            _answer(batch)
            # The thread would keep the work while it waits.
            batch.clear()
        if opened is not None:
            opened.close()

    def _open(self) -> OpenSession:
        opened = self._open_session()
        # On a file system without a write-ahead log a commit waits for readers, which only SQLite's timeout does.
        if opened.driver.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
            self._patience = opened.driver.execute("PRAGMA busy_timeout").fetchone()[0] / 1000
            opened.driver.execute("PRAGMA busy_timeout=0")
        return opened

    def _begin(self, opened: OpenSession) -> None:
        once_free(self._patience, lambda: opened.cursor.execute("BEGIN IMMEDIATE"))

    def _next_batch(self, opened: OpenSession | None) -> list[Job]:
        """The jobs of the next transaction; an empty list when the thread should end.

        They are the short ones that wait, or one long one. These take turns, so that neither waits for two of the other.
        """
        is_idle = self._jobs.empty() and not (self._short or self._long)
        if opened is not None:
            self._checkpoint(opened, CHANGES_WHEN_IDLE if is_idle else CHANGES_WHEN_BUSY)
        if is_idle:
            self._was_short = False
        while self._take(waits=True):
            self._was_short = bool(self._short) and not (self._long and self._was_short)
            jobs, most = (self._short, LARGEST_BATCH) if self._was_short else (self._long, 1)
            if batch := list(islice(_wanted(jobs), most)):
                return batch
        return []

    def _take(self, *, waits: bool) -> bool:
        """Take all jobs from the queue; if there is none at all, wait for one. False when the thread should end."""
        while not self._jobs.empty() or (waits and not (self._short or self._long)):
            job = self._jobs.get()
            if job is None:
                if waits and not (self._short or self._long):
                    return False
                self._jobs.put(None)  # End after these.
                break
            (self._long if job.is_long else self._short).append(job)
        return True

    def _commit(self, opened: OpenSession, batch: list[Job]) -> None:
        if batch[0].is_long:
            sys.setswitchinterval(SWITCH_SECONDS)
            try:
                self._commit_long(opened, batch)
            finally:
                self._long_since = None
                sys.setswitchinterval(_DEFAULT_SWITCH_SECONDS)
        elif not (
            self._commit_together(opened, batch) or self._commit_together(opened, batch, savepoints=True)
        ):
            for job in batch:
                self._commit_alone(opened, job)

    def _commit_long(self, opened: OpenSession, batch: list[Job]) -> None:
        """Run the long job of a batch in a transaction, and add the short ones to it that came meanwhile."""
        [job] = batch
        self._commit_alone(opened, job, partial(self._add_short, opened, batch))
        if job.error is not None and len(batch) > 1:
            # One of the short ones may have ended the transaction.
            self._short.extendleft(reversed(batch[1:]))
            del batch[1:]
            self._commit_alone(opened, job)

    def _commit_together(self, opened: OpenSession, batch: list[Job], *, savepoints: bool = False) -> bool:
        """Run the jobs in one transaction; False if nothing of it could be kept.

        Savepoints cost a fifth of a short write. Without them a job may fail only before it has changed anything.
        """
        if len(batch) == 1:
            return False
        execute, driver = opened.cursor.execute, opened.driver
        self._begin(opened)
        try:
            for job in batch:
                changes = driver.total_changes
                (_run_in_savepoint if savepoints else _run)(opened, job)
                # A full disk ends the whole transaction, and the work itself could.
                if not driver.in_transaction:
                    return False
                if not savepoints and job.error is not None and driver.total_changes != changes:
                    execute("ROLLBACK")
                    return False
            execute("COMMIT")
        except sqlite3.Error:
            if driver.in_transaction:
                execute("ROLLBACK")
            return False
        return True

    def _commit_alone(
        self, opened: OpenSession, job: Job, before_commit: Callable[[], None] = lambda: None
    ) -> None:
        """Run one job in a transaction, and then, if it has not failed, what is to be committed with it."""
        execute = opened.cursor.execute
        try:
            self._begin(opened)
            if job.is_long:
                self._long_since = time.monotonic()
            _run(opened, job)
            if job.error is None:
                before_commit()
                execute("COMMIT")
        except sqlite3.Error as error:
            job.error = error
        if opened.driver.in_transaction:
            execute("ROLLBACK")

    def _add_short(self, opened: OpenSession, batch: list[Job]) -> None:
        self._take(waits=False)
        for job in islice(_wanted(self._short), LARGEST_BATCH):
            batch.append(job)
            _run_in_savepoint(opened, job)
            if not opened.driver.in_transaction:
                break

    def _checkpoint(self, opened: OpenSession, least: int) -> None:
        """Copy the log into the database file, if at least this number of rows have changed."""
        if opened.driver.total_changes - self._checkpointed >= least:
            self._checkpointed = opened.driver.total_changes
            # An error comes again with the next commit, which tells somebody.
            with contextlib.suppress(sqlite3.Error):
                opened.driver.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _wanted(jobs: deque[Job]) -> Iterator[Job]:
    """Take jobs out of the queue, without those that were cancelled meanwhile: nobody waits for these any more."""
    while jobs:
        job = jobs.popleft()
        if not job.future.cancelled():
            yield job


def _fail(batch: list[Job], error: BaseException) -> None:
    """Give the error to all jobs without one."""
    for job in batch:
        job.error = job.error or error


def _answer(batch: list[Job]) -> None:
    """Hand the results to those who wait."""
    for job in batch:
        if job.error is not None:
            job.error = translated_error(job.error)
    settle(batch)


def _run_in_savepoint(opened: OpenSession, job: Job) -> None:
    """Run a job in a transaction, and undo it alone if it fails."""
    execute = opened.cursor.execute
    execute("SAVEPOINT job")
    _run(opened, job)
    if opened.driver.in_transaction:
        if job.error is not None:
            execute("ROLLBACK TO job")
        execute("RELEASE job")


def _run(opened: OpenSession, job: Job) -> None:
    job.run(opened.session)
    opened.forget()
    if job.error is not None:
        opened.session.rollback()  # This resets the session only: see `skip_autocommit_rollback` in storage/engines.py.
