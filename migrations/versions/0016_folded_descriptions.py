"""The folded form of descriptions for searching, if the databases can't make it by themselves."""

from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations import live
from storage.folding import folded_where_different

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | None = None
depends_on: str | None = None

CHUNK = 1000
_FILL = sa.text("UPDATE tasks SET description_folded = :folded WHERE id = :id AND description = :description")


def upgrade() -> None:
    """Add the column, and fill it for the few descriptions that need it."""
    length = "octet_length(description)"
    if op.get_bind().dialect.name == "sqlite":
        length = "length(CAST(description AS BLOB))"
    # A text of ASCII takes one byte for each character.
    beyond_ascii = sa.text(
        f"SELECT id, description FROM tasks WHERE id > :after_id AND {length} <> length(description)"
        f" ORDER BY id LIMIT {CHUNK}"
    )
    after_id = -1
    with live.steps():
        live.add_columns("tasks", [sa.Column("description_folded", sa.Text, nullable=True)])
        while rows := op.get_bind().execute(beyond_ascii, {"after_id": after_id}).all():
            after_id = rows[-1].id
            filled: list[dict[str, Any]] = [
                {"id": row.id, "folded": folded, "description": row.description}
                for row in rows
                if (folded := folded_where_different(row.description)) is not None
            ]
            if filled:
                live.briefly(partial(op.get_bind().execute, _FILL, filled))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("tasks", "description_folded")
