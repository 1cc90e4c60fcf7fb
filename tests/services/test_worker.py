"""The thread for work after responses."""

import logging
import threading

import pytest

from errors import DatabaseUnavailable
from services.delivery.worker import Worker
from tests.support.waiting import SECONDS


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
    [(KeyError("mail"), KeyError), (DatabaseUnavailable(), None), (OSError("full"), None)],
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
