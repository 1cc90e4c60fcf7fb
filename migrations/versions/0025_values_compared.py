"""Checks of listed values that compare them one by one, on SQLite.

For `kind IN (...)` with three values or more, SQLite makes a table of the values, again for each row that it checks. This
took a sixth of the time of inserting a task with its history.
"""

from alembic import op

from migrations.rewriting import Edits, back, edit_sqlite_tables

revision: str = "0025"
down_revision: str | None = "0024"
branch_labels: str | None = None
depends_on: str | None = None

STATUSES = ("pending", "in_progress", "completed")
NOTIFICATION_KINDS = (
    "created",
    "completed",
    "assigned",
    "due_soon",
    "overdue",
    "added_to_project",
    "mentioned",
    "commented",
)
HISTORY_KINDS = (
    "created",
    "updated",
    "status_changed",
    "state_changed",
    "assigned",
    "moved",
    "blocked",
    "unblocked",
    "deleted",
    "imported",
    "comment_created",
    "comment_updated",
    "comment_deleted",
    "project_created",
    "project_updated",
    "project_deleted",
    "member_added",
    "member_updated",
    "member_removed",
)
MAIL_KINDS = (
    "reset",
    "verify",
    "change",
    "password_changed",
    "email_changed",
    "token_created",
    "webhook_disabled",
)
VALUES: dict[str, dict[str, tuple[str, ...]]] = {
    "tasks": {"status": STATUSES},
    "task_history": {"kind": HISTORY_KINDS},
    "notifications": {
        "kind": NOTIFICATION_KINDS,
        "state": ("waiting", "mail", "digest", "delivered", "failed"),
    },
    "notification_preferences": {"kind": NOTIFICATION_KINDS, "delivery": ("at_once", "daily", "never")},
    "account_links": {"purpose": ("reset", "verify", "change")},
    "account_mails": {"kind": MAIL_KINDS},
    "project_members": {"role": ("viewer", "member", "manager")},
    "project_states": {"status": STATUSES},
    "webhook_deliveries": {"state": ("waiting", "delivered", "failed")},
}


def _edit(column: str, values: tuple[str, ...]) -> tuple[str, str]:
    listed = f"{column} IN ({', '.join(repr(value) for value in values)})"
    return listed, " OR ".join(f"{column} = {value!r}" for value in values)


EDITS: dict[str, Edits] = {
    table: [_edit(column, values) for column, values in columns.items()] for table, columns in VALUES.items()
}


def upgrade() -> None:
    """Compare the values one by one."""
    if op.get_bind().dialect.name == "sqlite":
        edit_sqlite_tables(EDITS)


def downgrade() -> None:
    """List the values."""
    if op.get_bind().dialect.name == "sqlite":
        edit_sqlite_tables({table: back(edits) for table, edits in EDITS.items()})
