"""Deliver to webhooks in a process of its own, until it is stopped.

Use this with servers that have `WEBHOOK_DELIVERY=false`, so that deliveries take no time from requests.
"""

import argparse
import signal
import threading

from logging_config import logger, setup_logging
from migrations.schema import check_schema
from services.webhooks.delivery import deliveries


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(_arguments: argparse.Namespace) -> int:
    """Deliver until a signal comes, and finish the deliveries in progress.

    The next process takes up the rest.
    """
    setup_logging()
    check_schema()
    ending = threading.Event()
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, lambda *_: ending.set())
    deliveries.start()
    logger.info("Delivering to webhooks")
    ending.wait()
    deliveries.stop()
    return 0
