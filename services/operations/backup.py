"""Backups: copying a database while it is in use, and restoring a copy."""

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections import deque
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy import inspect, text

# These modules put their tables into Base.metadata.
import account_models  # noqa: F401
import models  # noqa: F401
from database import Base, Database
from errors import AppError
from migrations.schema import known_revisions, revision_of
from services.operations.progress import Report, unreported
from storage.sqlite_file import keep_private
from tables import counts, history, notifications, projects, views, webhooks  # noqa: F401

SQLITE_MAGIC = b"SQLite format 3\0"
POSTGRES_MAGIC = b"PGDMP"
BUSY_SECONDS = 60
# The last two have no model.
OUR_TABLES = frozenset(Base.metadata.tables) | {"alembic_version", "project_days"}
# Progress is reported after this many pages of SQLite, usually 16 MB.
PAGES_AT_ONCE = 4096
# Prefixes of the lines that pg_dump and pg_restore print for each step.
_STEPS = ("dumping contents of", "creating ", "processing data for", "executing ")
_TABLES = text("SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
_TABLE_ENTRY = re.compile(r" TABLE \S+ (\S+) \S+$")
_FOREIGN_KEYS = text(
    "SELECT c.conrelid::regclass::text, c.conname, pg_get_constraintdef(c.oid)"
    " FROM pg_constraint c JOIN pg_class t ON t.oid = c.conrelid"
    " WHERE c.contype = 'f' AND t.relname = ANY(:tables) AND pg_table_is_visible(t.oid)"
)


class BackupRefused(AppError):
    """A backup that can't be made or restored; nothing was changed."""

    code = "backup_refused"


def back_up(db: Database, path: Path, report: Report = unreported) -> None:
    """Write a consistent copy of the database to a new file; raises BackupRefused."""
    if path.exists():
        raise BackupRefused(f"{path} is there already: name a new file")
    if db.read(revision_of) is None:
        raise BackupRefused("The database is empty: there is nothing to back up")
    try:
        _write_backup(db, path, report)
    except OSError as error:
        where = (
            "choose a folder that can be written, such as /data in the container, or - for standard output"
        )
        raise BackupRefused(f"{path} can't be written: {error.strerror}: {where}") from None


def _write_backup(db: Database, path: Path, report: Report) -> None:
    # The backup is written under another name, so that a file with the right name is always a whole backup.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(descriptor)
    temporary = Path(name)
    try:
        if db.is_sqlite:
            _copy_sqlite(_file_of(db), temporary, report)
            _check_sqlite(temporary)
        else:
            with db.engine.connect() as connection:
                tables = connection.execute(_TABLES).scalar_one()
            options = ("--format=custom", "--no-owner", "--verbose", "--file", str(temporary))
            _run("pg_dump", db, *options, report=report, total=tables)
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def restore(db: Database, path: Path, *, replace: bool = False, report: Report = unreported) -> None:
    """Replace the content of the database by a backup; raises BackupRefused, and then nothing is changed."""
    magic = _magic(path)
    expected, kind = (SQLITE_MAGIC, "SQLite") if db.is_sqlite else (POSTGRES_MAGIC, "Postgres")
    if not magic.startswith(expected):
        raise BackupRefused(f"{path} is not a backup of a {kind} database, and DATABASE_URL names one")
    if not replace and _holds_users(db):
        raise BackupRefused("The database is not empty: say --replace to replace its content")
    if db.is_sqlite:
        _check_sqlite(path)
        _copy_sqlite(path, _file_of(db), report)
    else:
        _restore_postgres(db, path, report)


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise BackupRefused(f"{path} can't be read: {error.strerror}") from None


def _holds_users(db: Database) -> bool:
    """Whether there is an account. A database without tables has none."""
    with db.engine.connect() as connection:
        has_table = connection.dialect.has_table(connection, "users")
        return has_table and connection.execute(text("SELECT 1 FROM users LIMIT 1")).first() is not None


# -- SQLite --------------------------------------------------------------------------------------------


def _file_of(db: Database) -> Path:
    assert db.url.database is not None
    return Path(db.url.database)


def _copy_sqlite(source: Path, target: Path, report: Report) -> None:
    """Copy page by page, with the locks that other programs respect."""
    keep_private(target)

    def tell(_status: int, remaining: int, total: int) -> None:
        report(total - remaining, total)

    try:
        with (
            closing(sqlite3.connect(source, timeout=BUSY_SECONDS, isolation_level=None)) as reading,
            closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as writing,
        ):
            # All pages are from one moment. Otherwise the copy would start again at each change by others.
            reading.execute("BEGIN")
            reading.execute("SELECT 1 FROM sqlite_master").fetchone()
            reading.backup(writing, pages=PAGES_AT_ONCE, progress=tell)
    except sqlite3.Error as error:
        raise BackupRefused(f"{source} can't be copied to {target}: {error}") from None


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise BackupRefused(f"{path} is not complete, or not a backup of this program: {error}") from None
    if verdict != "ok":
        raise BackupRefused(f"{path} is damaged: {verdict}")
    if revision is None or revision[0] not in known_revisions():
        raise BackupRefused(f"{path} was made by a newer version of this program: update the program")


# -- Postgres ------------------------------------------------------------------------------------------


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise BackupRefused(f"{name} is not installed here: install Postgres' client programs")
    return found


def _restore_postgres(db: Database, path: Path, report: Report) -> None:
    """Restore over what is there, which may have tables and foreign keys that an older backup does not know.

    `pg_restore` drops only what is in the backup, and a foreign key of a newer table would keep it from that.
    """
    options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error", "--verbose")
    entries = _entries(path)
    unknown = _our_tables(db) - {found[1] for entry in entries if (found := _TABLE_ENTRY.search(entry))}
    keys = _drop_foreign_keys(db) if unknown else []
    try:
        _run("pg_restore", db, *options, str(path), report=report, total=len(entries))
    except BackupRefused:
        with db.engine.begin() as connection:
            for table, name, definition in keys:
                connection.exec_driver_sql(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')
        raise
    with db.engine.begin() as connection:
        for table in sorted(unknown):
            connection.exec_driver_sql(f'DROP TABLE "{table}" CASCADE')


def _our_tables(db: Database) -> set[str]:
    """The tables of this program that are in the database."""
    return set(inspect(db.engine).get_table_names()) & OUR_TABLES


def _drop_foreign_keys(db: Database) -> list[tuple[str, str, str]]:
    """Drop the foreign keys of all tables of this program; returns their tables, names and definitions."""
    with db.engine.begin() as connection:
        keys = [tuple(row) for row in connection.execute(_FOREIGN_KEYS, {"tables": sorted(OUR_TABLES)})]
        for table, name, _ in keys:
            connection.exec_driver_sql(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')
    return keys


def _entries(path: Path) -> list[str]:
    """The entries of a backup, as Postgres lists them."""
    command = [_program("pg_restore"), "--list", str(path)]
    listed = subprocess.run(command, capture_output=True, text=True, check=False).stdout  # noqa: S603  # Postgres' own
    return [line for line in listed.splitlines() if line and not line.startswith(";")]


def _run(name: str, db: Database, *options: str, report: Report, total: int) -> None:
    """Run a client program of Postgres; the password goes through the environment, unseen by others."""
    url = db.url.set(drivername="postgresql", password=None).render_as_string()
    secret: Mapping[str, str] = {"PGPASSWORD": str(db.url.password)} if db.url.password else {}
    command = [_program(name), "--no-password", f"--dbname={url}", *options]
    done, last_lines = 0, deque[str](maxlen=5)
    with subprocess.Popen(  # noqa: S603  # a program of Postgres', with arguments of our own
        command, env={**os.environ, **secret}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        report(0, total)
        for line in process.stderr:
            message = line.strip().removeprefix(f"{name}: ")
            if message.startswith(_STEPS):
                done = min(done + 1, total)
                report(done, total, message)
            else:
                last_lines.append(message)
    if process.returncode:
        errors = [line for line in last_lines if "error:" in line] or list(last_lines)
        raise BackupRefused(f"{name} failed: {' '.join(' '.join(errors).split())[:500]}")
