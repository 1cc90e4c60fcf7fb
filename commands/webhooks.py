"""Show undelivered webhooks, or deliver failed ones again.

`webhooks` counts what waits, and shows failing receivers and the last failures; `webhooks retry` delivers all
failed deliveries again, or one of them.
"""

import argparse

from database import database
from logging_config import one_line
from migrations.schema import check_schema
from services.webhooks import backlog as webhook_backlog

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", nargs="?", choices=["show", "retry"], default="show")
    parser.add_argument("--id", type=int, help="only this delivery")


def run(arguments: argparse.Namespace) -> int:
    """Do the action. The servers make the deliveries, within seconds."""
    check_schema()
    if arguments.action == "retry":
        retried = database.write(lambda db: webhook_backlog.retry_failed(db, arguments.id))
        print(f"Delivered again: {retried}")
        return 0 if retried or arguments.id is None else 1
    waiting = database.read(webhook_backlog.backlog)
    print(f"webhooks: {waiting.enabled} on, {waiting.switched_off} switched off by the program")
    print(f"deliveries: {waiting.waiting} waiting, {waiting.failed} failed")
    for row in database.read(webhook_backlog.get_troubled):
        state = f"failing since {row.failing_since:%Y-%m-%d %H:%M} UTC" if row.enabled else "off"
        why = f" ({row.disabled_reason})" if row.disabled_reason else ""
        print(one_line(f"webhook {row.id} (user {row.user_id}, {row.url}): {state}{why}"))
    for row in database.read(lambda db: webhook_backlog.get_failed(db, limit=SHOWN)):
        print(
            one_line(
                f"failed {row.id} ({row.type}, webhook {row.webhook_id}, {row.attempts} attempts): {row.error}"
            )
        )
    return 0
