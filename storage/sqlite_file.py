"""The files of a SQLite database. Only their owner may read them: they hold everybody's tasks and password hashes."""

import contextlib
import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_lock = threading.Lock()

# The pause between two looks whether the database is still locked.
LOOK_SECONDS = 0.0005

# For each parameter that is neither a number nor a text, and so for every None, the driver looks for an adapter in several
# places. Finding one takes half as long as finding none. This one is written in C, and answers None.
_NULL: Any = {}.get
sqlite3.register_adapter(type(None), _NULL)


def keep_private(path: Path, *_: Any) -> None:
    """Make the file with mode 0600 before SQLite makes it readable for all, and close a file that others can read.

    SQLite gives the mode of the database to its `-wal` and `-shm`. A file that is there already is never opened
    here: closing it would end the locks that SQLite has on it in this process.
    """
    real = os.path.realpath(path)
    with _lock:
        try:
            os.close(os.open(real, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            for name in (real, f"{real}-wal", f"{real}-shm"):
                # Another user's file must be protected by that user.
                with contextlib.suppress(OSError):
                    mode = os.stat(name).st_mode
                    # A folder that is named by mistake, such as /tmp, must stay open to others.
                    if mode & 0o077 and stat.S_ISREG(mode):
                        os.chmod(name, stat.S_IMODE(mode) & 0o700)
        except OSError:
            return  # SQLite will give the reason if the file can't be made.


class OpenedFile:
    """Remembers which file was opened at a path, to notice that it was deleted or replaced by another.

    SQLite goes on writing to the deleted file, and its changes are lost at the end of the process.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] | None = None

    def remember(self, *_: Any) -> None:
        """Remember the file at the path, at the first connection."""
        if self._identity is None:
            self._identity = self._at_the_path()

    def forget(self) -> None:
        """Forget the file, because every connection is closed: the next one may open another."""
        self._identity = None

    @property
    def is_open(self) -> bool:
        """Whether a connection was opened, and not every one is closed again."""
        return self._identity is not None

    def is_gone(self) -> bool:
        """Whether the file that is open was deleted or replaced by another one at its path."""
        return self._identity is not None and self._identity != self._at_the_path()

    def _at_the_path(self) -> tuple[int, int] | None:
        try:
            there = os.stat(self._path)
        except OSError:
            return None
        return there.st_dev, there.st_ino


def write_ahead(connection: sqlite3.Connection, patience: float) -> None:
    """Switch the file to a write-ahead log; raises sqlite3.OperationalError if it is locked for `patience` seconds.

    SQLite waits for no lock here, whatever its timeout is. If several processes open a new file at the same time, all
    but one could fail.
    """
    once_free(patience, lambda: connection.execute("PRAGMA journal_mode=WAL"))


def once_free(patience: float, execute: Callable[[], object]) -> None:
    """Execute a statement that needs a lock, again and again for up to `patience` seconds while it is locked.

    SQLite's own timeout looks less and less often, in the end every tenth of a second. A process that writes all the time
    takes the lock between two looks, so that others wait for many turns.
    """
    until = time.monotonic() + patience
    while True:
        try:
            execute()
        except sqlite3.OperationalError as error:
            # The lower bits are the plain error; the others say more about it.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(LOOK_SECONDS)
        else:
            return
