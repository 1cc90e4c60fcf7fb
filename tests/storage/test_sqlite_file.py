"""Nobody but its owner reads the database's files, whatever the process would give to new ones."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from database import Database
from migrations.schema import migrate
from services.operations import backup


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
