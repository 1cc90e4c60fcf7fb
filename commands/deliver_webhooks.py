"""Deliver to webhooks in a process of its own, until it is stopped.

For servers with `WEBHOOK_DELIVERY=false`: what receivers cost is then no burden of theirs.
"""

import argparse
import signal
import threading

from logging_config import logger, setup_logging
from migrations.schema import check_schema
from services.webhooks.delivery import deliveries


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(_arguments: argparse.Namespace) -> int:
    """Deliver until a signal comes; what is on its way then is finished, the rest is left for the next process."""
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
