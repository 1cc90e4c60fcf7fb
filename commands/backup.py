"""Back up the database to a new file or to standard output, while the program runs.

On Postgres this uses `pg_dump`, which must be installed and be at least as new as the server.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from config import settings
from database import database
from services.operations import backup
from services.operations.progress import progress

STANDARD_OUTPUT = Path("-")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the path of the backup."""
    parser.add_argument("file", type=Path, help="a file that is not there yet; - for standard output")


def run(arguments: argparse.Namespace) -> int:
    """Write the backup."""
    if arguments.file != STANDARD_OUTPUT:
        _back_up(arguments.file)
        print(f"The backup is in {arguments.file}")
        return 0
    # The backup is completed before any output, so that the output is a whole backup or empty.
    with tempfile.TemporaryDirectory(dir=settings.data_dir, prefix=".backup-") as folder:
        file = Path(folder) / "backup"
        _back_up(file)
        with file.open("rb") as made:
            shutil.copyfileobj(made, sys.stdout.buffer)
    return 0


def _back_up(file: Path) -> None:
    with progress("Backing up", "tables" if not database.is_sqlite else "pages") as report:
        backup.back_up(database, file, report)
