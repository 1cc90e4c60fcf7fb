"""The thread for work after responses."""

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from sqlalchemy.orm import Session

from database import Database
from services.delivery.worker import Worker
from services.events import follower
from services.events.follower import Follower
from storage.faults import fault_log
from tests.support.waiting import SECONDS, wait_until

T = TypeVar("T")


def test_work_is_done_after_a_stop_that_did_not_wait_for_the_round_before() -> None:
    go_on, rounds = threading.Event(), list[set[int]]()

    def work(user_ids: set[int]) -> None:
        rounds.append(user_ids)
        if len(rounds) == 1:
            assert go_on.wait(SECONDS)

    worker = Worker("slow", work)
    first = worker.wake(1)
    # A mail server may take so long to answer.
    assert not worker.stop(patience=0.05)
    worker.wake(2).result(SECONDS)
    assert not first.done()
    go_on.set()
    first.result(SECONDS)
    assert worker.stop()
    worker.wake(3).result(SECONDS)
    assert worker.stop()
    # The end of a thread may be a round without requests.
    assert [each for each in rounds if each] == [{1}, {2}, {3}]


@pytest.mark.parametrize(
    ("error", "traceback_of"),
    [(KeyError("mail"), KeyError), (OSError("full"), None)],
)
def test_a_fault_of_the_program_is_logged_with_its_traceback(
    error: Exception, traceback_of: type[Exception] | None, caplog: pytest.LogCaptureFixture
) -> None:
    def work(_: set[int]) -> None:
        raise error

    worker = Worker("faulty", work)
    with caplog.at_level(logging.WARNING, "task_platform"):
        worker.wake(1).result(SECONDS)
        assert worker.stop()
    line = next(each for each in caplog.records if "(faulty)" in each.getMessage())
    assert (line.exc_info[0] if line.exc_info else None) is traceback_of


class Away(Database):
    """A database that can't be opened, with the number of times that this was tried."""

    tries = 0

    def read(self, work: Callable[[Session], T], *, on_loop: bool = False) -> T:
        self.tries += 1
        return super().read(work, on_loop=on_loop)


def test_a_database_that_is_away_is_one_line_for_all_work_in_the_background(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Away(f"sqlite:///{tmp_path}/away/tasks.db")
    monkeypatch.setattr(fault_log, "next_at", {})
    monkeypatch.setattr(follower, "database", away)

    def work(_: set[int]) -> None:
        away.read(lambda db: db.connection())

    def hear() -> None:
        pass

    with caplog.at_level(logging.INFO, "task_platform"):
        for name in ("notifications", "titles"):
            worker = Worker(name, work)
            for user_id in (1, 2):
                worker.wake(user_id).result(SECONDS)
            assert worker.stop()
        for _ in range(2):
            # The thread begins again with the next request that waits for events.
            tries, following = away.tries, Follower()
            following.listen(hear)
            wait_until(lambda: away.tries > tries)  # noqa: B023
            thread = following._thread  # noqa: SLF001
            following.leave(hear)
            if thread is not None:
                thread.join(SECONDS)
    away.close()
    (line,) = caplog.messages
    assert line.startswith("The database can't be reached, or is too busy: ")
