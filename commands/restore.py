"""Put a backup in the place of what the database holds.

All or nothing; servers may go on meanwhile. A backup of an older version is brought to the newest schema.
"""

import argparse
from pathlib import Path

from database import database
from migrations.schema import migrate
from services.operations import backup as backup_service


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which, and whether what is there may be lost."""
    parser.add_argument("file", type=Path, help="what `backup` wrote")
    parser.add_argument("--replace", action="store_true", help="lose what the database holds now")


def run(arguments: argparse.Namespace) -> int:
    """Restore the backup."""
    backup_service.restore(database, arguments.file, replace=arguments.replace)
    migrate()
    print(f"The database is what {arguments.file} holds; restart servers that are running")
    return 0
