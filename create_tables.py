"""Migrate the database to the newest schema and create the first admin: `python create_tables.py`.

It is safe to run this again, and to run several at once: the second waits for the first and has nothing to
do.
"""

import argparse
import sys

from pydantic import ValidationError

from config import settings, settings_warnings
from database import Database, database
from errors import AppError, BadRequest, InvalidInput, input_problems
from logging_config import logger, setup_logging
from migrations.schema import SchemaError, migrate
from services.accounts import user as user_service
from services.operations.progress import progress


class FirstAdminRefused(Exception):
    """A setting of the first admin breaks a rule for accounts; the message names the setting in one line."""


def create_first_admin(db: Database = database) -> bool:
    """Create the account of `FIRST_ADMIN_*` if there is no admin; returns whether it was created.

    Missing settings and taken names lead to a warning. A value that breaks a rule raises FirstAdminRefused.
    """
    given = {name: getattr(settings, f"first_admin_{name}") for name in ("username", "email", "password")}
    missing = [f"FIRST_ADMIN_{name.upper()}" for name, value in given.items() if not value]
    if len(missing) == len(given) or db.read(user_service.has_admin):
        return False
    if missing:
        logger.warning(
            "No first admin is created, because these settings are missing: %s", ", ".join(missing)
        )
        return False
    try:
        made = user_service.create_first_admin(
            db, given["username"], given["email"], given["password"].get_secret_value()
        )
        taken = "FIRST_ADMIN_USERNAME"
    except BadRequest:
        made, taken = False, "FIRST_ADMIN_EMAIL"
    except (InvalidInput, ValidationError) as error:
        problems = error.errors if isinstance(error, InvalidInput) else input_problems(error.errors())
        field = problems[0]["pointer"].removeprefix("#/").upper()
        raise FirstAdminRefused(f"FIRST_ADMIN_{field}: {problems[0]['detail']}") from None
    if not made and not db.read(user_service.has_admin):
        logger.warning("No first admin is created: %s is taken by an account that is not an admin", taken)
    return made


def main() -> int:
    """Migrate, create the first admin, print the result, and return the exit code."""
    setup_logging()
    for warning in settings_warnings():
        logger.warning(warning)
    try:
        with progress("Migrating the database", "steps", logger.info) as report:
            migrate(report=report)
        if create_first_admin():
            logger.info("First admin created: %s", settings.first_admin_username)
    except (AppError, SchemaError, FirstAdminRefused) as error:
        print(f"Tables not created: {error}", file=sys.stderr)
        return 1
    print("Tables created successfully!")
    return 0


if __name__ == "__main__":
    # Nobody who asks for help, or mistypes, wants a migration.
    argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0]).parse_args()
    sys.exit(main())
