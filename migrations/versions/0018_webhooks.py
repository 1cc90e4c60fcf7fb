"""Indexes that read the history as a feed in its order; webhooks, their deliveries, and positions in the feed."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations import live
from storage.column_types import JsonText, RowId, UtcDateTime, where

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | None = None
depends_on: str | None = None


LEFT_OWNER = "previous_owner_id IS NOT NULL AND (owner_id IS NULL OR owner_id <> previous_owner_id)"
LEFT_PROJECT = "previous_project_id IS NOT NULL AND (project_id IS NULL OR project_id <> previous_project_id)"
FEED: tuple[tuple[str, list[str], str | None], ...] = (
    ("owner_feed", ["owner_id", "id", "kind"], None),
    ("previous_owner_feed", ["previous_owner_id", "id", "kind"], LEFT_OWNER),
    ("project_feed", ["project_id", "id", "kind"], "project_id IS NOT NULL"),
    ("previous_project_feed", ["previous_project_id", "id", "kind"], LEFT_PROJECT),
    ("member_added", ["owner_id", "id", "project_id"], "kind IN ('member_added', 'project_created')"),
    ("member_removed", ["previous_owner_id", "id", "project_id"], "kind = 'member_removed'"),
)


def upgrade() -> None:
    """Make the tables and indexes, and allow mails about a webhook that was switched off."""
    with live.steps():
        for name, columns, condition in FEED:
            options = where(condition) if condition else {}
            live.create_index(f"ix_task_history_{name}", "task_history", columns, **options)
        _replace_mail_kinds((*MAIL_KINDS, "webhook_disabled"))
    op.create_table(
        "feed_positions",
        sa.Column("name", sa.String(20), nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_feed_positions"),
    )
    op.create_table(
        "webhooks",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("project_id", sa.BigInteger),
        sa.Column("url", sa.String(2048), nullable=False),
        sa.Column("types", JsonText, nullable=False),
        sa.Column("description", sa.String(500)),
        sa.Column("enabled", sa.Boolean, nullable=False),
        sa.Column("disabled_reason", sa.String(10)),
        sa.Column("secret", sa.Text, nullable=False),
        sa.Column("previous_secret", sa.Text),
        sa.Column("previous_secret_until", UtcDateTime),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("starts_after", sa.BigInteger, nullable=False),
        sa.Column("replay_after", sa.BigInteger),
        sa.Column("replay_until", sa.BigInteger),
        sa.Column("due_at", UtcDateTime),
        sa.Column("claimed_until", UtcDateTime),
        sa.Column("failing_since", UtcDateTime),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("is_slow", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhooks"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_webhooks_user_id_users", ondelete="CASCADE"
        ),
        sa.CheckConstraint("disabled_reason IN ('gone', 'failing')", name="disabled_reason"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhooks_user_id", "webhooks", ["user_id", "id"])
    op.create_index(
        "ix_webhooks_project_id", "webhooks", ["project_id", "id"], **where("project_id IS NOT NULL")
    )
    op.create_index("ix_webhooks_due_at", "webhooks", ["due_at", "id"], **where("due_at IS NOT NULL"))
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("webhook_id", sa.BigInteger, nullable=False),
        sa.Column("event_id", sa.BigInteger),
        sa.Column("type", sa.String(30), nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("status_code", sa.SmallInteger),
        sa.Column("error", sa.Text),
        sa.Column("duration_ms", sa.Integer),
        sa.Column("next_attempt_at", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_webhook_deliveries"),
        sa.ForeignKeyConstraint(
            ["webhook_id"],
            ["webhooks.id"],
            name="fk_webhook_deliveries_webhook_id_webhooks",
            ondelete="CASCADE",
        ),
        sa.UniqueConstraint("webhook_id", "event_id", name="uq_webhook_deliveries_webhook_id_event_id"),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_webhook_deliveries_webhook_id", "webhook_deliveries", ["webhook_id", "id"])
    op.create_index(
        "ix_webhook_deliveries_next_attempt_at",
        "webhook_deliveries",
        ["webhook_id", "next_attempt_at", "id"],
        **where("next_attempt_at IS NOT NULL"),
    )
    op.create_index("ix_webhook_deliveries_failed", "webhook_deliveries", ["id"], **where("state = 'failed'"))


def downgrade() -> None:
    """Drop the tables and indexes, with the waiting deliveries."""
    op.execute("DELETE FROM account_mails WHERE kind = 'webhook_disabled'")
    _replace_mail_kinds(MAIL_KINDS)
    for table in ("webhook_deliveries", "webhooks", "feed_positions"):
        op.drop_table(table)
    for name, _, _ in FEED:
        op.drop_index(f"ix_task_history_{name}", "task_history")


# SQLite never gives out a number twice. The tables of its foreign keys are not needed for the rebuild.
REBUILT: Any = {"table_kwargs": {"sqlite_autoincrement": True}, "reflect_kwargs": {"resolve_fks": False}}
MAIL_KINDS = ("reset", "verify", "change", "password_changed", "email_changed", "token_created")


def _replace_mail_kinds(kinds: tuple[str, ...]) -> None:
    """Change the allowed kinds of mails about accounts; SQLite copies the table, which is short."""
    named = ", ".join(f"'{kind}'" for kind in kinds)
    if op.get_bind().dialect.name == "postgresql":
        live.replace_check("account_mails", "kind", f"kind IN ({named})")
        return
    with op.batch_alter_table("account_mails", **REBUILT) as table:
        table.drop_constraint("kind", type_="check")
        table.create_check_constraint("kind", f"kind IN ({named})")
