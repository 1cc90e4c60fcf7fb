"""Run the drills: `python -m benchmarks.faults [NAME ...]`. The exit code is 1 if one of them failed."""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.faults import database_drills, delivery_drills, event_drills, retry_drills, webhook_drills
from benchmarks.report import Report

DRILLS: dict[str, Callable[[], str]] = {
    "killed-sqlite": lambda: database_drills.killed("sqlite"),
    "killed-postgres": lambda: database_drills.killed("postgres"),
    "mail-sqlite": lambda: delivery_drills.mail_server_fails("sqlite"),
    "mail-postgres": lambda: delivery_drills.mail_server_fails("postgres"),
    "killed-before-mail-sqlite": lambda: delivery_drills.killed_before_mail("sqlite"),
    "killed-before-mail-postgres": lambda: delivery_drills.killed_before_mail("postgres"),
    "postgres-gone": database_drills.postgres_gone,
    "redis": delivery_drills.redis_fails,
    "three-processes": delivery_drills.three_processes,
    "disk-full": database_drills.disk_full,
    "feed-sqlite": lambda: event_drills.feed_followed("sqlite"),
    "feed-postgres": lambda: event_drills.feed_followed("postgres"),
    "streams-sqlite": lambda: event_drills.idle_streams("sqlite"),
    "streams-postgres": lambda: event_drills.idle_streams("postgres"),
    "million-events-sqlite": lambda: event_drills.million_events("sqlite"),
    "million-events-postgres": lambda: event_drills.million_events("postgres"),
    "webhooks-sqlite": lambda: webhook_drills.storm("sqlite"),
    "webhooks-postgres": lambda: webhook_drills.storm("postgres"),
    "dead-receivers-sqlite": lambda: webhook_drills.dead_receivers("sqlite"),
    "dead-receivers-postgres": lambda: webhook_drills.dead_receivers("postgres"),
    "webhook-cost-sqlite": lambda: webhook_drills.cost("sqlite"),
    "webhook-cost-postgres": lambda: webhook_drills.cost("postgres"),
    "slow-client": database_drills.slow_client,
    "retried-sqlite": lambda: retry_drills.retried("sqlite"),
    "retried-postgres": lambda: retry_drills.retried("postgres"),
}


def main() -> int:
    """Run the named drills, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(DRILLS))
    parser.add_argument("--write", action="store_true", help="keep what they say in RESULTS.md")
    arguments = parser.parse_args()
    names = arguments.names or list(DRILLS)
    if unknown := [name for name in names if name not in DRILLS]:
        parser.error(f"no such drill: {', '.join(unknown)}")
    failed = False
    report = Report("benchmarks.faults", "Fault drills", Path(tempfile.gettempdir()))
    for name in names:
        began = time.monotonic()
        try:
            verdict = f"ok      {name}: {DRILLS[name]()}"
        except Exception as error:  # noqa: BLE001  # the others are run all the same
            failed = True
            verdict = f"FAILED  {name}: {type(error).__name__}: {error}"
        report.say(f"{verdict} ({time.monotonic() - began:.0f} s)")
    if arguments.write:
        report.write()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
