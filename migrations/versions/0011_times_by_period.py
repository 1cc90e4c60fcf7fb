"""Indexes of an owner's due and completion times within each 30 days of creation.

A list in the order of creation with, for example, tasks that were due or completed long ago begins at the first
place where such a task can be.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0011"
down_revision: str | None = "0010"
branch_labels: str | None = None
depends_on: str | None = None

COLUMNS = ("due_at", "completed_at")
# Postgres allows only this form in an index, because it depends on no setting.
ON_SQLITE = "created_at / 2592000000000"
ON_POSTGRES = "CAST(floor(extract(epoch FROM created_at AT TIME ZONE 'UTC') / 2592000) AS bigint)"


def upgrade() -> None:
    """Make the indexes."""
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
    """Drop the indexes."""
    for column in COLUMNS:
        op.drop_index(f"ix_tasks_user_id_period_{column}", "tasks")
