"""The thread that notices new events."""

import threading
import time

import pytest

from services.events.follower import Follower
from services.events.watermark import watermark
from tests.support.waiting import SECONDS


def test_a_listener_that_has_left_is_not_called_any_more(database_url: str) -> None:
    follower, has_begun = Follower(), threading.Event()
    left, late = set[int](), list[int]()

    def hear(number: int) -> None:
        if number in left:
            late.append(number)
        if not has_begun.is_set():
            has_begun.set()
            time.sleep(0.1)

    listeners = [lambda number=number: hear(number) for number in range(50)]
    for listener in listeners:
        follower.listen(listener)
    assert has_begun.wait(SECONDS)
    for number, listener in enumerate(listeners):
        follower.leave(listener)
        left.add(number)
    thread = follower._thread  # noqa: SLF001
    if thread is not None:
        thread.join(SECONDS)
    assert late == []


def test_a_listener_that_comes_during_a_look_is_told_of_what_the_look_finds(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    follower, first, second = Follower(), threading.Event(), threading.Event()

    def look(_db: object) -> int:
        follower.listen(second.set)
        return 7

    monkeypatch.setattr(watermark, "look", look)
    follower.listen(first.set)
    try:
        assert first.wait(SECONDS)
        assert second.wait(1)
    finally:
        follower.leave(first.set)
        follower.leave(second.set)
