"""The counts of owners and of everybody as the last work of a change of tasks on Postgres.

A changed count is locked until the commit, and the next transaction with the same slot waits for it. A batch of a
thousand tasks held it while the trigger wrote the tags, so that a create beside it waited for up to a tenth of a second.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0029"
down_revision: str | None = "0028"
branch_labels: str | None = None
depends_on: str | None = None

FUNCTIONS = ("tasks_inserted", "tasks_updated")
FIRST, LAST = "INSERT INTO owner_counts", "INSERT INTO system_counts"
BEGINNING, END = "BEGIN\n", "RETURN NULL;"


def _moved(definition: str, *, to_end: bool) -> str:
    """The definition of a function with the statements that count as its last ones, or as its first."""
    start = definition.index(FIRST)
    behind = definition.index(";", definition.index(LAST)) + 1
    counts, rest = (
        definition[start:behind],
        definition[:start].rstrip() + "\n    " + definition[behind:].lstrip(),
    )
    at = rest.index(END) if to_end else rest.index(BEGINNING) + len(BEGINNING)
    return f"{rest[:at].rstrip()}\n    {counts}\n    {rest[at:].lstrip()}"


def _edit(*, to_end: bool) -> None:
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    found = sa.text("SELECT pg_get_functiondef(CAST(:name AS regproc))")
    for name in FUNCTIONS:
        definition = str(connection.execute(found, {"name": name}).scalar_one())
        # A percent sign would begin a parameter.
        connection.exec_driver_sql(_moved(definition, to_end=to_end).replace("%", "%%"))


def upgrade() -> None:
    """Count last."""
    _edit(to_end=True)


def downgrade() -> None:
    """Count first."""
    _edit(to_end=False)
