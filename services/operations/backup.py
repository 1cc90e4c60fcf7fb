"""Copying a database while it is in use, and putting a copy in its place."""

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from database import Database
from errors import AppError
from migrations.schema import known_revisions
from storage.sqlite_file import keep_private

SQLITE_MAGIC = b"SQLite format 3\0"
POSTGRES_MAGIC = b"PGDMP"
BUSY_SECONDS = 60


class BackupRefused(AppError):
    """Why a backup was not made or restored; nothing was changed."""

    code = "backup_refused"


def back_up(db: Database, path: Path) -> None:
    """Write a copy of the database, as it is at one moment, to a new file; raises BackupRefused."""
    if path.exists():
        raise BackupRefused(f"{path} is there already: name a new file")
    # Written whole under another name: a file of the right name is a whole backup.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    os.close(descriptor)
    temporary = Path(name)
    try:
        if db.is_sqlite:
            _copy_sqlite(_file_of(db), temporary)
            _check_sqlite(temporary)
        else:
            _run("pg_dump", db, "--format=custom", "--no-owner", "--file", str(temporary))
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.rename(path)
    finally:
        temporary.unlink(missing_ok=True)


def restore(db: Database, path: Path, *, replace: bool = False) -> None:
    """Put a backup in the place of what the database holds; all or nothing. Raises BackupRefused."""
    magic = _magic(path)
    expected, kind = (SQLITE_MAGIC, "SQLite") if db.is_sqlite else (POSTGRES_MAGIC, "Postgres")
    if not magic.startswith(expected):
        raise BackupRefused(f"{path} is no backup of a {kind} database, which DATABASE_URL names")
    if not replace and _holds_users(db):
        raise BackupRefused("The database is not empty: say --replace to lose what it holds")
    if db.is_sqlite:
        _check_sqlite(path)
        _copy_sqlite(path, _file_of(db))
    else:
        options = ("--clean", "--if-exists", "--no-owner", "--single-transaction", "--exit-on-error")
        _run("pg_restore", db, *options, str(path))


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_MAGIC))
    except OSError as error:
        raise BackupRefused(f"{path} can't be read: {error.strerror}") from None


def _holds_users(db: Database) -> bool:
    """Whether there is an account; there is none where there are no tables."""
    with db.engine.connect() as connection:
        has_table = connection.dialect.has_table(connection, "users")
        return has_table and connection.execute(text("SELECT 1 FROM users LIMIT 1")).first() is not None


# -- SQLite --------------------------------------------------------------------------------------------


def _file_of(db: Database) -> Path:
    assert db.url.database is not None
    return Path(db.url.database)


def _copy_sqlite(source: Path, target: Path) -> None:
    """Copy page by page in one go, with the locks that other programs heed."""
    keep_private(target)
    try:
        with (
            closing(sqlite3.connect(source, timeout=BUSY_SECONDS)) as reading,
            closing(sqlite3.connect(target, timeout=BUSY_SECONDS)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as error:
        raise BackupRefused(f"{source} can't be copied to {target}: {error}") from None


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as connection:
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise BackupRefused(f"{path} is not whole, or not this program's: {error}") from None
    if verdict != "ok":
        raise BackupRefused(f"{path} is damaged: {verdict}")
    if revision is None or revision[0] not in known_revisions():
        raise BackupRefused(f"{path} was made by a newer version of this program: update the program")


# -- Postgres ------------------------------------------------------------------------------------------


def _run(program: str, db: Database, *options: str) -> None:
    """Run one of Postgres' programs on the database; the password goes by the environment, which nobody else sees."""
    found = shutil.which(program)
    if found is None:
        raise BackupRefused(f"{program} is not installed here: install Postgres' client programs")
    url = db.url.set(drivername="postgresql", password=None).render_as_string()
    secret: Mapping[str, str] = {"PGPASSWORD": str(db.url.password)} if db.url.password else {}
    done = subprocess.run(  # noqa: S603  # a program of Postgres', with arguments of our own
        [found, "--no-password", f"--dbname={url}", *options],
        env={**os.environ, **secret},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = " ".join(done.stderr.split())[:500]
        raise BackupRefused(f"{program} failed: {said}")
