"""Backups: copying a database while it is in use, and restoring a copy."""

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import text

# These modules put their tables into Base.metadata.
import account_models  # noqa: F401
import models  # noqa: F401
from config import settings
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
# The functions of triggers on Postgres.
OUR_FUNCTIONS = frozenset(
    {
        "audit_events_stay",
        "tasks_days",
        *(f"tasks_{change}" for change in ("inserted", "deleted", "updated")),
        *(f"tasks_with_durations_{change}" for change in ("inserted", "deleted", "updated")),
    }
)
# Progress is reported after this many pages of SQLite, usually 16 MB.
PAGES_AT_ONCE = 4096
# The beginning of the line that pg_dump prints for each table.
_STEP = "dumping contents of"
_TABLES = text("SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')")
_ENTRY = re.compile(rb"-- (?:Data for )?Name: (.+?); Type: (.+?);")
_REVISION = re.compile(r"^COPY \S+alembic_version .*\n(\S+)\n", re.MULTILINE)
# Together these tables can be dropped in any order. A view by others over them stops the restore.
_DROP = f"""
\\o /dev/null
BEGIN;
SET client_min_messages = warning;
SELECT set_config(name, '0', true) FROM pg_settings WHERE name = 'transaction_timeout';
DROP TABLE IF EXISTS {", ".join(sorted(OUR_TABLES))};
DROP FUNCTION IF EXISTS {", ".join(sorted(OUR_FUNCTIONS))};
""".encode()


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
            _check_sqlite(temporary, report, is_copied=True)
        else:
            with db.engine.connect() as connection:
                tables = connection.execute(_TABLES).scalar_one()
            options = ("--format=custom", "--no-owner", "--verbose", f"--file={temporary}")
            _run(_command("pg_dump", *options, *_connection(db)), db, report=report, total=tables)
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
        _check_sqlite(path, report)
        _copy_sqlite(path, _file_of(db), report, is_checked=True)
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


def _copy_sqlite(source: Path, target: Path, report: Report, *, is_checked: bool = False) -> None:
    """Copy page by page, with the locks that other programs respect."""
    keep_private(target)

    def tell(_status: int, remaining: int, total: int) -> None:
        # Each page is copied and checked, so the progress counts it twice.
        report(total - remaining + total * is_checked, 2 * total, "copying")

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


