"""The database: its engines, its sessions, and the only place that commits.

A request is one transaction; only work on very many tasks is several (`services/portions.py`). `read` and `write`
open a session and call the work with it; a write is committed before anything is answered. Endpoints use them
through `web.routing.Router`; services only see the session.

On SQLite one writer thread executes all writes of the process. It commits all waiting writes in one
transaction and answers after the commit, so one fsync makes many writes durable. If a write fails, the others
are executed again without it. On Postgres each write is a transaction of its own.

Reads run in autocommit. On SQLite a short read may run on the event loop, because handing it to a thread
would take longer.
"""

import asyncio
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Connection, MetaData, Row, text
from sqlalchemy.exc import DataError
from sqlalchemy.orm import DeclarativeBase, Session, sessionmaker

from config import Settings, database_url, settings
from errors import DatabaseReadOnly, DatabaseUnavailable
from storage.bounded_cache import clear_all
from storage.direct_session import IdleSessions, OpenSession
from storage.engines import LOCK_TIMEOUT, create_engines, make_reader
from storage.faults import GONE_MEANWHILE, READ_ONLY, REPEATABLE, is_too_long, sqlstate, translated_error
from storage.forks import leave_to_parent, refuse_connections
from storage.group_commit import GroupCommitWriter
from storage.migration_turn import wait_for_turn
from storage.sqlite_file import OpenedFile
from storage.threads import Job, Threads

T = TypeVar("T")
Work = Callable[[Session], T]
# A row with any columns, which are read by name.
AnyRow: TypeAlias = Row[*tuple[Any, ...]]

ATTEMPTS = 4
# A commit of a few changes needs some pages. With less room the next one may be refused.
LEAST_FREE_BYTES = 256 * 1024
MIGRATIONS = Path(__file__).resolve().parent / "migrations"
_CHANGE_NOTHING = text("UPDATE alembic_version SET version_num = version_num WHERE false")
_IS_READ_ONLY = text("SELECT current_setting('transaction_read_only')")


def alembic_configuration() -> Any:
    """Alembic's configuration, which says where the migrations are."""
    from alembic.config import Config  # noqa: PLC0415  # as in `Tables`

    configuration = Config()
    configuration.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return configuration


class Tables(MetaData):
    """The tables of all models. The migrations alone make and drop them in the program's own database.

    They make the triggers and the search index too, without which figures and lists would be wrong.
    """

    def create_all(self, bind: Any, tables: Any = None, checkfirst: Any = True) -> None:  # noqa: FBT002
        """Migrate the program's own database to the newest schema; make the tables alone in any other."""
        if not self._migrates(bind, tables, "head"):
            super().create_all(bind, tables, checkfirst)

    def drop_all(self, bind: Any, tables: Any = None, checkfirst: Any = True) -> None:  # noqa: FBT002
        """Empty the program's own database of everything; drop the tables alone in any other."""
        if not self._migrates(bind, tables, "base"):
            super().drop_all(bind, tables, checkfirst)

    def _migrates(self, bind: Any, tables: Any, revision: str) -> bool:
        if bind is not database.engine or tables is not None:
            return False
        # Alembic would take a tenth of the memory of a server that has nothing to migrate.
        from alembic import command  # noqa: PLC0415

        (command.upgrade if revision == "head" else command.downgrade)(alembic_configuration(), revision)
        clear_all()
        return True


