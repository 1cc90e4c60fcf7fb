"""Notifications to read, by mail at once or in a digest; reminders of due tasks."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.column_types import UtcDateTime

revision: str = "0002"
down_revision: str | None = "0001"
branch_labels: str | None = None
depends_on: str | None = None

OLD_KINDS = "kind IN ('created', 'completed', 'assigned')"
KINDS = "kind IN ('created', 'completed', 'assigned', 'due_soon', 'overdue')"
OLD_STATES = "state IN ('waiting', 'delivered', 'failed')"
STATES = "state IN ('waiting', 'mail', 'digest', 'delivered', 'failed')"
# SQLite never gives out a number twice. The tables of its foreign keys are not needed for the rebuild.
REBUILT: Any = {"table_kwargs": {"sqlite_autoincrement": True}, "reflect_kwargs": {"resolve_fks": False}}
INDEXES = (
    ("ix_notifications_due", ["state", "next_attempt_at", "id"], "next_attempt_at IS NOT NULL"),
    ("ix_notifications_failed", ["id"], "state = 'failed'"),
    ("ix_notifications_unread", ["user_id", "id"], "read_at IS NULL"),
    ("ix_notifications_read", ["user_id", "id"], "read_at IS NOT NULL"),
    ("uq_notifications_reminder", ["task_id", "user_id", "kind", "due_at"], "due_at IS NOT NULL"),
)


def partial_index(name: str, table: str, columns: list[str], condition: str) -> None:
    """Make an index of the rows that meet the condition."""
    where = sa.text(condition)
    op.create_index(
        name, table, columns, unique=name.startswith("uq_"), sqlite_where=where, postgresql_where=where
    )


def upgrade() -> None:
    """Rebuild `notifications`, keeping its rows, and add the preferences."""
    for name in ("ix_notifications_state", "ix_notifications_user_id"):
        op.drop_index(name, "notifications")
    with op.batch_alter_table("notifications", **REBUILT) as table:
        table.drop_constraint("kind", type_="check")
        table.drop_constraint("state", type_="check")
        table.create_check_constraint("kind", KINDS)
        table.create_check_constraint("state", STATES)
        table.add_column(sa.Column("due_at", UtcDateTime))
        table.add_column(sa.Column("read_at", UtcDateTime))
        table.alter_column("next_attempt_at", existing_type=UtcDateTime(), nullable=True)
        table.drop_column("logged_at")
    op.execute("UPDATE notifications SET next_attempt_at = NULL WHERE state IN ('delivered', 'failed')")
    for name, columns, condition in INDEXES:
        partial_index(name, "notifications", columns, condition)
    partial_index(
        "ix_tasks_open_due_at", "tasks", ["due_at", "id"], "status <> 'completed' AND due_at IS NOT NULL"
    )
    op.create_table(
        "notification_preferences",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("delivery", sa.String(10), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "kind", name="pk_notification_preferences"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_notification_preferences_user_id_users", ondelete="CASCADE"
        ),
        sa.CheckConstraint(KINDS, name="kind"),
        sa.CheckConstraint("delivery IN ('at_once', 'daily', 'never')", name="delivery"),
    )


def downgrade() -> None:
    """Rebuild the former table: rows without a place in it are dropped, and undelivered ones wait again."""
    op.drop_table("notification_preferences")
    op.drop_index("ix_tasks_open_due_at", "tasks")
    for name, _, _ in INDEXES:
        op.drop_index(name, "notifications")
    op.execute("DELETE FROM notifications WHERE kind IN ('due_soon', 'overdue')")
    op.execute("UPDATE notifications SET state = 'waiting' WHERE state IN ('mail', 'digest')")
    op.execute("UPDATE notifications SET next_attempt_at = created_at WHERE next_attempt_at IS NULL")
    with op.batch_alter_table("notifications", **REBUILT) as table:
        table.drop_constraint("kind", type_="check")
        table.drop_constraint("state", type_="check")
        table.create_check_constraint("kind", OLD_KINDS)
        table.create_check_constraint("state", OLD_STATES)
        table.add_column(sa.Column("logged_at", UtcDateTime))
        table.alter_column("next_attempt_at", existing_type=UtcDateTime(), nullable=False)
        table.drop_column("due_at")
        table.drop_column("read_at")
    op.create_index("ix_notifications_state", "notifications", ["state", "next_attempt_at", "id"])
    op.create_index("ix_notifications_user_id", "notifications", ["user_id", "id"])
