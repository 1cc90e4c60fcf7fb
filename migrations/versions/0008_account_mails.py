"""A table in which mails about accounts wait, so that no mail is lost with the process that should send it."""

import sqlalchemy as sa
from alembic import op

from storage.column_types import RowId, UtcDateTime

revision: str = "0008"
down_revision: str | None = "0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "account_mails",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_account_mails"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_account_mails_user_id_users", ondelete="CASCADE"
        ),
        sa.CheckConstraint(
            "kind IN ('reset', 'verify', 'change', 'password_changed', 'email_changed')", name="kind"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_account_mails_next_attempt_at", "account_mails", ["next_attempt_at", "id"])
    op.create_index("ix_account_mails_user_id", "account_mails", ["user_id"])


def downgrade() -> None:
    """Drop the table, with its waiting mails."""
    op.drop_table("account_mails")
