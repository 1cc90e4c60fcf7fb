"""Usernames that are compared in any letter case whatever the language of the database, on Postgres.

In a Turkish database `lower('I')` is a dotless i. So who had registered as `IVAN` could not log in as `ivan`, and
somebody else could register that name.
"""

import sqlalchemy as sa
from alembic import op

from migrations import live
from migrations.schema import SchemaError

revision: str = "0031"
down_revision: str | None = "0030"
branch_labels: str | None = None
depends_on: str | None = None

INDEX = "uq_users_username"
SAME = sa.text(
    "SELECT string_agg(username || ' (id ' || id || ')', ' and ' ORDER BY id) FROM users"
    ' GROUP BY lower(username COLLATE "C") HAVING count(*) > 1 ORDER BY min(id) LIMIT 1'
)


def upgrade() -> None:
    """Lower letters of ASCII only; raises SchemaError if two usernames are the same then."""
    connection = op.get_bind()
    # No program can tell which of two people should lose the name.
    if connection.dialect.name == "postgresql" and (same := connection.execute(SAME).scalar()):
        raise SchemaError(
            f"The usernames {same} are the same in any letter case: give one of these accounts another name by"
            " `UPDATE users SET username = '...' WHERE id = ...`, and migrate again"
        )
    _index_usernames('lower(username COLLATE "C")')


def downgrade() -> None:
    """Lower letters by the language of the database."""
    _index_usernames("lower(username)")


def _index_usernames(expression: str) -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    with live.steps():
        live.create_index(f"{INDEX}_new", "users", [sa.text(expression)], unique=True)
        live.drop_index(INDEX, "users")
        live.briefly(lambda: op.execute(f"ALTER INDEX {INDEX}_new RENAME TO {INDEX}"))
