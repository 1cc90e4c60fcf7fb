"""Retries over two processes, one of which is killed: each key causes one write and has one answer."""

from pathlib import Path

import pytest
from sqlalchemy import text

from benchmarks.faults.clients import account
from benchmarks.faults.retry_drills import Killer, Retries
from database import database
from tests.support.server import ServerProcess

pytestmark = pytest.mark.thorough

KEYS = 100


def test_keys_sent_to_two_processes_write_once_though_one_is_killed(
    database_url: str, tmp_path: Path
) -> None:
    homes = [tmp_path / name for name in "ab"]
    for home in homes:
        home.mkdir()
    first, second = (ServerProcess(home, DATABASE_URL=database_url) for home in homes)
    with first, second:
        _, token = account(first.port, "ada")
        retries = Retries([first.port, second.port], [token])
        with Killer([first], every=0.05) as killer:
            retries.run(KEYS)
        assert killer.kills >= 1
    assert {len(set(answers)) for answers in retries.answers.values()} == {1}
    assert len(retries.answers) == KEYS
    assert max(retries.first.values()) == 1
    counts = text(
        "SELECT (SELECT count(*) FROM tasks), (SELECT count(DISTINCT title) FROM tasks),"
        " (SELECT count(*) FROM task_history), (SELECT count(*) FROM notifications)"
    )
    assert database.read(lambda db: tuple(db.execute(counts).one())) == (KEYS,) * 4
