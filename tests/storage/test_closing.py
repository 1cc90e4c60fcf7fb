"""Closing the database while other threads use it."""

from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from database import Database


def test_what_is_in_use_while_the_database_is_closed_is_closed_when_it_comes_back(database_url: str) -> None:
    db = Database(database_url)
    used: list[Any] = []

    def work(session: Session) -> None:
        used.append(session.connection().connection.dbapi_connection)
        db.close()

    def ask(session: Session) -> int:
        return int(session.execute(text("SELECT 7")).scalar_one())

    db.read(work)
    db.read(work, on_loop=True)
    if not db.is_sqlite:
        # SQLite's writer closes its connection itself, once it has done the waiting work.
        db.write(work)
    assert [is_closed(connection) for connection in used] == [True] * len(used)
    # The next use opens new connections.
    assert db.read(ask) == 7
    db.close()


def is_closed(connection: Any) -> bool:
    """Whether the driver's connection is closed."""
    try:
        connection.cursor()
    except Exception:  # noqa: BLE001  # each driver has its own
        return True
    return False
