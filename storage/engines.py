"""The engines of a database, and what each new connection is told."""

import os
import sqlite3
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from pydantic_core import from_json
from sqlalchemy import URL, Connection, Engine, NullPool, create_engine, event

from config import Settings
from storage.folding import normal_form
from storage.group_commit import LOG_PAGES
from storage.sqlite_file import OpenedFile, keep_private, write_ahead

LOCK_TIMEOUT = "lock_timeout = '10s'"
# A page of 100 rows with texts of this size, in bytes, is read and written as JSON in some 20 ms.
LONGEST_ON_EVENT_LOOP = 16 * 1024


def create_engines(url: URL, options: Settings, file: OpenedFile) -> tuple[Engine, Engine]:
    """Create the engine of SessionLocal, and the engine in autocommit of `Database.read` and `Database.write`."""
    is_sqlite = url.get_backend_name() == "sqlite"
    arguments: dict[str, Any]
    if is_sqlite:
        arguments = {"check_same_thread": False, "timeout": options.sqlite_busy_timeout_ms / 1000}
    else:
        arguments = {
            "connect_timeout": 5,
            # A connection to a vanished server is given up after 8 seconds.
            "tcp_user_timeout": 8000,
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 2,
            "application_name": "task_platform",
            # Filters compare texts as they are sent: see `services.query.elements.FoldedDescription`.
            "client_encoding": "utf8",
        }
        if not options.database_prepare:
            arguments["prepare_threshold"] = None
        # libpq sends these as separate parameters, which poolers accept. `options` stays free for DATABASE_URL.
        os.environ.update(PGTZ="UTC", PGDATESTYLE="ISO")
    json = {"json_serializer": json_text, "json_deserializer": from_json}
    engine = create_engine(url, connect_args=arguments, **json)
    autocommit = create_engine(
        url,
        connect_args=arguments,
        **json,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        # Positional parameters, because `storage/prepared.py` passes them by position.
        **({} if is_sqlite else {"paramstyle": "format"}),
        # A failed flush must not end the transaction, because other requests share it.
        skip_autocommit_rollback=True,
    )
    for each in (engine, autocommit):
        if is_sqlite:
            event.listen(each, "do_connect", partial(keep_private, Path(url.database or "")))
            event.listen(each, "connect", partial(_prepare_sqlite, options))
            event.listen(each, "connect", file.remember)
        elif options.database_prepare:
            event.listen(each, "connect", _prepare_postgres)
    if is_sqlite:
        event.listen(engine, "begin", _begin_immediately)
    return engine, autocommit


def json_text(value: Any) -> str:
    """The value as JSON, for a column."""
    # orjson writes times as RFC 3339 with a `Z`. It is the fastest JSON writer, and every change writes JSON.
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()


def _prepare_sqlite(options: Settings, connection: Any, _record: Any) -> None:
    """Set up a new SQLite connection: its journal, its checks and its functions."""
    connection.isolation_level = None  # BEGIN is sent explicitly, at the beginning of a transaction.
    write_ahead(connection, options.sqlite_busy_timeout_ms / 1000)
    for pragma in (
        f"synchronous={options.sqlite_synchronous}",
        "foreign_keys=ON",
        "temp_store=MEMORY",
        "cache_size=-4000",
        f"wal_autocheckpoint={LOG_PAGES}",
    ):
        connection.execute(f"PRAGMA {pragma}")
    # Postgres has normalize(); on SQLite `services.query` compares texts by this function.
    connection.create_function("normal_form", 1, normal_form, deterministic=True)


def make_reader(driver: sqlite3.Connection, *, on_loop: bool) -> None:
    """Make a SQLite connection one for reading: on the event loop, or in a thread."""
    driver.execute("PRAGMA query_only=ON")
    if on_loop:
        # A read that meets a longer text fails, and is then done in a thread.
        driver.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_ON_EVENT_LOOP)
    else:
        # Going through many tasks takes half as long where pages are mapped, not copied. SQLite maps no
        # more. A read of a few pages takes a tenth longer, because each is mapped when it is first touched.
        driver.execute("PRAGMA mmap_size=2147418112")


def _prepare_postgres(connection: Any, _record: Any) -> None:
    """Limit how long this connection waits for a lock, for example while a migration runs, and switch compiling off.

    Compiling the conditions of a long filter takes Postgres longer than it saves, up to a fifth of the statement's time.
    """
    was_autocommit, connection.autocommit = connection.autocommit, True
    connection.execute(f"SET {LOCK_TIMEOUT}; SET jit = off")
    connection.autocommit = was_autocommit


def _begin_immediately(connection: Connection) -> None:
    """Take the write lock at once, because a transaction that reads first may fail to get it later."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")
