"""Translates errors of the drivers into the domain's errors, if the state of the database explains them."""

import sqlite3
import time
from typing import ClassVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from errors import AppError, DatabaseReadOnly, DatabaseUnavailable, InsufficientStorage
from logging_config import logger

# Postgres ended the transaction to let another one go on: serialization failure, deadlock.
REPEATABLE = ("40001", "40P01")
# A row that a new row refers to was deleted after this transaction had read it. A repetition finds it gone, and
# says so as the endpoint does.
GONE_MEANWHILE = "23503"
READ_ONLY = "25006"
MISSING_RIGHT = "42501"
# No schema of the search path may be used.
NO_SCHEMA = "3F000"
_UNAVAILABLE_STATES = ("08", "53300", "55P03", "57")
_UNAVAILABLE_NAMES = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR")
_DRIVER_FAULTS = ("OperationalError", "InterfaceError")


def _original(error: BaseException | None) -> BaseException | None:
    """The driver's error, if SQLAlchemy has wrapped one."""
    return error.orig if isinstance(error, DBAPIError) else error


def sqlstate(error: BaseException | None) -> str | None:
    """Postgres' code of five characters for an error; None for an error of anything else."""
    return getattr(_original(error), "sqlstate", None)


def translated_error(error: BaseException) -> BaseException:
    """Translate a driver's error that the database's state explains; return any other error as it is."""
    original = _original(error)
    translated: BaseException | None = None
    if isinstance(original, sqlite3.Error):
        translated = _of_sqlite(getattr(original, "sqlite_errorname", ""))
    elif sqlstate(original) is not None or any(
        kind.__name__ in _DRIVER_FAULTS for kind in type(original).__mro__
    ):
        # psycopg's errors are recognised by their attributes, because psycopg is loaded only for Postgres.
        translated = _of_postgres(sqlstate(original))
    elif isinstance(error, PoolTimeout):
        translated = DatabaseUnavailable()
    if translated is None:
        return error
    translated.__cause__ = error
    return translated


def is_damaged(error: BaseException) -> bool:
    """Whether SQLite's file is damaged, or is no database."""
    return getattr(_original(error), "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def is_too_long(error: BaseException) -> bool:
    """Whether SQLite met a text that is longer than its connection allows."""
    return getattr(_original(error), "sqlite_errorname", "") == "SQLITE_TOOBIG"


def _of_sqlite(name: str) -> AppError | None:
    if name == "SQLITE_FULL":
        return InsufficientStorage()
    if name.startswith("SQLITE_READONLY"):
        return DatabaseReadOnly()
    return DatabaseUnavailable() if name.startswith(_UNAVAILABLE_NAMES) else None


def _of_postgres(state: str | None) -> AppError | None:
    if state == "53100":
        return InsufficientStorage()
    if state == READ_ONLY:
        return DatabaseReadOnly()
    # An error without a state came from the connection, not from the server.
    if state is None or state.startswith((*_UNAVAILABLE_STATES, *REPEATABLE)):
        return DatabaseUnavailable()
    return None


def reason_of(error: BaseException | None) -> str:
    """The driver's own words for an error, or for its cause, in one line."""
    while error is not None and not isinstance(error, DBAPIError) and error.__cause__ is not None:
        error = error.__cause__
    return str(_original(error)).strip().partition("\n")[0]


class FaultLog:
    """Logs what the database refuses to anybody: each kind of fault once a minute for as long as it lasts."""

    seconds = 60.0
    texts: ClassVar[dict[type[BaseException], str]] = {
        DatabaseReadOnly: "The database is read-only, and every change is refused",
        InsufficientStorage: "The storage of the database is full, and changes are refused",
        DatabaseUnavailable: "The database can't be reached, or is too busy",
    }

    def __init__(self) -> None:
        self.next_at: dict[type[BaseException], float] = {}

    def add(self, error: BaseException) -> bool:
        """Log the error if it is such a fault, unless one of its kind was logged lately; returns whether it is one."""
        kind, now = type(error), time.monotonic()
        if kind not in self.texts:
            return False
        if now >= self.next_at.get(kind, 0.0):
            self.next_at[kind] = now + self.seconds
            logger.error("%s: %s", self.texts[kind], reason_of(error))
        return True


fault_log = FaultLog()
