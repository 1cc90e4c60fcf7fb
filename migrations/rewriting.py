"""Changes definitions that a database keeps as text: tables and triggers on SQLite, functions on Postgres.

SQLite can't alter a constraint. Its manual ("Making Other Kinds Of Table Schema Changes") describes two ways: copy
the table, which takes a minute for a million tasks, or, where no stored row changes, edit the table's definition.
"""

from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa
from alembic import op

# Pairs of a text in a definition, and the text that replaces it.
Edits = Iterable[tuple[str, str]]


def back(edits: Edits) -> list[tuple[str, str]]:
    """The edits that undo these edits."""
    return [(new, old) for old, new in reversed(list(edits))]


def edited(definition: str, edits: Edits) -> str:
    """The definition with the edits; raises ValueError if one does not find its text."""
    for old, new in edits:
        if old not in definition:
            raise ValueError(f"{old!r} is not in {definition}")
        definition = definition.replace(old, new)
    return definition


def _definition(kind: str, name: str) -> str:
    found = sa.text("SELECT sql FROM sqlite_master WHERE type = :kind AND name = :name")
    return str(op.get_bind().execute(found, {"kind": kind, "name": name}).scalar_one())


def edit_sqlite_tables(tables: Mapping[str, Edits]) -> None:
    """Edit the definitions of tables, whose rows stay as they are."""
    connection = op.get_bind()
    connection.exec_driver_sql("PRAGMA writable_schema = ON")
    write = sa.text("UPDATE sqlite_master SET sql = :sql WHERE type = 'table' AND name = :name")
    for name, edits in tables.items():
        connection.execute(write, {"name": name, "sql": edited(_definition("table", name), edits)})
    # A new version makes every connection read the definitions again, and RESET makes this one do so now.
    version = connection.exec_driver_sql("PRAGMA schema_version").scalar_one()
    connection.exec_driver_sql(f"PRAGMA schema_version = {version + 1}")
    connection.exec_driver_sql("PRAGMA writable_schema = RESET")
    connection.exec_driver_sql("PRAGMA writable_schema = OFF")


def edit_sqlite_trigger(name: str, edits: Edits) -> None:
    """Make a trigger again with the edits."""
    definition = edited(_definition("trigger", name), edits)
    connection = op.get_bind()
    connection.exec_driver_sql(f"DROP TRIGGER {name}")
    connection.exec_driver_sql(definition)


def edit_postgres_function(name: str, edits: Collection[tuple[str, str]]) -> None:
    """Replace a function by one with the edits, unless it has them."""
    connection = op.get_bind()
    found = sa.text("SELECT pg_get_functiondef(CAST(:name AS regproc))")
    definition = str(connection.execute(found, {"name": name}).scalar_one())
    if all(new in definition for _, new in edits):
        return
    # A percent sign would begin a parameter.
    connection.exec_driver_sql(edited(definition, edits).replace("%", "%%"))
