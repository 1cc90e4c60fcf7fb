"""Saved filters, and calendars of due tasks."""

import sqlalchemy as sa
from alembic import op

from storage.column_types import RowId, UtcDateTime

revision: str = "0019"
down_revision: str | None = "0018"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "views",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("filter", sa.Text, nullable=False),
        sa.Column("sort_by", sa.String(20)),
        sa.Column("sort_order", sa.String(4)),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("project_id", sa.BigInteger),
        sa.Column("created_by", sa.BigInteger),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_views"),
        _goes_with("views", "user_id", "users"),
        _goes_with("views", "project_id", "projects"),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name="fk_views_created_by_users", ondelete="SET NULL"
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100 AND trim(name) <> ''", name="name"),
        sa.CheckConstraint("sort_order IN ('desc', 'asc')", name="sort_order"),
        sa.CheckConstraint("(user_id IS NULL) = (project_id IS NOT NULL)", name="owner"),
        sqlite_autoincrement=True,
    )
    for name in ("user_id", "project_id", "created_by"):
        op.create_index(f"ix_views_{name}", "views", [name])
    op.create_table(
        "calendars",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("view_id", sa.BigInteger),
        sa.Column("tz", sa.String(64), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("credentials_version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calendars"),
        sa.UniqueConstraint("token_hash", name="uq_calendars_token_hash"),
        _goes_with("calendars", "user_id", "users"),
        _goes_with("calendars", "view_id", "views"),
        sqlite_autoincrement=True,
    )
    for name in ("user_id", "view_id"):
        op.create_index(f"ix_calendars_{name}", "calendars", [name])


def _goes_with(table: str, column: str, other: str) -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{other}"
    return sa.ForeignKeyConstraint([column], [f"{other}.id"], name=name, ondelete="CASCADE")


def downgrade() -> None:
    """Drop the tables."""
    op.drop_table("calendars")
    op.drop_table("views")
