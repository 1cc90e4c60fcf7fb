"""A session on a connection that stays open, which adds little to what the driver takes."""

from typing import Any

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from storage.prepared import prepared_form


class DirectSession(Session):
    """A session that hands Core's statements straight to its connection, for two thirds of the cost."""

    def __init__(self, connection: Connection, cursor: Any) -> None:
        super().__init__(connection, expire_on_commit=False)
        self._connection, self._cursor = connection, cursor
        self._execute_directly = connection.execute
        self._savepoint = connection.begin_nested

    def begin_nested(self) -> Any:
        """A savepoint, sent at once: the session's own would be sent with its next statement, which goes past it."""
        return self._savepoint()

    def is_listened_to(self) -> bool:
        """Whether the engine has listeners, which are to hear of every statement."""
        return bool(self._connection.engine._has_events)  # noqa: SLF001

    def execute(self, statement: Any, params: Any = None, **options: Any) -> Any:
        """Execute a statement; one that loads objects goes the session's way."""
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
    """A session on a connection of its own that stays open, for taking one from a pool costs as much as a query.

    The driver is in autocommit mode: a transaction begins and ends where `database` says so.
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
        """Whether the connection has been lost; what SQLite has open can't be."""
        return getattr(self.driver, "closed", False) is True

    def forget(self) -> None:
        """Make the session as good as new for the next one; few load objects, and forgetting none takes time too."""
        if len(self.session.identity_map) or self.session.new:
            self.session.expunge_all()

    def close(self) -> None:
        bind = self.session.bind
        assert isinstance(bind, Connection)
        bind.invalidate()
        self.session.close()
        bind.close()
