"""An index of the titles in projects that have other letters than those of ASCII, on Postgres.

The index of trigrams finds a pair of letters with each character of ASCII behind it. There are too many others, so titles
with these are read one by one.
"""

import sqlalchemy as sa
from alembic import op

from migrations import live

revision: str = "0028"
down_revision: str | None = "0027"
branch_labels: str | None = None
depends_on: str | None = None

INDEX = "ix_tasks_project_id_letters"
THERE = r"project_id IS NOT NULL AND title_folded ~ '[^\u0001-\u007f]'"


def upgrade() -> None:
    """Make the index."""
    if op.get_bind().dialect.name == "postgresql":
        with live.steps():
            keys = ["project_id", "title_folded", "id"]
            live.create_index(INDEX, "tasks", keys, postgresql_where=sa.text(THERE))


def downgrade() -> None:
    """Drop the index."""
    if op.get_bind().dialect.name == "postgresql":
        op.drop_index(INDEX, "tasks")
