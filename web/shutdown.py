"""Shutdown: after a signal to stop, a server ends within ten seconds, whatever its clients do.

A process of several also ends if its parent is killed, as if it had got the signal.
"""

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from logging_config import logger
from services import background_tasks
from web.events import stream_hub, waiting

# Requests, deliveries and connections that are still open after this time are cut off.
GRACE_SECONDS = 8.0


@contextmanager
def in_time() -> Iterator[None]:
    """Make the first signal to stop also end streams and mails and start the countdown.

    The handlers of the server are called as before.
    """
    if threading.current_thread() is not threading.main_thread():
        # A test client runs in a thread that gets no signals.
        yield
        return
    begun = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal begun
        if not begun:
            begun = True
            background_tasks.begin_to_stop()
            stream_hub.end_all()
            waiting.end_all()
            countdown = threading.Timer(GRACE_SECONDS, _end, (number,))
            countdown.daemon = True
            countdown.start()
        handler = before[signal.Signals(number)]
        if callable(handler):
            handler(number, frame)

    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    for each, handler in before.items():
        # An unhandled signal, as under some process managers, stays unhandled.
        if callable(handler):
            signal.signal(each, stop)
    try:
        yield
    finally:
        for each, handler in before.items():
            if signal.getsignal(each) is stop:
                signal.signal(each, handler)


@contextmanager
def with_parent() -> Iterator[None]:
    """Stop this process if the process that started it, with others like it, is killed.

    Otherwise these processes would go on, hold the port, and keep the next server from starting.
    """
    parent = multiprocessing.parent_process()
    if parent is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, sentinel = asyncio.get_running_loop(), parent.sentinel

    def stop() -> None:
        loop.remove_reader(sentinel)
        logger.warning("The parent process is gone, so this process stops too")
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(sentinel, stop)
    try:
        yield
    finally:
        loop.remove_reader(sentinel)


def _end(number: int) -> None:
    logger.warning("Requests that did not end in %d seconds are cut off", GRACE_SECONDS)
    os._exit(128 + number)
