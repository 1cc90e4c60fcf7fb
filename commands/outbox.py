"""Show undelivered notifications and mails, or send failed mails again.

`outbox` counts what waits, and shows the last failures; `outbox retry` sends all failed mails again, or one
of them.
"""

import argparse
from datetime import UTC, datetime

from database import database
from logging_config import one_line
from migrations.schema import check_schema
from schemas.common import Page
from services import notification_service
from services.accounts import account_mail
from services.delivery import backlog

SHOWN = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the action."""
    parser.add_argument("action", nargs="?", choices=["show", "retry"], default="show")
    parser.add_argument("--id", type=int, help="only this notification")


def run(arguments: argparse.Namespace) -> int:
    """Do the action. The servers send the mails, within seconds."""
    check_schema()
    if arguments.action == "retry":
        retried = database.write(lambda db: backlog.retry_failed(db, arguments.id))
        print(f"Sent again: {retried}")
        return 0 if retried or arguments.id is None else 1
    waiting = database.read(backlog.backlog)
    for state, (count, due) in sorted(waiting.items()):
        seconds = (datetime.now(UTC) - due).total_seconds() if due else 0
        late = f", due for {seconds:.0f} s" if seconds > 0 else ""
        print(f"{state}: {count}{late}")
    for row in database.read(lambda db: notification_service.get_failed(db, Page(limit=SHOWN))).rows:
        print(
            f"failed {row.id} ({row.kind}, user {row.user_id}, {row.attempts} attempts): {one_line(row.last_error or '')}"
        )
    for row in database.read(lambda db: account_mail.get_failed(db, limit=SHOWN)):
        print(
            f"failed about account ({row.kind}, user {row.user_id}, {row.attempts} attempts): {one_line(row.last_error or '')}"
        )
    return 0
