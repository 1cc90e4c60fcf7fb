"""The progress of a long job: a bar on a terminal, lines otherwise."""

import contextlib
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
from tests.support.waiting import wait_until


def test_without_a_terminal_a_line_every_so_often_says_what_is_done_and_what_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert progress.EVERY_SECONDS == 10
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0.05)
    said: list[str] = []

    def told(part: str) -> str:
        """The first line with this text."""
        return wait_until(lambda: next((line for line in said if part in line), ""))

    with progress.progress("Migrating", "steps", said.append) as report:
        report(3, 12, "0004")
        first = told(", at 0004;")
        report(4, 12)
        second = told("done, 8 left;")
    assert re.fullmatch(r"Migrating: 3 of 12 steps done, 9 left, at 0004; \d+ s so far", first)
    assert re.fullmatch(r"Migrating: 4 of 12 steps done, 8 left; \d+ s so far", second)


def test_a_short_job_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("Migrating", "steps") as report:
        report(1, 2)
    assert capsys.readouterr() == ("", "")


def test_migrating_and_copying_tell_of_each_step(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    doings: dict[str, None] = {}

    def report(done: int, total: int, doing: str = "") -> None:  # the names that callers of a Report use
        told.append((done, total))
        doings[doing] = None

    db = Database(f"sqlite:///{tmp_path}/tasks.db")
    migrate(db, report=report)
    steps = len(known_revisions())
    assert told == [(done, steps) for done in range(steps + 1)]
    told.clear()
    doings.clear()
    backup.back_up(db, tmp_path / "copy", report)
    # The check takes longer than the copying, so something is left while it lasts.
    half = (told[-1][1] // 2, told[-1][1])
    assert told[-1][0] == told[-1][1] > 0
    assert told[-2] == half
    assert list(doings) == ["copying", "checking"]
    told.clear()
    doings.clear()
    backup.restore(db, tmp_path / "copy", replace=True, report=report)
    assert told[:2] == [(0, half[1]), half]
    assert told[-1][0] == told[-1][1]
    assert list(doings) == ["checking", "copying"]
    db.close()


SLOW = """
import sys
from services.operations import progress
progress.BAR_EVERY_SECONDS = 0.05
with progress.progress("Migrating", "steps") as report:
    for done in range(5):
        report(done, 5, f"step {done}")
    sys.stdin.read()
"""


def test_on_a_terminal_there_is_a_bar() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    os.set_blocking(ours, False)
    shown = ""

    def is_at_last_step() -> bool:
        nonlocal shown
        with contextlib.suppress(BlockingIOError):
            shown += os.read(ours, 100_000).decode()
        return "step 4" in shown

    with subprocess.Popen(
        [sys.executable, "-c", SLOW], stdin=subprocess.PIPE, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        # The last step lasts until this block ends.
        wait_until(is_at_last_step)
    assert process.returncode == 0
    for each in (ours, theirs):
        os.close(each)
    assert "Migrating:" in shown
    assert "4/5" in shown
    assert "\r" in shown
