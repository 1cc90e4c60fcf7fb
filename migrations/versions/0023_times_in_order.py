"""Indexes of the tasks whose times are out of order: usually there are none, and lists then know where to begin."""

import sqlalchemy as sa
from alembic import op

from migrations import live

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | None = None
depends_on: str | None = None

OUT_OF_ORDER = "updated_at < created_at OR completed_at < created_at OR updated_at < completed_at"
CONDITIONS = {"user_id": OUT_OF_ORDER, "project_id": f"project_id IS NOT NULL AND ({OUT_OF_ORDER})"}


def upgrade() -> None:
    """Make them."""
    with live.steps():
        for column, condition in CONDITIONS.items():
            where = {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
            live.create_index(f"ix_tasks_{column}_out_of_order", "tasks", [column, "version"], **where)


def downgrade() -> None:
    """Drop them."""
    for column in CONDITIONS:
        op.drop_index(f"ix_tasks_{column}_out_of_order", "tasks")
