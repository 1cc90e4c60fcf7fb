"""Deliver to webhooks in a process of its own, until it is stopped.

Each server starts such a process while there are webhooks. With `WEBHOOK_DELIVERY=false` the servers do not, and this
command runs apart from them.
"""

import argparse
import contextlib
import os
import signal
import sys
import threading

from logging_config import logger, setup_logging
from migrations.schema import check_schema
from services.webhooks.delivery import deliveries


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that only servers use."""
    parser.add_argument("--attached", action="store_true", help="end with the server that started this")


def run(arguments: argparse.Namespace) -> int:
    """Deliver until a signal comes, and finish the deliveries in progress.

    The next process takes up the rest.
    """
    setup_logging()
    check_schema()
    ending = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: ending.set())
    deliveries.start()
    if arguments.attached:
        threading.Thread(target=_follow, args=(ending,), name="server", daemon=True).start()
    logger.info("Delivering to webhooks")
    ending.wait()
    deliveries.stop()
    return 0


def _follow(ending: threading.Event) -> None:
    """Say that this process is ready, look whenever the server asks for it, and end when the server has ended."""
    line = sys.stdin.fileno()
    with contextlib.suppress(OSError):
        os.write(line, b"\n")
        while os.read(line, 4096):
            deliveries.wake()
    ending.set()
