"""The rights in projects that a write with an `Idempotency-Key` used, because its replay needs them again."""

import sqlalchemy as sa
from alembic import op

revision: str = "0021"
down_revision: str | None = "0020"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the column."""
    op.add_column("idempotency_keys", sa.Column("used_rights", sa.JSON, nullable=True))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("idempotency_keys", "used_rights")
