"""Indexes of an owner's due and completion times within each 30 days of creation.

A list in the order of creation, of tasks that were due or completed long ago say, begins where the first of them
can be.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

COLUMNS = ("due_at", "completed_at")
# On Postgres the one form of it that depends on no setting, and may so be indexed.
ON_SQLITE = "created_at / 2592000000000"
ON_POSTGRES = "CAST(floor(extract(epoch FROM created_at AT TIME ZONE 'UTC') / 2592000) AS bigint)"


def upgrade() -> None:
    """Make them."""
    period = ON_SQLITE if op.get_bind().dialect.name == "sqlite" else f"({ON_POSTGRES})"
    for column in COLUMNS:
        there = sa.text(f"{column} IS NOT NULL")
        op.create_index(
            f"ix_tasks_user_id_period_{column}",
            "tasks",
            ["user_id", sa.text(period), column],
            sqlite_where=there,
            postgresql_where=there,
        )


def downgrade() -> None:
    """Drop them."""
    for column in COLUMNS:
        op.drop_index(f"ix_tasks_user_id_period_{column}", "tasks")
