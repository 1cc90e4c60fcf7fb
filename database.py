"""The engine, the sessions, and the one place that commits.

A request is one transaction: `read` and `write` open the session, call the work with it and, for a
write, commit before anything is answered. Endpoints get there through `routing.Router`; services
only ever see the session.

On SQLite every write of the process goes to one writer thread, which commits what is waiting in one
transaction (one that fails takes nothing with it: the others are done again without it) and answers after the
commit: one fsync serves many writers, durably. On Postgres each write has a transaction of its own.
Reads run in autocommit; on SQLite a short one may run on the event loop, where it takes less time
than handing it to a thread.
"""

import asyncio
import queue
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeAlias, TypeVar

from pydantic_core import from_json, to_json
from sqlalchemy import Connection, Engine, NullPool, Row, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from config import Settings, database_url, settings
from errors import DatabaseUnavailable, InsufficientStorage
from storage.direct_session import OpenSession
from storage.threads import Job, Threads, settle

T = TypeVar("T")
Work = Callable[[Session], T]
# A row of any columns, read by their names.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]

LARGEST_BATCH = 128
ATTEMPTS = 4


class Base(DeclarativeBase):
    """The tables; every constraint is named, so that migrations can speak of it."""


Base.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Database:
    """One database: its engine, its threads and its transactions."""

    def __init__(self, url: str, options: Settings = settings) -> None:
        self._connect(url, options)

    def _connect(self, url: str, options: Settings) -> None:
        self.url = database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.threads = Threads(options.database_pool_size, "database")
        self.engine, self._autocommit = self._create_engines(options)
        self.session_factory = sessionmaker(self.engine, expire_on_commit=False)
        self._readers: deque[OpenSession] = deque()
        self._writers: deque[OpenSession] = deque()
        self._writer = _GroupCommitWriter(self._open) if self.is_sqlite else None

    def _create_engines(self, options: Settings) -> tuple[Engine, Engine]:
        """The engine for programs that use SessionLocal, and the one behind `read` and `write`."""
        arguments: dict[str, Any]
        if self.is_sqlite:
            arguments = {"check_same_thread": False, "timeout": options.sqlite_busy_timeout_ms / 1000}
        else:
            arguments = {
                "connect_timeout": 5,
                # A server that has vanished without a word is given up as soon.
                "tcp_user_timeout": 8000,
                "keepalives_idle": 5,
                "keepalives_interval": 2,
                "keepalives_count": 2,
                "application_name": "task_platform",
                "options": "-c timezone=UTC -c lock_timeout=10s",
            }
        json = {"json_serializer": _json_text, "json_deserializer": from_json}
        engine = create_engine(self.url, connect_args=arguments, **json)
        autocommit = create_engine(
            self.url,
            connect_args=arguments,
            **json,
            poolclass=NullPool,
            isolation_level="AUTOCOMMIT",
            # Parameters by their place, as `statements` hands them in.
            **({} if self.is_sqlite else {"paramstyle": "format"}),
            # A flush that fails must not end the transaction that other requests share.
            skip_autocommit_rollback=True,
        )
        if self.is_sqlite:
            for each in (engine, autocommit):
                event.listen(each, "connect", partial(_prepare_sqlite, options.sqlite_synchronous))
            event.listen(engine, "begin", _begin_immediately)
        return engine, autocommit

    def _open(self) -> OpenSession:
        return OpenSession(self._autocommit)

    def _open_reader(self) -> OpenSession:
        opened = self._open()
        if self.is_sqlite:
            opened.driver.execute("PRAGMA query_only=ON")
        return opened

    # -- work ----------------------------------------------------------------------------------

    def read(self, work: Work[T]) -> T:
        """Call `work` with a session to read with, in this thread; raises DatabaseUnavailable."""
        for _ in range(ATTEMPTS):
            opened = _take(self._readers)
            try:
                opened = opened or self._open_reader()
                result = work(opened.session)
            except BaseException as error:  # noqa: BLE001  # raised again, or the work is done again
                if opened is not None and not self._put_back(opened, self._readers):
                    # It died while it lay idle, and so did its siblings, probably.
                    _close_all(self._readers)
                    continue
                raise _translated(error)  # noqa: B904  # it is that error, or is caused by it
            opened.forget()
            self._readers.append(opened)
            return result
        raise DatabaseUnavailable

    def write(self, work: Work[T]) -> T:
        """Call `work` in a transaction and commit it, waiting in this thread for the commit.

        Raises what `work` raises, DatabaseUnavailable or InsufficientStorage; nothing is kept then.
        The work may be called again where the database asks for it: it must have no other effect.
        """
        if self._writer is None:
            return self._transaction(work)
        job = Job(work, None)
        self._writer.submit(job)
        result: T = job.future.result()
        return result

    async def read_async(self, work: Work[T], *, short: bool = False) -> T:
        """`read` in a thread; a `short` one (by an index, a page at most) on the event loop where that is quicker."""
        if short and self.is_sqlite:
            return self.read(work)
        return await self.threads.run(lambda: self.read(work))

    async def write_async(self, work: Work[T]) -> T:
        """`write`, holding up neither the event loop nor a thread that others need."""
        if self._writer is None:
            return await self.threads.run(lambda: self._transaction(work))
        job = Job(work, asyncio.get_running_loop())
        self._writer.submit(job)
        result: T = await job.future
        return result

    def _transaction(self, work: Work[T]) -> T:
        """A transaction of its own, on Postgres; repeated where Postgres ended it for the sake of another."""
        for attempt in range(ATTEMPTS):
            opened, begun = _take(self._writers), False
            try:
                opened = opened or self._open()
                opened.cursor.execute("BEGIN")
                begun = True
                result = work(opened.session)
                opened.session.flush()
                opened.cursor.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001  # raised again, or the work is done again
                last = opened is None or attempt + 1 == ATTEMPTS
                alive = opened is not None and self._roll_back(opened)
                if not alive:
                    _close_all(self._writers)
                # Before BEGIN was answered nothing can have happened: a connection that died idle is replaced.
                if not last and ((not alive and not begun) or (alive and _sqlstate(error) in REPEATABLE)):
                    continue
                raise _translated(error)  # noqa: B904  # it is that error, or is caused by it
            opened.forget()
            self._writers.append(opened)
            return result
        raise DatabaseUnavailable

    def _roll_back(self, opened: OpenSession) -> bool:
        """Undo the transaction; False where the connection is lost, and the transaction with it."""
        try:
            opened.session.rollback()
            opened.cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001  # whatever it is, the connection is not to be used again
            opened.close()
            return False
        return self._put_back(opened, self._writers)

    @staticmethod
    def _put_back(opened: OpenSession, idle: deque[OpenSession]) -> bool:
        if opened.is_dead():
            opened.close()
            return False
        opened.forget()
        opened.session.rollback()
        idle.append(opened)
        return True

    # -- the rest ------------------------------------------------------------------------------

    @contextmanager
    def exclusive_connection(self) -> Iterator[Connection]:
        """A transaction that no other migration runs beside, committed at the end or undone whole.

        On SQLite with foreign keys off, for rebuilding a table would delete the rows that point to it;
        they are checked before the commit.
        """
        with self._autocommit.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("PRAGMA busy_timeout=60000")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("SET lock_timeout = '120s'")
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7263817)")
            try:
                yield connection
                if self.is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise RuntimeError("the migration would leave rows that point to nothing")
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")
                raise

    def switch(self, url: str) -> None:
        """Close everything and go on with another database, as the tests do."""
        self.close()
        self._connect(url, settings)

    def close(self) -> None:
        """Finish the writes that wait and close every connection; the next use opens new ones."""
        if self._writer is not None:
            self._writer.stop()
        self.threads.stop()
        _close_all(self._readers)
        _close_all(self._writers)
        self.engine.dispose()