class Base(DeclarativeBase):
    """The declarative base of all tables. Every constraint has a name, so that migrations can refer to it."""

    metadata = Tables(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Database:
    """A database with its engines, threads and transactions."""

    def __init__(self, url: str, options: Settings = settings) -> None:
        # Called after each commit of this process, in any thread, so the function must be quick.
        self.after_commit: Callable[[], None] = _do_nothing
        self._connect(url, options)

    def _connect(self, url: str, options: Settings) -> None:
        self.url = database_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        self.file = OpenedFile(Path(self.url.database or ""))
        self.threads = Threads(options.database_pool_size, "database")
        self.engine, self._autocommit = create_engines(self.url, options, self.file)
        self.session_factory = sessionmaker(self.engine, expire_on_commit=False)
        self._keep_sessions()
        # A pooler may give each transaction another connection, so settings must be made per transaction.
        self._begin = "BEGIN" if options.database_prepare else f"BEGIN; SET LOCAL {LOCK_TIMEOUT}"
        self._writer = GroupCommitWriter(self._open_writer) if self.is_sqlite else None

    def _keep_sessions(self) -> None:
        """Begin to keep the sessions that are not in use."""
        self._readers = IdleSessions()
        self._loop_readers = IdleSessions() if self.is_sqlite else self._readers
        self._writers = IdleSessions()

    def _open(self) -> OpenSession:
        return OpenSession(self._autocommit)

    def _open_writer(self) -> OpenSession:
        opened = self._open()
        # Room for all pages that a commit of many requests changes: others would be written and read again before it.
        opened.driver.execute("PRAGMA cache_size=-20000")
        return opened

    def _open_reader(self, *, on_loop: bool) -> OpenSession:
        opened = OpenSession(self._autocommit, reads_only=True)
        if self.is_sqlite:
            make_reader(opened.driver, on_loop=on_loop)
        return opened

    # -- work ----------------------------------------------------------------------------------

    def read(self, work: Work[T], *, on_loop: bool = False) -> T:
        """Call `work` with a session for reading, in this thread; raises DatabaseUnavailable."""
        # A switch to another database gives it other sessions.
        readers = self._loop_readers if on_loop else self._readers
        for _ in range(ATTEMPTS):
            opened = readers.take()
            try:
                opened = opened or self._open_reader(on_loop=on_loop)
                result = work(opened.session)
                opened.session.check_writes_nothing()
            except BaseException as error:  # noqa: BLE001  # raised again, or the work is done again
                if opened is not None and not self._put_back(opened, readers):
                    # This idle connection is dead, and the other idle connections probably are too.
                    readers.close_all()
                    continue
                raise translated_error(error)  # noqa: B904  # it is that error, or is caused by it
            opened.forget()
            readers.put(opened)
            return result
        raise DatabaseUnavailable

    def write(self, work: Work[T]) -> T:
        """Call `work` in a transaction, commit it, and wait for the commit in this thread.

        Raises the errors of `work`, DatabaseUnavailable or InsufficientStorage; then nothing is kept. The
        database may require that the work is called again, so the work must have no other effect.

        Requests use `write_async`. What is written in the background has many rows, and requests should not wait for it.
        """
        if self._writer is None:
            result = self._transaction(work)
        else:
            job = Job(work, None, is_long=True)
            future = job.future
            self._writer.submit(job)
            try:
                result = future.result()
            finally:
                # An error that is raised here refers to this frame: see `Job.settle`.
                del future
        self.after_commit()
        return result

    async def read_async(self, work: Work[T], *, on_loop: bool = False) -> T:
        """Call `read` in a thread; on SQLite `on_loop` runs it on the event loop: for a read of one page by an index.

        If the page holds a long text, the work is called again in a thread.
        """
        if self._writer is not None and self._writer.has_right_of_way():
            await self._give_way(self._writer)
        if on_loop and self.is_sqlite:
            try:
                return self.read(work, on_loop=True)
            except DataError as error:
                if not is_too_long(error):
                    raise
        return await self.threads.run(lambda: self.read(work))

    @staticmethod
    async def _give_way(writer: GroupCommitWriter) -> None:
        """Wait until a long write has ended, but not for more than 50 ms.

        Reads need not wait for a write, but where processors are few they make it longer, and short writes wait for it.
        """
        for _ in range(5):
            await asyncio.sleep(0.01)
            if not writer.has_right_of_way():
                return

    async def write_async(self, work: Work[T], *, is_long: bool = False) -> T:
        """Call `write` without blocking the event loop or a thread that others need.

        On SQLite a transaction has at most one write that `is_long`, so that short ones do not wait for several.
        """
        if self._writer is None:
            result = await self.threads.run(lambda: self._transaction(work))
        else:
            job = Job(work, asyncio.get_running_loop(), is_long=is_long)
            future = job.future
            self._writer.submit(job)
            try:
                result = await future
            finally:
                del future
        self.after_commit()
        return result

    def _transaction(self, work: Work[T]) -> T:
        """Execute a transaction on Postgres, and repeat it if Postgres ended it because of another."""
        writers = self._writers
        for attempt in range(ATTEMPTS):
            opened, begun = writers.take(), False
            try:
                opened = opened or self._open()
                opened.cursor.execute(self._begin)
                begun = True
                result = work(opened.session)
                opened.session.flush()
                opened.cursor.execute("COMMIT")
            except BaseException as error:  # noqa: BLE001  # raised again, or the work is done again
                last = opened is None or attempt + 1 == ATTEMPTS
                alive = opened is not None and self._roll_back(opened, writers)
                if not alive:
                    writers.close_all()
                elif sqlstate(error) == READ_ONLY:
                    # The server is a standby now. New connections may reach the new primary server.
                    writers.close_all()
                    self._readers.close_all()
                # Nothing can have happened before the answer to BEGIN, so a connection that died idle is
                # replaced.
                if not last and (sqlstate(error) in (*REPEATABLE, GONE_MEANWHILE) if alive else not begun):
                    continue
                raise translated_error(error)  # noqa: B904  # it is that error, or is caused by it
            opened.forget()
            writers.put(opened)
            return result
        raise DatabaseUnavailable

    def _roll_back(self, opened: OpenSession, idle: IdleSessions) -> bool:
        """Undo the transaction; False if the connection is lost, and the transaction with it."""
        try:
            opened.session.rollback()
            opened.cursor.execute("ROLLBACK")
        except Exception:  # noqa: BLE001  # whatever it is, the connection is not to be used again
            opened.close()
            return False
        return self._put_back(opened, idle)

    @staticmethod
    def _put_back(opened: OpenSession, idle: IdleSessions) -> bool:
        if opened.is_dead():
            opened.close()
            return False
        opened.forget()
        opened.session.rollback()
        idle.put(opened)
        return True

    def look_whether_writable(self, session: Session) -> None:
        """Raise DatabaseReadOnly if the database refuses changes; as work of `write` this changes nothing."""
        if self.is_sqlite:
            # This statement takes the write lock, whatever rows it finds.
            session.execute(_CHANGE_NOTHING)
        elif session.execute(_IS_READ_ONLY).scalar_one() == "on":
            raise DatabaseReadOnly

    def is_nearly_full(self) -> bool:
        """Whether the disk of the SQLite file has no room for changes. What Postgres has is not known here."""
        if not self.is_sqlite:
            return False
        try:
            free = shutil.disk_usage(Path(self.url.database or "").absolute().parent).free
        except OSError:
            return False
        return free < LEAST_FREE_BYTES

    # -- migrations and shutdown ---------------------------------------------------------------

    @contextmanager
    def exclusive_connection(self) -> Iterator[Connection]:
        """Open a transaction for a migration, which excludes other migrations, and commit it at the end.

        If the migration fails, all of it is undone. On SQLite foreign keys are off, because rebuilding a
        table would delete the rows that refer to it. The foreign keys are checked before the commit.
        """
        with self._autocommit.connect() as connection:
            if self.is_sqlite:
                connection.exec_driver_sql("PRAGMA busy_timeout=60000")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                wait_for_turn(connection)
            try:
                yield connection
                if self.is_sqlite and connection.exec_driver_sql("PRAGMA foreign_key_check").first():
                    raise RuntimeError("the migration would leave rows that point to nothing")
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")
                raise

    def connection_beside(self) -> Connection:
        """Open a connection in autocommit mode, for a migration beside those who use the database."""
        return self._autocommit.connect()

    def switch(self, url: str) -> None:
        """Close everything and continue with another database, as the tests do."""
        self.close()
        self._connect(url, settings)
        clear_all()

    def begin_in_child(self) -> None:
        """Give a process that was forked its own threads and connections, because it can't use those of its parent."""
        leave_to_parent(self._readers, self._loop_readers, self._writers, self._writer, self.engine.pool)
        self.engine.dispose(close=False)
        self._keep_sessions()
        self.threads = self.threads.again()
        self._writer = self._writer and GroupCommitWriter(self._open_writer)
        if self.file.is_open:
            refuse_connections(self.engine, self._autocommit)

    def close(self) -> None:
        """Finish the waiting writes and close every connection. The next use opens new connections."""
        if self._writer is not None:
            self._writer.stop()
        self.threads.stop()
        kept = (self._readers, self._loop_readers, self._writers)
        self._keep_sessions()
        for each in kept:
            each.close()
        self.engine.dispose()
        self.file.forget()


def _do_nothing() -> None:
    """Ignore a commit, because no one listens."""


database = Database(settings.database_url)
os.register_at_fork(after_in_child=database.begin_in_child)
engine = database.engine
SessionLocal = database.session_factory


def get_db() -> Iterator[Session]:
    """A session, as a FastAPI dependency for programs with endpoints of their own.

    The endpoint may commit as often as it likes. The rest is committed when the endpoint returns. Use it as
    `Depends(get_db, scope="function")`, so that this comes before the response and a failed commit is not
    answered with 200.
    """
    with database.session_factory() as session:
        yield session
        session.commit()
