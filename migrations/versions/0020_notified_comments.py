"""An index that allows an account one notification of a comment, and finds the accounts notified of a comment."""

import sqlalchemy as sa
from alembic import op

from migrations import live

revision: str = "0020"
down_revision: str | None = "0019"
branch_labels: str | None = None
depends_on: str | None = None

NAME = "uq_notifications_comment"


def upgrade() -> None:
    """Make the index."""
    there = sa.text("comment_id IS NOT NULL")
    with live.steps():
        live.create_index(
            NAME,
            "notifications",
            ["comment_id", "user_id"],
            unique=True,
            sqlite_where=there,
            postgresql_where=there,
        )


def downgrade() -> None:
    """Drop the index."""
    op.drop_index(NAME, "notifications")
