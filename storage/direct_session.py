"""A session on a connection that stays open, with little overhead over the driver."""

from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from storage.prepared import prepared_form


class DirectSession(Session):
    """Hands statements of SQLAlchemy Core straight to the connection, at two thirds of the cost."""

    def __init__(self, connection: Connection, cursor: Any) -> None:
        super().__init__(connection, expire_on_commit=False)
        self._connection, self._cursor = connection, cursor
        self._execute_directly = connection.execute
        self._savepoint = connection.begin_nested

    def begin_nested(self) -> Any:
        """Send a savepoint at once.

        The session would send its own with its next statement, but that statement goes past the session.
        """
        return self._savepoint()

    def is_listened_to(self) -> bool:
        """Whether the engine has listeners, which must hear of every statement."""
        return bool(self._connection.engine._has_events)  # noqa: SLF001

    def execute(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement; the session itself executes a statement that loads objects."""
        form = prepared_form(statement)
        if form is not None and not options and not self.is_listened_to():
            if not isinstance(params, list):
                return form.execute(self._connection, self._cursor, params or {})
            if params and form.takes_many:
                return form.execute_many(self._connection, self._cursor, params)
        if options or statement._propagate_attrs:  # noqa: SLF001  # how SQLAlchemy tells the two apart
            return super().execute(statement, params, **options)
        return self._execute_directly(statement, params)


def takes_text(db: Session) -> bool:
    """Whether a session executes a statement of which only the text was kept (`prepared.TextOnly`)."""
    return isinstance(db, DirectSession) and not db.is_listened_to()


class OpenSession:
    """A session on its own open connection, because taking one from a pool costs as much as a query.

    The driver is in autocommit mode: `database` begins and ends each transaction.
    """

    __slots__ = ("cursor", "driver", "session")

    def __init__(self, engine: Engine) -> None:
        connection = engine.connect()
        driver: Any = connection.connection.dbapi_connection
        self.driver = driver
        # Making a cursor for each statement costs as much as executing one.
        self.cursor = driver.cursor()
        self.session = DirectSession(connection, self.cursor)

    def is_dead(self) -> bool:
        """Whether the connection is lost; a connection to SQLite never is."""
        return getattr(self.driver, "closed", False) is True

    def forget(self) -> None:
        """Forget the loaded objects, so that the next request finds a fresh session.

        Few requests load objects, and forgetting nothing takes time too: hence the check.
        """
        if len(self.session.identity_map) or self.session.new:
            self.session.expunge_all()

    def close(self) -> None:
        bind = self.session.bind
        assert isinstance(bind, Connection)
        bind.invalidate()
        self.session.close()
        bind.close()
