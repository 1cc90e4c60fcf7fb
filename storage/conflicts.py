"""INSERT with ON CONFLICT: both databases have it, and SQLAlchemy has a function of its own for each."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Executable, Table
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session


class Insert:
    """A statement that inserts rows into a table, and says by `on_conflict` what becomes of rows that are there."""

    def __init__(self, table: Table, on_conflict: Callable[[Any], Any]) -> None:
        self._by_dialect: dict[str, Executable] = {
            "sqlite": on_conflict(sqlite.insert(table)),
            "postgresql": on_conflict(postgresql.insert(table)),
        }

    def for_database_of(self, db: Session) -> Executable:
        """The statement for the session's database."""
        return self._by_dialect[db.get_bind().dialect.name]


def insert_missing(table: Table) -> Insert:
    """Insert those rows that are not there yet."""
    return Insert(table, lambda insert: insert.on_conflict_do_nothing())
