"""The turn of a migration on Postgres: one migration runs, and the others wait for its end."""

import time

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from logging_config import logger

PAUSE_SECONDS = 0.1
# After this number of failures in a row, the database counts as unreachable.
MOST_FAILURES = 20
# The transaction waits for the whole migration, and does it all if nobody uses the database. Not every version has all
# of these settings.
_NO_TIMEOUTS = (
    "SELECT set_config(name, '0', true) FROM pg_settings WHERE name IN"
    " ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"
)


def wait_for_turn(connection: Connection) -> None:
    """Begin a transaction that excludes other migrations.

    A migration that makes an index beside others waits for all transactions that see the former rows. A transaction that
    waited here for the migration's lock would be one of them. So each look at the lock is a transaction of its own.
    """
    is_told, failures = False, 0
    while True:
        try:
            connection.exec_driver_sql("BEGIN")
            connection.exec_driver_sql("SET LOCAL lock_timeout = '120s'")
            connection.exec_driver_sql(_NO_TIMEOUTS)
            if connection.exec_driver_sql("SELECT pg_try_advisory_xact_lock(7263817)").scalar_one():
                return
            connection.exec_driver_sql("ROLLBACK")
            failures = 0
            if not is_told:
                is_told = True
                logger.info("Waiting for the end of another migration")
        except DBAPIError:
            failures += 1
            # The migration closes the connections of others.
            if not connection.invalidated or failures == MOST_FAILURES:
                raise
            connection.rollback()
        time.sleep(PAUSE_SECONDS)
