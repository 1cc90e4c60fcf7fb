"""Indexes of the orders of lists that also hold the other times of each task.

A list that is ordered by one time and limited to a range of another is then filtered by its index alone. Before, the
list read each task that is not in the range. On Postgres the indexes hold `updated_at` too, because an update writes
all of them in any case, and no other index is needed that tells where such a list begins. On SQLite such lists still
begin sooner with the other indexes.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations import live

revision: str = "0024"
down_revision: str | None = "0023"
branch_labels: str | None = None
depends_on: str | None = None

TIMES = ("created_at", "due_at", "completed_at")
# The former columns of each order, and the added ones.
ORDERS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "created_at": (("created_at", "id", "due_at", "completed_at", "priority"), ()),
    "updated_at": (("updated_at", "id"), (*TIMES, "priority")),
    "due_at": (("due_at", "id"), ("created_at", "completed_at")),
    "completed_at": (("completed_at", "id"), ("created_at", "due_at")),
    "priority": (("priority", "id"), TIMES),
    "id": (("id",), TIMES),
}
PARTIAL = sa.text("project_id IS NOT NULL")
# Postgres allows only this form in an index, because it depends on no setting.
PERIOD = "(CAST(floor(extract(epoch FROM created_at AT TIME ZONE 'UTC') / 2592000) AS bigint))"
OUT_OF_ORDER = "updated_at < created_at OR completed_at < created_at OR updated_at < completed_at"
# The indexes that tell where a list begins: their names, columns and conditions.
BEGINNINGS: dict[str, tuple[list[str], str]] = {
    "ix_tasks_user_id_out_of_order": (["user_id", "version"], OUT_OF_ORDER),
    **{
        f"ix_tasks_{place}_period_{column}": ([place, PERIOD, column], f"{there}{column} IS NOT NULL")
        for place, there in (("user_id", ""), ("project_id", "project_id IS NOT NULL AND "))
        for column in ("due_at", "completed_at")
    },
}
PLACES = {"user_id": {}, "project_id": {"sqlite_where": PARTIAL, "postgresql_where": PARTIAL}}


def upgrade() -> None:
    """Make the wide indexes in the place of the narrow ones."""
    on_postgres = op.get_bind().dialect.name == "postgresql"
    with live.steps():
        for place, options in PLACES.items():
            for order, (before, added) in ORDERS.items():
                columns = [place, *before, *added]
                if on_postgres and "updated_at" not in columns:
                    columns.append("updated_at")
                if len(columns) > len(before) + 1:
                    live.replace_index(f"ix_tasks_{place}_{order}", "tasks", columns, **options)
        if on_postgres:
            for name in BEGINNINGS:
                live.drop_index(name, "tasks")
        else:
            _replace_blocked()


def downgrade() -> None:
    """Make the indexes as they were."""
    for place, options in PLACES.items():
        for order, (before, _) in ORDERS.items():
            live.replace_index(f"ix_tasks_{place}_{order}", "tasks", [place, *before], **options)
    if op.get_bind().dialect.name == "postgresql":
        for name, (columns, condition) in BEGINNINGS.items():
            keys: list[Any] = [sa.text(each) if each == PERIOD else each for each in columns]
            op.create_index(name, "tasks", keys, postgresql_where=sa.text(condition))
    else:
        _replace_blocked()


def _replace_blocked() -> None:
    """Make the index of a project's blocked tasks again, because SQLite takes the newest of equally good indexes."""
    where = sa.text("project_id IS NOT NULL AND blocked_at IS NOT NULL")
    columns = ["project_id", "created_at", "id"]
    live.replace_index("ix_tasks_project_id_blocked", "tasks", columns, sqlite_where=where)
