"""Print a link that resets a user's password, for installations without mail."""

import argparse

from database import database
from migrations.schema import check_schema
from services.accounts import account as account_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the account."""
    parser.add_argument("user", help="the username or the email")


def run(arguments: argparse.Namespace) -> int:
    """Print the link, and nothing else, on standard output."""
    check_schema()
    link = database.write(lambda db: account_service.link_for_operator(db, arguments.user))
    print(link)
    return 0
