"""Indexes that hold all that flow figures and the filters of lists need, so that no rows are read.

A task seldom leaves its owner, so these changes get an index of their own instead of a place in the index of every
change. The index of open tasks by due time becomes an index of all tasks with a due time, for lists of everybody's.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0007"
down_revision: str | None = "0006"
branch_labels: str | None = None
depends_on: str | None = None

READ_WITH_THE_OWNER = (
    "task_id",
    "status",
    "previous_status",
    "previous_owner_id",
    "task_created_at",
    "task_completed_at",
)
LEFT = "previous_owner_id IS NOT NULL AND (owner_id IS NULL OR owner_id <> previous_owner_id)"


def _replace(name: str, table: str, columns: list[str], **options: Any) -> None:
    op.drop_index(name, table)
    op.create_index(name, table, columns, **options)


def upgrade() -> None:
    """Make the indexes wide enough, and the index of tasks that leave their owner small."""
    _replace(
        "ix_task_history_owner_id", "task_history", ["owner_id", "created_at", "id", *READ_WITH_THE_OWNER]
    )
    left = sa.text(LEFT)
    _replace(
        "ix_task_history_previous_owner_id",
        "task_history",
        ["previous_owner_id", "task_id"],
        sqlite_where=left,
        postgresql_where=left,
    )
    _replace("ix_tasks_user_id_status", "tasks", ["user_id", "status", "created_at", "id", "completed_at"])
    newest = ["user_id", "created_at", "id"]
    _replace("ix_tasks_user_id_created_at", "tasks", [*newest, "due_at", "completed_at", "priority"])
    op.drop_index("ix_tasks_open_due_at", "tasks")
    due = sa.text("due_at IS NOT NULL")
    op.create_index("ix_tasks_due_at", "tasks", ["due_at", "id"], sqlite_where=due, postgresql_where=due)


def downgrade() -> None:
    """Make the indexes as they were."""
    _replace("ix_task_history_owner_id", "task_history", ["owner_id", "created_at", "id"])
    _replace("ix_task_history_previous_owner_id", "task_history", ["previous_owner_id", "created_at", "id"])
    _replace("ix_tasks_user_id_status", "tasks", ["user_id", "status", "created_at", "id"])
    _replace("ix_tasks_user_id_created_at", "tasks", ["user_id", "created_at", "id"])
    op.drop_index("ix_tasks_due_at", "tasks")
    due = sa.text("status <> 'completed' AND due_at IS NOT NULL")
    op.create_index("ix_tasks_open_due_at", "tasks", ["due_at", "id"], sqlite_where=due, postgresql_where=due)
