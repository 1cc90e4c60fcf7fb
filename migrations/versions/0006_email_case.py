"""Compare emails on Postgres as on SQLite: lower() changes ASCII only, and `email_folded` covers other letters."""

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | None = "0005"
branch_labels: str | None = None
depends_on: str | None = None


def _index_emails(expression: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index("uq_users_email", "users")
        op.create_index("uq_users_email", "users", [sa.text(expression)], unique=True)


def upgrade() -> None:
    """Lower ASCII letters only."""
    _index_emails('lower(email COLLATE "C")')


def downgrade() -> None:
    """Lower letters by the locale of the database."""
    _index_emails("lower(email)")
