"""Tables for accounts on the open internet: sessions, tokens, links, counts of failures, an audit trail."""

import sqlalchemy as sa
from alembic import op

from storage.column_types import JsonText, RowId, UtcDateTime

revision: str = "0003"
down_revision: str | None = "0002"
branch_labels: str | None = None
depends_on: str | None = None

# Nobody who reaches the database through the program erases the last month, whatever retention is set to.
KEPT_DAYS = 30


def of_user(table: str) -> sa.ForeignKeyConstraint:
    """A foreign key that deletes the rows of a user together with the user."""
    return sa.ForeignKeyConstraint(
        ["user_id"], ["users.id"], name=f"fk_{table}_user_id_users", ondelete="CASCADE"
    )


def upgrade() -> None:
    """Make the tables, and the triggers that keep the audit trail unchanged."""
    op.add_column("users", sa.Column("email_verified_at", UtcDateTime))
    op.create_table(
        "sessions",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("last_used_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("client", sa.String(200), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        of_user("sessions"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_sessions_user_id", "sessions", ["user_id", "id"])
    op.create_table(
        "refresh_tokens",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("session_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("used_at", UtcDateTime),
        sa.PrimaryKeyConstraint("token_hash", name="pk_refresh_tokens"),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name="fk_refresh_tokens_session_id_sessions", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_refresh_tokens_session_id", "refresh_tokens", ["session_id"])
    op.create_table(
        "program_tokens",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("last_four", sa.String(4), nullable=False),
        sa.Column("scopes", JsonText, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime),
        sa.Column("last_used_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_program_tokens"),
        sa.UniqueConstraint("token_hash", name="uq_program_tokens_token_hash"),
        of_user("program_tokens"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_program_tokens_user_id", "program_tokens", ["user_id", "id"])
    op.create_table(
        "account_links",
        sa.Column("token_hash", sa.String(64), nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("purpose", sa.String(10), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("expires_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_account_links"),
        sa.CheckConstraint("purpose IN ('reset', 'verify', 'change')", name="purpose"),
        of_user("account_links"),
    )
    op.create_index("ix_account_links_user_id", "account_links", ["user_id"])
    op.create_table(
        "attempts",
        sa.Column("key", sa.String(200), nullable=False),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_at", UtcDateTime, nullable=False),
        sa.Column("blocked_until", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_attempts"),
    )
    op.create_index("ix_attempts_last_at", "attempts", ["last_at"])
    op.create_table(
        "known_addresses",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("last_seen_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "address", name="pk_known_addresses"),
        of_user("known_addresses"),
    )
    op.create_table(
        "audit_events",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("actor_id", sa.BigInteger),
        sa.Column("user_id", sa.BigInteger),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("request_id", sa.String(128), nullable=False),
        sa.Column("details", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_audit_events"),
        sqlite_autoincrement=True,
    )
    for name, *columns in (
        ("kind", "kind", "id"),
        ("actor_id", "actor_id", "id"),
        ("user_id", "user_id", "id"),
        ("created_at", "created_at"),
    ):
        op.create_index(f"ix_audit_events_{name}", "audit_events", columns)
    for statement in SQLITE if op.get_bind().dialect.name == "sqlite" else POSTGRES:
        op.execute(statement)


def downgrade() -> None:
    """Drop what `upgrade` made."""
    for table in (
        "audit_events",
        "known_addresses",
        "attempts",
        "account_links",
        "program_tokens",
        "refresh_tokens",
        "sessions",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_events_stay")
    op.drop_column("users", "email_verified_at")


SQLITE = (
    "CREATE TRIGGER audit_events_update BEFORE UPDATE ON audit_events"
    " BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END",
    "CREATE TRIGGER audit_events_delete BEFORE DELETE ON audit_events"
    f" WHEN OLD.created_at > (CAST(strftime('%s', 'now') AS INTEGER) - {KEPT_DAYS} * 86400) * 1000000"
    " BEGIN SELECT RAISE(ABORT, 'the audit trail is only added to'); END",
)
POSTGRES = (
    f"""
    CREATE FUNCTION audit_events_stay() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' THEN
            IF OLD.created_at <= now() - interval '{KEPT_DAYS} days' THEN
                RETURN OLD;
            END IF;
        END IF;
        RAISE EXCEPTION 'the audit trail is only added to';
    END $$
    """,
    "CREATE TRIGGER audit_events_stay BEFORE UPDATE OR DELETE ON audit_events"
    " FOR EACH ROW EXECUTE FUNCTION audit_events_stay()",
)