def _check_sqlite(path: Path, report: Report, *, is_copied: bool = False) -> None:
    """Raise BackupRefused unless the file is a whole backup. SQLite does not tell how far its check is."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            pages = connection.execute("PRAGMA page_count").fetchone()[0]
            report(pages * is_copied, 2 * pages, "checking")
            verdict = connection.execute("PRAGMA integrity_check").fetchone()[0]
            revision = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            report(pages * (1 + is_copied), 2 * pages, "checking")
    except sqlite3.Error as error:
        raise BackupRefused(f"{path} is not complete, or not a backup of this program: {error}") from None
    if verdict != "ok":
        raise BackupRefused(f"{path} is damaged: {verdict}")
    _check_revision(path, revision[0] if revision else None)


def _check_revision(path: Path, revision: str | None) -> None:
    if revision not in known_revisions():
        raise BackupRefused(f"{path} was made by a newer version of this program: update the program")


# -- Postgres ------------------------------------------------------------------------------------------


def _restore_postgres(db: Database, path: Path, report: Report) -> None:
    """Restore in one transaction over what is there, which may be newer than the backup.

    `pg_restore` drops only what is in the backup, and cannot drop what newer tables refer to. So it writes a script, which
    follows statements that drop all of this program. `psql` gets the COMMIT when it has executed all: whatever is killed
    before, nothing changes.
    """
    psql = _command("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", *_connection(db))
    pg_restore = _command("pg_restore", "--clean", "--if-exists", "--no-owner", "--file=-", str(path))
    total = _check_postgres(path)
    # In a container there may be no other folder that can be written.
    home = settings.data_dir
    with (
        tempfile.TemporaryFile("w+", dir=home) as of_psql,
        tempfile.TemporaryFile("w+", dir=home) as of_pg_restore,
    ):
        with (
            subprocess.Popen(  # noqa: S603  # a program of Postgres', with arguments of our own
                psql, env=_environment(db), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=of_psql
            ) as executing,
            subprocess.Popen(pg_restore, stdout=subprocess.PIPE, stderr=of_pg_restore) as writing,  # noqa: S603
        ):
            assert executing.stdin is not None
            assert executing.stdout is not None
            assert writing.stdout is not None
            with suppress(BrokenPipeError), executing.stdin as script:
                script.write(_DROP)
                script.writelines(_reported(writing.stdout, report, total))
                if writing.wait() == 0:
                    script.write(b"\\echo executed\n")
                    script.flush()
                    if executing.stdout.readline():
                        # A backup of another schema would leave tables that the program does not find.
                        script.write(b"RESET ALL;\nSELECT FROM alembic_version;\nCOMMIT;\n")
        # If psql failed, pg_restore failed because of it.
        for command, process, lines in ((psql, executing, of_psql), (pg_restore, writing, of_pg_restore)):
            if process.returncode:
                lines.seek(0)
                raise _failed(Path(command[0]).name, lines)


def _reported(script: Iterable[bytes], report: Report, total: int) -> Iterator[bytes]:
    """The lines of a script, which tells each entry of the backup in a comment."""
    done = 0
    report(done, total)
    for line in script:
        if entry := _ENTRY.match(line):
            done = min(done + 1, total)
            report(done, total, f"{entry[2].decode()} {entry[1].decode()}")
        # Servers before version 17 do not know this setting, which version 17 writes for all.
        elif done == 0 and line.startswith(b"SET transaction_timeout"):
            continue
        yield line


def _check_postgres(path: Path) -> int:
    """Check that this version can read the backup; returns the number of entries in it."""
    listed = _output(_command("pg_restore", "--list", str(path)))
    written = _output(_command("pg_restore", "--data-only", "--table=alembic_version", "--file=-", str(path)))
    revision = _REVISION.search(written)
    if revision is None:
        raise BackupRefused(f"{path} is not complete, or not a backup of this program")
    _check_revision(path, revision[1])
    return sum(1 for line in listed.splitlines() if line and not line.startswith(";"))


def _output(command: list[str]) -> str:
    """The output of a client program of Postgres that does not connect."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # as above
    if done.returncode:
        raise _failed(Path(command[0]).name, done.stderr.splitlines())
    return done.stdout


def _command(name: str, *options: str) -> list[str]:
    found = shutil.which(name)
    if found is None:
        raise BackupRefused(f"{name} is not installed here: install Postgres' client programs")
    return [found, *options]


def _connection(db: Database) -> tuple[str, str]:
    # `set` would keep the password, because to it None is no value.
    url = db.url.set(drivername="postgresql")._replace(password=None).render_as_string()
    return "--no-password", f"--dbname={url}"


def _environment(db: Database) -> Mapping[str, str]:
    """The environment of a client program: the password goes through it, unseen by others."""
    secret = {"PGPASSWORD": str(db.url.password)} if db.url.password else {}
    return {**os.environ, **secret}


def _run(command: list[str], db: Database, *, report: Report, total: int) -> None:
    """Run a client program of Postgres and report its steps."""
    name, done, last_lines = Path(command[0]).name, 0, deque[str](maxlen=5)
    with subprocess.Popen(  # noqa: S603  # a program of Postgres', with arguments of our own
        command, env=_environment(db), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        report(0, total)
        for line in process.stderr:
            message = line.strip().removeprefix(f"{name}: ")
            if message.startswith(_STEP):
                done = min(done + 1, total)
                report(done, total, message)
            else:
                last_lines.append(message)
    if process.returncode:
        raise _failed(name, last_lines)


def _failed(name: str, lines: Iterable[str]) -> BackupRefused:
    """The error for what a client program printed last."""
    last = deque(lines, maxlen=5)
    errors = [line for line in last if "error:" in line.lower() or line.startswith("DETAIL:")] or last
    return BackupRefused(f"{name} failed: {' '.join(' '.join(errors).split())[:500]}")
