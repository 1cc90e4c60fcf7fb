"""Driver errors as the domain's errors: what the database could not do just now."""

import sqlite3

from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from errors import DatabaseUnavailable, InsufficientStorage

# Postgres ended the transaction for the sake of another: serialization failure, deadlock.
REPEATABLE = ("40001", "40P01")
_UNAVAILABLE_STATES = ("08", "25006", "53300", "55P03", "57")
_UNAVAILABLE_NAMES = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_IOERR")
_DRIVER_FAULTS = ("OperationalError", "InterfaceError")


def sqlstate(error: BaseException | None) -> str | None:
    original = error.orig if isinstance(error, DBAPIError) else error
    return getattr(original, "sqlstate", None)


def translated_error(error: BaseException) -> BaseException:
    """The domain's error for what the database could not do just now; any other error as it is."""
    original = error.orig if isinstance(error, DBAPIError) else error
    translated: BaseException | None = None
    if isinstance(original, sqlite3.Error):
        name = getattr(original, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            translated = InsufficientStorage()
        elif name.startswith(_UNAVAILABLE_NAMES):
            translated = DatabaseUnavailable()
    elif type(original).__name__ in _DRIVER_FAULTS or sqlstate(original) is not None:
        # psycopg's errors, told by what they have: it is loaded only where Postgres is used. One without a
        # state came from the connection, not from the server.
        state = sqlstate(original)
        if state == "53100":
            translated = InsufficientStorage()
        elif state is None or state.startswith((*_UNAVAILABLE_STATES, *REPEATABLE)):
            translated = DatabaseUnavailable()
    elif isinstance(error, PoolTimeout):
        translated = DatabaseUnavailable()
    if translated is None:
        return error
    translated.__cause__ = error
    return translated
