"""A database that can be put back, for a test that begins with the same rows many times."""

import sqlite3
from contextlib import closing
from typing import Any

import psycopg

from config import database_url
from database import Base
from security.tokens import forget_verified_tokens
from services.lists.project_days import project_days


class Snapshot:
    """Keeps the content of the SQLite database at a URL, and puts it back."""

    def __init__(self, url: str) -> None:
        self._path = str(database_url(url).database)
        self._copy = sqlite3.connect(":memory:")
        with closing(sqlite3.connect(self._path)) as there:
            there.backup(self._copy)

    def restore(self) -> None:
        """Put everything back. Figures that the program keeps in memory may still include the changes in between."""
        with closing(sqlite3.connect(self._path)) as there:
            self._copy.backup(there)
        forget_verified_tokens()

    def close(self) -> None:
        self._copy.close()


class PostgresSnapshot:
    """Keeps the content of the Postgres database at a URL, and puts it back. Numbers for new rows go on."""

    def __init__(self, url: str) -> None:
        self._connection: psycopg.Connection[Any] = psycopg.connect(url, autocommit=True)
        names = [table.name for table in (*Base.metadata.sorted_tables, project_days)]
        for name in names:
            self._connection.execute(f"CREATE TEMP TABLE kept_{name} AS TABLE {name}")
        steps = " ".join(
            f"DELETE FROM {name}; INSERT INTO {name} OVERRIDING SYSTEM VALUE TABLE kept_{name};"
            for name in names
        )
        self._connection.execute(
            "CREATE FUNCTION pg_temp.restore() RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
            f" SET LOCAL session_replication_role = replica; {steps} END $$"
        )

    def restore(self) -> None:
        """Put everything back."""
        self._connection.execute("SELECT pg_temp.restore()")
        forget_verified_tokens()

    def close(self) -> None:
        self._connection.close()
