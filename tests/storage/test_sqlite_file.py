"""The files of a database: only their owner can read them, and many may open a new one at once."""

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event, text
from sqlalchemy.orm import Session

from config import settings
from database import Database
from errors import DatabaseUnavailable
from migrations.schema import migrate
from services.operations import backup
from storage.group_commit import CHANGES_WHEN_BUSY, CHANGES_WHEN_IDLE
from storage.sqlite_file import write_ahead
from tests.support.waiting import SECONDS, wait_until

AT_ONCE = 4


@pytest.fixture(autouse=True)
def _generous_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def modes(folder: Path) -> dict[str, int]:
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}


def test_a_new_database_and_its_log_are_for_their_owner(tmp_path: Path) -> None:
    fresh = Database(f"sqlite:///{tmp_path}/tasks.db")
    migrate(fresh)
    fresh.read(lambda db: db.connection())
    assert modes(tmp_path) == dict.fromkeys(("tasks.db", "tasks.db-wal", "tasks.db-shm"), 0o600)
    fresh.close()
    with fresh.session_factory():
        pass
    (tmp_path / "other").mkdir()
    through_link = tmp_path / "other" / "link.db"
    through_link.symlink_to(tmp_path / "elsewhere.db")
    linked = Database(f"sqlite:///{through_link}")
    linked.read(lambda db: db.connection())
    linked.close()
    assert modes(tmp_path)["elsewhere.db"] == 0o600


def test_the_log_is_copied_into_the_file_when_nobody_waits(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    made = Database(f"sqlite:///{path}")
    migrate(made)
    rows = [{"number": number} for number in range(CHANGES_WHEN_IDLE)]
    made.write(lambda db: db.execute(text("CREATE TABLE numbers (number INTEGER)")))
    made.write(lambda db: db.execute(text("INSERT INTO numbers VALUES (:number)"), rows))

    wait_until(lambda: _numbers_in_the_file(path) == len(rows))
    made.close()


def test_the_log_is_copied_after_many_changes_although_somebody_waits(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    made = Database(f"sqlite:///{path}")
    migrate(made)
    rows = [{"number": number} for number in range(CHANGES_WHEN_BUSY)]
    made.write(lambda db: db.execute(text("CREATE TABLE numbers (number INTEGER)")))
    with ThreadPoolExecutor(1) as pool:

        def insert(db: Session) -> Future[int]:
            db.execute(text("INSERT INTO numbers VALUES (:number)"), rows)
            waiting = pool.submit(made.write, lambda _db: _numbers_in_the_file(path))
            time.sleep(0.2)  # It has been queued by then.
            return waiting

        assert made.write(insert).result() == len(rows)
    made.close()


def _numbers_in_the_file(path: Path) -> int:
    # An immutable file is read without its log. While the log is being copied, the file is no database.
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as file:
        try:
            found: int = file.execute("SELECT count(*) FROM numbers").fetchone()[0]
        except sqlite3.DatabaseError:
            return 0
        return found


def test_an_old_database_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    with sqlite3.connect(path) as made:
        made.execute("PRAGMA journal_mode=WAL")
        made.execute("CREATE TABLE t (x)")
    assert modes(tmp_path)["tasks.db"] != 0o600
    old = Database(f"sqlite:///{path}")
    old.read(lambda db: db.connection())
    assert set(modes(tmp_path).values()) == {0o600}
    old.close()
    made.close()


def test_a_restored_database_and_a_backup_are_for_their_owner(tmp_path: Path) -> None:
    first = Database(f"sqlite:///{tmp_path}/tasks.db")
    migrate(first)
    backup.back_up(first, tmp_path / "copy")
    first.close()
    (tmp_path / "restored").mkdir()
    second = Database(f"sqlite:///{tmp_path}/restored/tasks.db")
    backup.restore(second, tmp_path / "copy", replace=True)
    second.close()
    assert modes(tmp_path)["copy"] == 0o600
    assert modes(tmp_path / "restored")["tasks.db"] == 0o600


def test_many_open_a_new_file_at_the_same_time(tmp_path: Path) -> None:
    start = threading.Barrier(AT_ONCE)

    def opened(path: Path) -> str:
        connection = sqlite3.connect(path, isolation_level=None)
        try:
            start.wait(SECONDS)
            write_ahead(connection, SECONDS)
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])
        finally:
            connection.close()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        for turn in range(20):
            assert [*pool.map(opened, [tmp_path / f"{turn}.db"] * AT_ONCE)] == ["wal"] * AT_ONCE


