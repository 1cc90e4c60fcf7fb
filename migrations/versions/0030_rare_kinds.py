"""Indexes of the history by kind, for all kinds but the three of most rows.

A program that follows one kind of event walked through all events of the account, the project or everybody up to the
next one of that kind: 60 ms on SQLite and 200 on Postgres if none of everybody's million events was of it.
"""

import sqlalchemy as sa
from alembic import op

from migrations import live

revision: str = "0030"
down_revision: str | None = "0029"
branch_labels: str | None = None
depends_on: str | None = None

MAYBE_RARE = "kind <> 'created' AND kind <> 'updated' AND kind <> 'status_changed'"
INDEXES = (
    ("ix_task_history_kind", ["kind", "id"], MAYBE_RARE),
    ("ix_task_history_owner_kind", ["owner_id", "kind", "id"], MAYBE_RARE),
    (
        "ix_task_history_project_kind",
        ["project_id", "kind", "id"],
        f"project_id IS NOT NULL AND {MAYBE_RARE}",
    ),
)


def upgrade() -> None:
    """Make the indexes."""
    with live.steps():
        for name, keys, condition in INDEXES:
            there = sa.text(condition)
            live.create_index(name, "task_history", keys, sqlite_where=there, postgresql_where=there)


def downgrade() -> None:
    """Drop the indexes."""
    for name, *_ in INDEXES:
        op.drop_index(name, "task_history")