def _take(idle: deque[OpenSession]) -> OpenSession | None:
    try:
        return idle.pop()
    except IndexError:
        return None


def _close_all(idle: deque[OpenSession]) -> None:
    while (opened := _take(idle)) is not None:
        opened.close()


class _GroupCommitWriter:
    """SQLite's one writer: a thread that commits what is waiting in one transaction."""

    def __init__(self, open_session: Callable[[], OpenSession]) -> None:
        self._open_session = open_session
        self._jobs: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def submit(self, job: Job) -> None:
        """Queue the job; the thread starts with the first."""
        if self._thread is threading.current_thread():
            raise RuntimeError("a write can't wait for another write: hand the session on instead")
        if self._thread is None:
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
        while batch := self._next_batch():
            try:
                opened = opened or self._open_session()
                if not (_commit_together(opened, batch) or _commit_together(opened, batch, savepoints=True)):
                    for job in batch:
                        _commit_alone(opened, job)
            except BaseException as error:  # noqa: BLE001  # whoever waits must hear of it
                for job in batch:
                    job.error = job.error or error
                if opened is not None:
                    opened.close()
                opened = None
            for job in batch:
                if job.error is not None:
                    job.error = _translated(job.error)
            settle(batch)
        if opened is not None:
            opened.close()

    def _next_batch(self) -> list[Job]:
        """What is waiting, at least one job; nothing when the thread is to end."""
        while True:
            batch = []
            job = self._jobs.get()
            while job is not None:
                if not job.future.cancelled():
                    batch.append(job)
                if len(batch) == LARGEST_BATCH:
                    return batch
                try:
                    job = self._jobs.get_nowait()
                except queue.Empty:
                    break
            if job is None and batch:
                self._jobs.put(None)  # End after this batch.
            if job is None or batch:
                return batch


