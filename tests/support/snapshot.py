"""A SQLite database that can be put back, for a test that begins with the same rows many times."""

import sqlite3
from contextlib import closing

from config import database_url
from security.tokens import forget_verified_tokens


class Snapshot:
    """Keeps the content of the database at a URL, and puts it back."""

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
