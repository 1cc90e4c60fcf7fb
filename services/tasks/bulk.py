"""Writing many rows at once: by one statement on Postgres, where triggers fire once, or one call on SQLite."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Dialect,
    Table,
    bindparam,
    delete,
    func,
    insert,
    literal_column,
    select,
    text,
)
from sqlalchemy.orm import Session

from models import tasks
from storage.column_types import is_among
from storage.direct_session import is_sqlite
from storage.prepared import Prepared, prepared, prepared_form
from storage.shape_cache import kept_by_shape

_LAST_ID = prepared(
    select(literal_column("seq", BigInteger))
    .select_from(text("sqlite_sequence"))
    .where(text("name = 'tasks'"))
)
_NEXT_IDS = prepared(
    select(func.nextval(func.pg_get_serial_sequence("tasks", "id"), type_=BigInteger)).select_from(
        func.generate_series(1, bindparam("count", type_=BigInteger))
    )
)
# The counts of an owner are spread over 16 rows by the process's id: see the triggers. The first number is the name of
# this lock; the lock of migrations has the number before (`storage/migration_turn.py`).
_TAKE_TURNS = prepared(
    select(func.pg_advisory_xact_lock(literal_column("7263818"), literal_column("pg_backend_pid() % 16")))
)
_BEGIN_TO_WRITE: Any = prepared(select(literal_column("CAST(pg_current_xact_id() AS text)")))
_DELETE = prepared(delete(tasks).where(is_among(tasks.c.id, "task_ids")))


def begin_to_write(db: Session) -> None:
    """Give the transaction its number on Postgres, as its first written row would do.

    The feed of events relies on the transaction having its number before any of its events has an id.
    """
    if not is_sqlite(db):
        db.execute(_BEGIN_TO_WRITE, {})


def take_turns(db: Session) -> None:
    """Wait on Postgres for other transactions that change tasks of several owners and count in the same rows.

    Each statement locks the counts of its owners in their order, but the next statement may begin with an
    earlier owner. Without taking turns, two such transactions could deadlock.
    """
    if not is_sqlite(db):
        db.execute(_TAKE_TURNS, {})


def take_ids(db: Session, count: int) -> Sequence[int]:
    """Ids for new tasks, in order: the history needs them, and reading them back would cost too much."""
    if is_sqlite(db):
        # SQLite has one writer at a time, and AUTOINCREMENT continues after the highest id that was ever
        # used.
        last = db.execute(_LAST_ID, {}).scalar() or 0
        return range(last + 1, last + 1 + count)
    return db.execute(_NEXT_IDS, {"count": count}).scalars().all()


def insert_many(db: Session, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows, all of which have the same columns."""
    dialect = db.get_bind().dialect
    if dialect.name == "sqlite":
        db.execute(_insert(table), list(rows))
    else:
        db.execute(_insert_from_json(table, tuple(rows[0]), dialect), {"rows": rows})


def bound(db: Session, table: Table, rows: Sequence[dict[str, Any]]) -> Any:
    """The rows as a statement for SQLite that inserts them; ids that are not known yet are negative."""
    form = prepared_form(_insert(table))
    assert isinstance(form, Prepared)
    return form.bound(db.get_bind().dialect, rows)


def update_many(db: Session, table: Table, columns: tuple[str, ...], rows: Sequence[dict[str, Any]]) -> None:
    """Write these columns of rows that exist; each of `rows` has the columns and the `id`."""
    dialect = db.get_bind().dialect
    if dialect.name == "sqlite":
        names = ("id", *columns)
        stored = [_stored(table.c[name], dialect, [row[name] for row in rows]) for name in names]
        db.execute(_update_on_sqlite(table, columns), {"rows": list(zip(*stored, strict=True))})
    else:
        db.execute(_update_from_json(table, columns, dialect), {"rows": rows})


def delete_many(db: Session, task_ids: Sequence[int]) -> None:
    """Delete the tasks with these ids."""
    db.execute(_DELETE, {"task_ids": list(task_ids)})


@kept_by_shape
def _insert(table: Table) -> Any:
    return prepared(insert(table))


def _stored(column: Column[Any], dialect: Dialect, values: list[Any]) -> list[Any]:
    """The values in the form in which the driver stores them."""
    process = column.type.dialect_impl(dialect).bind_processor(dialect)
    return values if process is None else list(map(process, values))


@kept_by_shape
def _update_on_sqlite(table: Table, columns: tuple[str, ...]) -> Any:
    """One statement for all rows, at half the cost of one for each row.

    The driver hands the interpreter to other threads while a statement runs, and asks for it after each: beside a
    busy thread ten thousand statements took half a minute.
    """
    read = ", ".join(
        f"json_extract(value, '$[{place}]') AS {name}" for place, name in enumerate(("id", *columns))
    )
    # `LIMIT` and `NOT INDEXED` have each row looked up by its id. Otherwise SQLite may read the whole table for each row,
    # if ANALYZE counted its rows when they were few.
    changed = f"(SELECT {read} FROM json_each(:rows) LIMIT -1) AS changed"
    new = ", ".join(f"{name} = changed.{name}" for name in columns)
    statement = f"UPDATE {table.name} NOT INDEXED SET {new} FROM {changed} WHERE {table.name}.id = changed.id"
    return prepared(text(statement).bindparams(bindparam("rows", type_=JSON)))


# The rows are one parameter, because psycopg takes seconds for a statement with a hundred thousand
# parameters.


@kept_by_shape
def _insert_from_json(table: Table, columns: tuple[str, ...], dialect: Dialect) -> Any:
    names = ", ".join(columns)
    return _of_json(f"INSERT INTO {table.name} ({names}) SELECT {names}", table, columns, dialect)


@kept_by_shape
def _update_from_json(table: Table, columns: tuple[str, ...], dialect: Dialect) -> Any:
    new = ", ".join(f"{name} = changed.{name}" for name in columns)
    return _of_json(
        f"UPDATE {table.name} SET {new}",
        table,
        ("id", *columns),
        dialect,
        f" WHERE {table.name}.id = changed.id",
    )


def _of_json(
    beginning: str, table: Table, columns: tuple[str, ...], dialect: Dialect, ending: str = ""
) -> Any:
    """A statement that reads the rows `changed` from its parameter."""
    types = ", ".join(f"{name} {table.c[name].type.compile(dialect)}" for name in columns)
    statement = f"{beginning} FROM json_to_recordset(:rows) AS changed({types}){ending}"
    return text(statement).bindparams(bindparam("rows", type_=JSON))
