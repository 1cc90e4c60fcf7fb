"""Indexes without an owner, for lists of everybody's tasks by title and by tag."""

from alembic import op

revision: str = "0009"
down_revision: str | None = "0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the indexes."""
    op.create_index("ix_tasks_title_folded", "tasks", ["title_folded", "id"])
    op.create_index("ix_task_tags_tag", "task_tags", ["tag", "created_at", "task_id"])


def downgrade() -> None:
    """Drop the indexes."""
    op.drop_index("ix_task_tags_tag", "task_tags")
    op.drop_index("ix_tasks_title_folded", "tasks")
