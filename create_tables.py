"""Bring the database to the newest schema and make the first admin: `python create_tables.py`.

Safe to run again, and several at once: the second waits for the first and finds nothing to do.
"""

import sys

from sqlalchemy.exc import OperationalError

from config import settings
from database import Database, database
from errors import AppError
from logging_config import logger, setup_logging
from migrations.schema import SchemaError, migrate
from services.accounts import user as user_service


def create_first_admin(db: Database = database) -> bool:
    """Make the account of `FIRST_ADMIN_*` an admin's, unless there is one already; whether it was made."""
    name, email, password = (
        settings.first_admin_username,
        settings.first_admin_email,
        settings.first_admin_password,
    )
    if not (name and email and password):
        return False
    return user_service.create_first_admin(db, name, email, password.get_secret_value())


def main() -> int:
    """Migrate, make the first admin, and say so; the exit code."""
    setup_logging()
    try:
        migrate()
        if create_first_admin():
            logger.info("First admin created: %s", settings.first_admin_username)
    except (AppError, SchemaError, ValueError) as error:
        print(f"Tables not created: {error}", file=sys.stderr)
        return 1
    except OperationalError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        print(f"Tables not created: the database can't be used: {reason}", file=sys.stderr)
        return 1
    print("Tables created successfully!")
    return 0


if __name__ == "__main__":
    sys.exit(main())
