"""An index of the tasks whose times are out of order. If there are none, as usual, lists know where to begin."""

import sqlalchemy as sa
from alembic import op

from migrations import live

revision: str = "0023"
down_revision: str | None = "0022"
branch_labels: str | None = None
depends_on: str | None = None

OUT_OF_ORDER = "updated_at < created_at OR completed_at < created_at OR updated_at < completed_at"


def upgrade() -> None:
    """Make the index."""
    where = {"sqlite_where": sa.text(OUT_OF_ORDER), "postgresql_where": sa.text(OUT_OF_ORDER)}
    with live.steps():
        live.create_index("ix_tasks_user_id_out_of_order", "tasks", ["user_id", "version"], **where)


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("ix_tasks_user_id_out_of_order", "tasks")
