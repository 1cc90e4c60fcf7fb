"""Changing a Postgres database while the previous version reads and writes it.

A lock that keeps others from a table is held for a moment only, and never together with another one: each change
is a transaction of its own, which gives up and tries again if it can't get its lock soon. Whatever reads a whole
table (indexes, checks) runs without such a lock. If the migration fails midway, what is done stays, and the next
run goes on from there: every step therefore looks whether it was done before.

An empty database, SQLite, and the way back to an older revision take one transaction for everything. There the
functions of this module just do the work.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.faults import sqlstate

# Postgres stops an automatic vacuum of the table after a second, so the wait is longer than this.
LOCK_TIMEOUT = "3s"
# Servers that end long statements would end the making of an index again at each try.
BEGIN = f"BEGIN; SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'; SET LOCAL statement_timeout = 0"
# The SQLSTATEs of a lock that another transaction has, and of a deadlock.
_TAKEN = ("55P03", "40P01")
MOST_ATTEMPTS = 100
PAUSE_SECONDS = 0.2
# Connections of servers, but not those of this migration or of one that waits for it.
_CLOSE_CONNECTIONS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
    " AND usename = current_user AND application_name = 'task_platform' AND pid <> pg_backend_pid()"
    " AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
)


def is_live() -> bool:
    """Whether others use the database while this migration runs."""
    config = op.get_context().config
    return config is not None and bool(config.attributes.get("live"))


def is_taken(error: BaseException) -> bool:
    """Whether a step failed because others hold its lock, so that it may succeed later."""
    return sqlstate(error) in _TAKEN


@contextmanager
def steps() -> Iterator[None]:
    """Leave the transaction of the revision, so that each step within is a transaction of its own."""
    if not is_live():
        yield
        return
    op.execute("COMMIT")
    yield
    op.execute(BEGIN)


def briefly(work: Callable[[], Any]) -> None:
    """Do something that locks a table for a moment; call this within `steps`."""
    if not is_live():
        work()
        return
    connection = op.get_bind()
    for attempt in range(MOST_ATTEMPTS):
        connection.exec_driver_sql(BEGIN)
        try:
            work()
            connection.exec_driver_sql("COMMIT")
        except BaseException as error:
            connection.exec_driver_sql("ROLLBACK")
            if not is_taken(error) or attempt + 1 == MOST_ATTEMPTS:
                raise
            time.sleep(PAUSE_SECONDS)
        else:
            return


def make_table(name: str, make: Callable[[], Any]) -> None:
    """Make a table, with its indexes, unless it is there."""
    if not sa.inspect(op.get_bind()).has_table(name):
        briefly(make)


def add_columns(table: str, columns: Iterable[sa.Column[Any]]) -> None:
    """Add the columns that the table lacks."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    missing = [column for column in columns if column.name not in there]

    def add() -> None:
        for column in missing:
            op.add_column(table, column)

    if missing:
        briefly(add)


def create_index(name: str, table: str, columns: list[Any], **options: Any) -> None:
    """Make an index while others read and write the table."""
    if not is_live():
        op.create_index(name, table, columns, **options)
        return
    connection = op.get_bind()
    found = sa.text(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(quote_ident(current_schema()) || '.' || :name)"
    )
    is_valid = connection.execute(found, {"name": name}).scalar()
    if is_valid is False:
        # An attempt that failed leaves an index that nothing reads.
        op.drop_index(name, table, postgresql_concurrently=True)
    if not is_valid:
        op.create_index(name, table, columns, postgresql_concurrently=True, **options)


def replace_index(name: str, table: str, columns: list[str], **options: Any) -> None:
    """Make an index again with other columns, while others read the table along the former one."""
    if not is_live():
        op.drop_index(name, table)
        op.create_index(name, table, columns, **options)
        return
    there = {each["name"]: each["column_names"] for each in sa.inspect(op.get_bind()).get_indexes(table)}
    if there.get(name) == columns:
        return
    create_index(f"{name}_new", table, columns, **options)
    drop_index(name, table)
    briefly(lambda: op.execute(f"ALTER INDEX {name}_new RENAME TO {name}"))


def drop_index(name: str, table: str) -> None:
    """Drop an index, if it is there, while others read and write the table."""
    op.drop_index(name, table, postgresql_concurrently=is_live(), if_exists=True)


def replace_check(table: str, name: str, condition: str, change: Callable[[], Any] | None = None) -> None:
    """Replace a check or add one on Postgres; `change` changes the types of columns in the same moment.

    The present rows are checked afterwards, while others read and write them.
    """
    full = f"ck_{table}_{name}"

    def replace() -> None:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {full}")
        if change is not None:
            # The column has no check at this moment. Otherwise Postgres would check all rows again.
            change()
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {full} CHECK ({condition}) NOT VALID")
        if change is not None:
            _close_connections()

    briefly(replace)
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {full}")


def _close_connections() -> None:
    """Close the connections of the previous version, whose prepared statements the changed types have spoiled.

    That version connects again by itself, and repeats its reads. Only a write of this moment fails.
    """
    if is_live():
        op.execute(_CLOSE_CONNECTIONS)
