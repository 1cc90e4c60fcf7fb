"""Many rows at once into a table."""

from typing import Any

from sqlalchemy import JSON, Table, bindparam, insert, text
from sqlalchemy.orm import Session


def insert_many(db: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows at once: with one statement on Postgres, which fires the triggers once a statement."""
    dialect = db.get_bind().dialect
    if dialect.name == "sqlite":
        db.execute(insert(table), rows)
        return
    # As one parameter: psycopg takes seconds to read a statement with a hundred thousand of them.
    columns = [table.c[name] for name in rows[0]]
    names = ", ".join(column.name for column in columns)
    types = ", ".join(f"{column.name} {column.type.compile(dialect)}" for column in columns)
    statement = (
        f"INSERT INTO {table.name} ({names}) SELECT {names} FROM json_to_recordset(:rows) AS row({types})"
    )
    db.execute(text(statement).bindparams(bindparam("rows", type_=JSON)), {"rows": rows})
