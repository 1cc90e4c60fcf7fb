"""Replace the content of the database by a backup, all or nothing.

Servers may run meanwhile. A backup of an older version is migrated to the newest schema. On Postgres this uses
`pg_restore` and `psql`, which must be installed and be at least as new as the server.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from config import settings
from database import database
from migrations.schema import migrate
from services.operations import backup
from services.operations.progress import progress

STANDARD_INPUT = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the backup, and the permission to replace data."""
    parser.add_argument("file", type=Path, help="a backup written by `backup`; - for standard input")
    parser.add_argument(
        "--replace", action="store_true", help="replace the current content of the database, which is lost"
    )


def run(arguments: argparse.Namespace) -> int:
    """Restore the backup."""
    if arguments.file == STANDARD_INPUT:
        with tempfile.TemporaryDirectory(dir=settings.data_dir, prefix=".backup-") as folder:
            file = Path(folder) / "backup"
            with file.open("wb") as given:
                shutil.copyfileobj(sys.stdin.buffer, given)
            _restore(file, replace=arguments.replace)
        name = "the backup"
    else:
        _restore(arguments.file, replace=arguments.replace)
        name = str(arguments.file)
    print(f"The database now has the content of {name}; restart the running servers")
    return 0


def _restore(file: Path, *, replace: bool) -> None:
    with progress("Restoring", "entries" if not database.is_sqlite else "pages") as report:
        backup.restore(database, file, replace=replace, report=report)
    with progress("Migrating the database", "steps") as report:
        migrate(report=report)