def test_a_file_that_stays_locked_is_given_up(tmp_path: Path) -> None:
    holder, late = (
        sqlite3.connect(tmp_path / "locked.db", timeout=0.05, isolation_level=None) for _ in range(2)
    )
    try:
        holder.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            write_ahead(late, 0.05)
        holder.execute("COMMIT")
        write_ahead(late, SECONDS)
    finally:
        holder.close()
        late.close()


def test_a_write_looks_again_and_again_whether_another_process_still_writes(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    patient = settings.model_copy(update={"sqlite_busy_timeout_ms": SECONDS * 1000})
    db, looks = Database(f"sqlite:///{path}", patient), list[str]()
    event.listen(db._autocommit, "connect", lambda opened, _: opened.set_trace_callback(looks.append))  # noqa: SLF001
    with closing(sqlite3.connect(path, isolation_level=None)) as holder, ThreadPoolExecutor(1) as others:
        db.write(lambda session: session.execute(text("CREATE TABLE numbers (number INTEGER)")))
        looks.clear()
        holder.execute("BEGIN IMMEDIATE")
        insert = text("INSERT INTO numbers VALUES (1)")
        written = others.submit(db.write, lambda session: session.execute(insert))
        # SQLite itself would look again and again within one statement.
        wait_until(lambda: looks.count("BEGIN IMMEDIATE") > 5)
        holder.execute("COMMIT")
        written.result(SECONDS)
        assert holder.execute("SELECT number FROM numbers").fetchall() == [(1,)]
    db.close()


def test_a_write_is_given_up_after_a_while_in_which_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "tasks.db"
    db = Database(f"sqlite:///{path}", settings.model_copy(update={"sqlite_busy_timeout_ms": 50}))
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        db.write(lambda session: session.execute(text("CREATE TABLE numbers (number INTEGER)")))
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnavailable):
            db.write(lambda session: session.execute(text("INSERT INTO numbers VALUES (1)")))
    db.close()


def test_a_commit_waits_for_readers_where_there_is_no_write_ahead_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As on a file system of the network, on which SQLite stays with its former journal.
    monkeypatch.setattr("storage.engines.write_ahead", lambda *_: None)
    path = tmp_path / "tasks.db"
    db = Database(f"sqlite:///{path}")
    db.write(lambda session: session.execute(text("CREATE TABLE numbers (number INTEGER)")))
    with closing(sqlite3.connect(path, isolation_level=None)) as reader, ThreadPoolExecutor(1) as others:
        reader.execute("BEGIN")
        reader.execute("SELECT number FROM numbers").fetchall()
        insert = text("INSERT INTO numbers VALUES (1)")
        written = others.submit(db.write, lambda session: session.execute(insert))
        with pytest.raises(TimeoutError):
            written.result(0.2)
        reader.execute("COMMIT")
        written.result(SECONDS)
    db.close()


def test_a_folder_that_is_named_as_the_database_stays_open_to_others(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    db = Database(f"sqlite:///{tmp_path}")
    with pytest.raises(DatabaseUnavailable):
        db.read(lambda session: session.execute(text("SELECT 1")))
    db.close()
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_null_stays_null_under_its_adapter() -> None:
    assert sqlite3.adapters[type(None), sqlite3.PrepareProtocol](None) is None
    with closing(sqlite3.connect(":memory:")) as connection:
        assert connection.execute("SELECT typeof(?), ?", (None, None)).fetchone() == ("null", None)
