"""The thread for work after responses."""

import threading

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
