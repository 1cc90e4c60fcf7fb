"""Copy the database, while it is in use, to a new file.

On Postgres `pg_dump` does it, which has to be installed, at least as new as the server.
"""

import argparse
from pathlib import Path

from database import database
from services.operations import backup as backup_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say where to."""
    parser.add_argument("file", type=Path, help="a file that is not there yet")


def run(arguments: argparse.Namespace) -> int:
    """Make the backup."""
    backup_service.back_up(database, arguments.file)
    print(f"The backup is in {arguments.file}")
    return 0
