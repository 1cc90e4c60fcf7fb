"""A count for each account of how often all its sessions, tokens and links ended; a mail about each new token."""

import sqlalchemy as sa
from alembic import op

from migrations import live
from storage.column_types import RowId, UtcDateTime

revision: str = "0015"
down_revision: str | None = "0014"
branch_labels: str | None = None
depends_on: str | None = None

KINDS_BEFORE = ("reset", "verify", "change", "password_changed", "email_changed")
KINDS = (*KINDS_BEFORE, "token_created")


def upgrade() -> None:
    """Add the count, and allow the new kind of mail."""
    with live.steps():
        count = sa.Column("credentials_version", sa.BigInteger, nullable=False, server_default="0")
        live.add_columns("users", [count])
        _allow(KINDS)


def downgrade() -> None:
    """Forget the count, and the mails of the new kind."""
    op.execute("DELETE FROM account_mails WHERE kind = 'token_created'")
    _allow(KINDS_BEFORE)
    op.drop_column("users", "credentials_version")


def _allow(kinds: tuple[str, ...]) -> None:
    """Allow these kinds of mails. SQLite can't change a constraint, so the table is made again there."""
    allowed = f"kind IN ({', '.join(repr(kind) for kind in kinds)})"
    if op.get_bind().dialect.name == "postgresql":
        live.replace_check("account_mails", "kind", allowed)
        return
    op.rename_table("account_mails", "account_mails_before")
    for name in ("next_attempt_at", "user_id"):
        op.drop_index(f"ix_account_mails_{name}", "account_mails_before")
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
        sa.CheckConstraint(allowed, name="kind"),
        sqlite_autoincrement=True,
    )
    columns = "id, user_id, kind, email, created_at, attempts, next_attempt_at, last_error"
    op.execute(f"INSERT INTO account_mails ({columns}) SELECT {columns} FROM account_mails_before")
    op.drop_table("account_mails_before")
    op.create_index("ix_account_mails_next_attempt_at", "account_mails", ["next_attempt_at", "id"])
    op.create_index("ix_account_mails_user_id", "account_mails", ["user_id"])
