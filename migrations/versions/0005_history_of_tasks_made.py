"""The creation times of new and imported tasks, and the completion times of those imported as completed."""

from datetime import datetime

import sqlalchemy as sa
from alembic import op

from storage.column_types import UtcDateTime

revision: str = "0005"
down_revision: str | None = "0004"
branch_labels: str | None = None
depends_on: str | None = None

history = sa.table(
    "task_history",
    sa.column("id", sa.BigInteger),
    sa.column("task_id", sa.BigInteger),
    sa.column("kind", sa.String),
    sa.column("created_at", UtcDateTime),
    sa.column("changes", sa.JSON),
    sa.column("task_created_at", UtcDateTime),
    sa.column("task_completed_at", UtcDateTime),
)
tasks = sa.table("tasks", sa.column("id", sa.BigInteger), sa.column("created_at", UtcDateTime))


def upgrade() -> None:
    """Add the columns, and fill them from the rows."""
    op.add_column("task_history", sa.Column("task_created_at", UtcDateTime))
    op.add_column("task_history", sa.Column("task_completed_at", UtcDateTime))
    connection = op.get_bind()
    began = sa.select(tasks.c.created_at).where(tasks.c.id == history.c.task_id).scalar_subquery()
    made = sa.select(history.c.id, history.c.changes, history.c.created_at, began.label("began")).where(
        history.c.kind.in_(("created", "imported"))
    )
    values = []
    for row in connection.execute(made):
        completed = row.changes.get("completed_at", {}).get("to")
        completed_at = datetime.fromisoformat(completed) if completed else None
        # For a deleted task only this row shows the time of its creation.
        began_at = row.began or min(completed_at or row.created_at, row.created_at)
        values.append({"row_id": row.id, "began_at": began_at, "completed_at": completed_at})
    if values:
        connection.execute(
            sa.update(history)
            .where(history.c.id == sa.bindparam("row_id"))
            .values(
                task_created_at=sa.bindparam("began_at"),
                task_completed_at=sa.bindparam("completed_at"),
            ),
            values,
        )


def downgrade() -> None:
    """Drop the columns."""
    op.drop_column("task_history", "task_completed_at")
    op.drop_column("task_history", "task_created_at")
