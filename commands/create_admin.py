"""Create an admin account; the password is asked for, or read from standard input."""

import argparse
import getpass
import sys

from pydantic import ValidationError

from database import database
from errors import input_problems
from migrations.schema import check_schema
from services.accounts import user as user_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the name and email of the admin."""
    parser.add_argument("username")
    parser.add_argument("email")


def run(arguments: argparse.Namespace) -> int:
    """Create the account, unless the username is taken."""
    check_schema()
    password = getpass.getpass("Password: ") if sys.stdin.isatty() else sys.stdin.readline().rstrip("\r\n")
    try:
        made = user_service.create_first_admin(database, arguments.username, arguments.email, password)
    except ValidationError as error:
        for problem in input_problems(error.errors()):
            print(f"{problem['pointer']}: {problem['detail']}", file=sys.stderr)
        return 1
    if not made:
        print(f"The username {arguments.username} is taken", file=sys.stderr)
        return 1
    print(f"{arguments.username} is an admin")
    return 0
