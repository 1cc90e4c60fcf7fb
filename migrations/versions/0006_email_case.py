"""Compare emails on Postgres as on SQLite, where lower() knows ASCII only; `email_folded` sees to the other letters."""

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
    """Fold ASCII only."""
    _index_emails('lower(email COLLATE "C")')


def downgrade() -> None:
    """Fold as the database's locale does."""
    _index_emails("lower(email)")
