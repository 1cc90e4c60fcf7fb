"""The progress of a long job: a bar on a terminal, lines otherwise."""

import os
import pty
import re
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from database import Database
from migrations.schema import known_revisions, migrate
from services.operations import backup, progress
from tests.support.server import ROOT
from tests.support.waiting import SECONDS, wait_until


def test_without_a_terminal_a_line_every_so_often_says_what_is_done_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert progress.EVERY_SECONDS == 10
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.05)
    said: list[str] = []
    with progress.progress("Migrating", "steps", said.append) as report:
        report(3, 12, "0004")
        wait_until(lambda: any(", at 0004;" in line for line in said))
        report(4, 12)
        wait_until(lambda: any("done, 8 left;" in line for line in said))
    assert re.fullmatch(r"Migrating: 3 of 12 steps done, 9 left, at 0004; \d+ s so far", said[0])
    assert re.fullmatch(r"Migrating: 4 of 12 steps done, 8 left; \d+ s so far", said[-1])


def test_a_short_job_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("Migrating", "steps") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "")


def test_migrating_and_copying_tell_of_each_step(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []

    def report(done: int, total: int, doing: str = "") -> None:  # the names that callers of a Report use
        told.append((done, total))

    db = Database(f"sqlite:///{tmp_path}/tasks.db")
    migrate(db, report=report)
    steps = len(known_revisions())
    assert told == [(done, steps) for done in range(steps + 1)]
    told.clear()
    backup.back_up(db, tmp_path / "copy", report)
    assert told[-1][0] == told[-1][1] > 0
    told.clear()
    backup.restore(db, tmp_path / "copy", replace=True, report=report)
    assert told[-1][0] == told[-1][1] > 0
    db.close()


SLOW = """
import time
from services.operations import progress
progress.BAR_EVERY_SECONDS = 0.15
with progress.progress("Migrating", "steps") as report:
    for done in range(5):
        report(done, 5, f"step {done}")
        time.sleep(0.2)
"""


def test_on_a_terminal_there_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", SLOW], stdout=theirs, stderr=theirs, env=environment)
    assert process.wait(SECONDS) == 0
    os.set_blocking(ours, False)
    shown = os.read(ours, 100_000).decode()
    for each in (ours, theirs):
        os.close(each)
    assert "Migrating:" in shown
    assert "4/5" in shown
    assert "step 4" in shown
    assert "\r" in shown
