"""Processes that are forked after the database was used, as by `multiprocessing`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer, create_database, drop_database
from tests.support.server import ROOT
from tests.support.waiting import SECONDS

# It prints what the child, and then its parent, could do with the database.
FORKING = """
import os, signal
from sqlalchemy import text
from database import SessionLocal, database
from migrations.schema import migrate

migrate(database)
signal.alarm(100)

def used(who):
    try:
        with SessionLocal() as session:
            found = session.execute(text("SELECT 7")).scalar()
        database.write(lambda db: db.execute(text("UPDATE users SET username = username")))
        print(who, found + database.read(lambda db: db.execute(text("SELECT 1")).scalar()), flush=True)
    except RuntimeError as error:
        print(who, error, flush=True)

used("first")
if os.fork() == 0:
    used("child")
    os._exit(0)
os.wait()
used("parent")
"""


def forked(folder: Path, url: str) -> list[str]:
    """The lines that the program above prints."""
    environment = {**os.environ, "DATABASE_URL": url, "DATA_DIR": str(folder), "LOG_FILE": os.devnull}
    done = subprocess.run(
        [sys.executable, "-c", FORKING],
        env={**environment, "PYTHONPATH": str(ROOT)},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.thorough
def test_a_forked_process_has_connections_of_its_own(postgres: PostgresServer, tmp_path: Path) -> None:
    url = create_database(postgres.url, "forked")
    try:
        assert forked(tmp_path, url) == ["first 8", "child 8", "parent 8"]
    finally:
        drop_database(postgres.url, "forked")


def test_a_forked_process_is_told_that_sqlite_can_not_be_used_there(tmp_path: Path) -> None:
    first, child, parent = forked(tmp_path, f"sqlite:///{tmp_path}/tasks.db")
    assert (first, parent) == ("first 8", "parent 8")
    assert child.startswith("child This process was forked after its parent had used the SQLite database")
