"""A session on a connection that stays open, with little overhead over the driver."""

import re
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine, TextClause
from sqlalchemy.orm import Session

from storage.prepared import Prepared, prepared_form


class WriteInReadError(RuntimeError):
    """The program writes in a session for reading, by mistake: one database would refuse it, the other keep it."""

    def __init__(self) -> None:
        super().__init__("A session that only reads was asked to write: declare `db: WriteSession`")


_READING = re.compile(r"\s*(SELECT|WITH|VALUES|EXPLAIN|PRAGMA|SHOW)\b", re.IGNORECASE)
_WRITING = re.compile(r"\b(INSERT\s+INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET)\b", re.IGNORECASE)


def _writes(statement: Any) -> bool:
    if isinstance(statement, TextClause):
        return not _READING.match(statement.text) or _WRITING.search(statement.text) is not None
    return bool(getattr(statement, "is_dml", False))


_SNAPSHOT = {"sqlite": "BEGIN", "postgresql": "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"}


class DirectSession(Session):
    """Hands statements of SQLAlchemy Core straight to the connection, at two thirds of the cost."""

    def __init__(self, connection: Connection, cursor: Any, *, reads_only: bool) -> None:
        super().__init__(connection, expire_on_commit=False)
        self._connection, self._cursor, self.reads_only = connection, cursor, reads_only
        self._engine = connection.engine
        self._is_in_snapshot = False
        self._execute_directly = connection.execute
        self._savepoint = connection.begin_nested

    def begin_nested(self) -> Any:
        """Send a savepoint at once.

        The session would send its own with its next statement, but that statement goes past the session.
        """
        return self._savepoint()

    def is_listened_to(self) -> bool:
        """Whether the engine has listeners, which must hear of every statement."""
        return bool(self._engine._has_events)  # noqa: SLF001

    def execute(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement; the session itself executes a statement that loads objects."""
        form = prepared_form(statement)
        if self.reads_only and (_writes(statement) if form is None else form.writes):
            raise WriteInReadError
        if form is not None and not options and not self._engine._has_events:  # noqa: SLF001
            if not isinstance(params, list):
                return form.execute(self._connection, self._cursor, params or {})
            if params and isinstance(form, Prepared) and form.takes_many:
                return form.execute_many(self._connection, self._cursor, params)
        if options or statement._propagate_attrs:  # noqa: SLF001  # how SQLAlchemy tells the two apart
            return super().execute(statement, params, **options)
        return self._execute_directly(statement, params)

    # The session's own forms of these go past `execute`, and a read on Postgres is no transaction to be undone.
    def scalar(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement, and return the first value of its first row."""
        return self.execute(statement, params, **options).scalar()

    def scalars(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement, and return the first value of each row."""
        return self.execute(statement, params, **options).scalars()

    def flush(self, objects: Any = None) -> None:
        """Write what was changed in objects; raises WriteInReadError in a session that only reads."""
        if self.reads_only:
            self.check_writes_nothing()
        super().flush(objects)

    def bulk_save_objects(self, *arguments: Any, **options: Any) -> None:
        """Write objects; raises WriteInReadError in a session that only reads."""
        self._refuse_if_reading()
        super().bulk_save_objects(*arguments, **options)

    def bulk_insert_mappings(self, *arguments: Any, **options: Any) -> None:
        """Insert rows; raises WriteInReadError in a session that only reads."""
        self._refuse_if_reading()
        super().bulk_insert_mappings(*arguments, **options)

    def bulk_update_mappings(self, *arguments: Any, **options: Any) -> None:
        """Update rows; raises WriteInReadError in a session that only reads."""
        self._refuse_if_reading()
        super().bulk_update_mappings(*arguments, **options)

    def _refuse_if_reading(self) -> None:
        if self.reads_only:
            raise WriteInReadError

    @contextmanager
    def one_snapshot(self) -> Iterator[None]:
        """Have all reads inside see the database as it is at one moment; a nested snapshot shares the outer one's moment."""
        if self._is_in_snapshot:
            yield
            return
        self._cursor.execute(_SNAPSHOT[self._connection.dialect.name])
        self._is_in_snapshot = True
        try:
            yield
        finally:
            self._is_in_snapshot = False
            self._cursor.execute("ROLLBACK")

    def check_writes_nothing(self) -> None:
        """Raise WriteInReadError if objects were added, changed or deleted in a session that only reads."""
        # The public `new` and `deleted` make a set at each look.
        if self._new or self._deleted or (len(self.identity_map) and self.dirty):
            raise WriteInReadError

    def holds_objects(self) -> bool:
        """Whether the session holds objects that it has loaded or was given."""
        return bool(self._new) or len(self.identity_map) > 0


def is_sqlite(db: Session) -> bool:
    """Whether the session's database is SQLite, not Postgres."""
    return db.get_bind().dialect.name == "sqlite"


def one_snapshot(db: Session) -> AbstractContextManager[None]:
    """Have all reads inside see one state of the database, in a session that only reads.

    A session that writes is in a transaction already, and relies on its locks.
    """
    return db.one_snapshot() if isinstance(db, DirectSession) and db.reads_only else nullcontext()


def takes_text(db: Session) -> bool:
    """Whether a session executes a statement of which only the text was kept (`prepared.TextOnly`)."""
    return isinstance(db, DirectSession) and not db.is_listened_to()


class OpenSession:
    """A session on its own open connection, because taking one from a pool costs as much as a query.

    The driver is in autocommit mode: `database` begins and ends each transaction.
    """

    __slots__ = ("cursor", "driver", "session")

    def __init__(self, engine: Engine, *, reads_only: bool = False) -> None:
        connection = engine.connect()
        driver: Any = connection.connection.dbapi_connection
        self.driver = driver
        # Making a cursor for each statement costs as much as executing one.
        self.cursor = driver.cursor()
        self.session = DirectSession(connection, self.cursor, reads_only=reads_only)

    def is_dead(self) -> bool:
        """Whether the connection is lost; a connection to SQLite never is."""
        return getattr(self.driver, "closed", False) is True

    def forget(self) -> None:
        """Forget the loaded objects, so that the next request finds a fresh session.

        Few requests load objects, and forgetting takes time even if there are none, so this is checked first.
        """
        if self.session.holds_objects():
            self.session.expunge_all()

    def close(self) -> None:
        """Give the session up, and close its connection for good."""
        bind = self.session.bind
        assert isinstance(bind, Connection)
        bind.invalidate()
        self.session.close()
        bind.close()


class IdleSessions:
    """Open sessions that wait for their next use, for any thread."""

    def __init__(self) -> None:
        self._sessions: deque[OpenSession] = deque()
        self._is_closed = False

    def take(self) -> OpenSession | None:
        """An idle session, if there is one."""
        try:
            return self._sessions.pop()
        except IndexError:
            return None

    def put(self, opened: OpenSession) -> None:
        """Keep a session for its next use. A session that was in use at `close` is closed now."""
        self._sessions.append(opened)
        if self._is_closed:
            self.close_all()

    def close_all(self) -> None:
        """Close the idle sessions."""
        while (opened := self.take()) is not None:
            opened.close()

    def close(self) -> None:
        """Close the idle sessions, and from now on each session that is put back."""
        self._is_closed = True
        self.close_all()