def _commit_together(opened: OpenSession, batch: list[Job], *, savepoints: bool = False) -> bool:
    """Run the jobs in one transaction; False where nothing of it could be kept.

    Without savepoints, which cost a fifth of a short write, a job may fail before it has changed anything.
    """
    if len(batch) == 1:
        return False
    execute, driver = opened.cursor.execute, opened.driver
    execute("BEGIN IMMEDIATE")
    try:
        for job in batch:
            if savepoints:
                execute("SAVEPOINT job")
            changes = driver.total_changes
            _run(opened, job)
            # A full disk ends the whole transaction; so could the work itself.
            if not driver.in_transaction:
                return False
            if savepoints:
                if job.error is not None:
                    execute("ROLLBACK TO job")
                execute("RELEASE job")
            elif job.error is not None and driver.total_changes != changes:
                execute("ROLLBACK")
                return False
        execute("COMMIT")
    except sqlite3.Error:
        if driver.in_transaction:
            execute("ROLLBACK")
        return False
    return True


def _commit_alone(opened: OpenSession, job: Job) -> None:
    """Run one job in a transaction of its own."""
    execute = opened.cursor.execute
    try:
        execute("BEGIN IMMEDIATE")
        _run(opened, job)
        if job.error is None:
            execute("COMMIT")
    except sqlite3.Error as error:
        job.error = error
    if opened.driver.in_transaction:
        execute("ROLLBACK")


def _run(opened: OpenSession, job: Job) -> None:
    job.run(opened.session)
    opened.forget()
    if job.error is not None:
        opened.session.rollback()  # Of the session only; see skip_autocommit_rollback.


def _json_text(value: Any) -> str:
    return to_json(value).decode()


def _prepare_sqlite(synchronous: str, connection: Any, _record: Any) -> None:
    """Make a new SQLite connection one that waits, checks and lasts."""
    connection.isolation_level = None  # BEGIN is sent where a transaction begins, and nowhere else.
    for pragma in (
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-4000",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_immediately(connection: Connection) -> None:
    """Take the write lock at once: a transaction that reads first could not get it any more afterwards."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


# Postgres ended the transaction for the sake of another: serialization failure, deadlock.
REPEATABLE = ("40001", "40P01")
_UNAVAILABLE_STATES = ("08", "25006", "53300", "55P03", "57")
_UNAVAILABLE_NAMES = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")


_DRIVER_FAULTS = ("OperationalError", "InterfaceError")


def _sqlstate(error: BaseException | None) -> str | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None)


def _translated(error: BaseException) -> BaseException:
    """The domain's error for what the database could not do just now; any other error as it is."""
    original = error.orig if isinstance(error, DBAPIError) else error
    translated: BaseException | None = None
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            translated = InsufficientStorage()
        elif name.startswith(_UNAVAILABLE_NAMES):
            translated = DatabaseUnavailable()
    elif type(original).__name__ in _DRIVER_FAULTS or _sqlstate(original) is not None:
        # psycopg's errors, told by what they have: it is loaded only where Postgres is used. One without a
        # state came from the connection, not from the server.
        state = _sqlstate(original)
        if state == "53100":
            translated = InsufficientStorage()
        elif state is None or state.startswith((*_UNAVAILABLE_STATES, *REPEATABLE)):
            translated = DatabaseUnavailable()
    elif isinstance(error, PoolTimeout):
        translated = DatabaseUnavailable()
    if translated is None:
        return error
    translated.__cause__ = error
    return translated


database = Database(settings.database_url)
engine = database.engine
SessionLocal = database.session_factory


def get_db() -> Iterator[Session]:
    """A session as a FastAPI dependency, for programs that bring their own endpoints.

    Commits when the endpoint returns. Use it as `Depends(get_db, scope="function")`: the commit then
    comes before the response, so that one that fails is not answered with 200.
    """
    with database.session_factory.begin() as session:
        yield session
