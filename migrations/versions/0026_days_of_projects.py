"""The first and the last id and times of a project's tasks by the day on which they were made, on SQLite.

A list with ranges of times had no way to know where in its order it begins, and went through half of a large project.
An index by periods of 30 days told it for two times in one order. The days tell it for all of them, so these indexes go.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "0026"
down_revision: str | None = "0025"
branch_labels: str | None = None
depends_on: str | None = None

DAY = 86_400_000_000
COLUMNS = {"id": "NOT NULL", "updated_at": "NOT NULL", "due_at": "NULL", "completed_at": "NULL"}
# The columns of the table, with the functions that choose their values from the tasks of a day.
SIDES = {f"{side}_{name}": (f, name) for name in COLUMNS for side, f in (("first", "min"), ("last", "max"))}
TABLE = (
    "CREATE TABLE project_days (project_id BIGINT NOT NULL, day BIGINT NOT NULL, "
    + ", ".join(f"{side} BIGINT {COLUMNS[name]}" for side, (_, name) in SIDES.items())
    + ", CONSTRAINT pk_project_days PRIMARY KEY (project_id, day),"
    " CONSTRAINT fk_project_days_project_id_projects FOREIGN KEY (project_id) REFERENCES projects (id)"
    " ON DELETE CASCADE) WITHOUT ROWID"
)
FILL = (
    f"INSERT INTO project_days (project_id, day, {', '.join(SIDES)}) SELECT project_id, created_at / {DAY}, "
    + ", ".join(f"{f}({name})" for f, name in SIDES.values())
    + " FROM tasks WHERE project_id IS NOT NULL GROUP BY 1, 2"
)


def _widened(side: str, choice: str) -> str:
    """The value of a column after one more task: min() and max() of two values are NULL if one is."""
    return f"{side} = coalesce({choice}({side}, excluded.{side}), {side}, excluded.{side})"


WIDEN = (
    f"INSERT INTO project_days (project_id, day, {', '.join(SIDES)})"
    f" VALUES (NEW.project_id, NEW.created_at / {DAY}, {', '.join(f'NEW.{name}' for _, name in SIDES.values())})"
    " ON CONFLICT (project_id, day) DO UPDATE SET "
    + ", ".join(_widened(side, choice) for side, (choice, _) in SIDES.items())
)
TRIGGERS = {
    "tasks_days_insert": "AFTER INSERT ON tasks",
    "tasks_days_update": "AFTER UPDATE OF created_at, updated_at, due_at, completed_at, project_id ON tasks",
}
PERIOD = "created_at / 2592000000000"


def upgrade() -> None:
    """Make the table and the triggers that keep it, and drop the indexes."""
    if op.get_bind().dialect.name != "sqlite":
        return
    op.execute(TABLE)
    op.execute(FILL)
    for name, event in TRIGGERS.items():
        op.execute(f"CREATE TRIGGER {name} {event} WHEN NEW.project_id IS NOT NULL BEGIN {WIDEN}; END")
    for column in ("due_at", "completed_at"):
        op.drop_index(f"ix_tasks_project_id_period_{column}", "tasks")


def downgrade() -> None:
    """Make the indexes again, and drop the table and its triggers."""
    if op.get_bind().dialect.name != "sqlite":
        return
    for name in TRIGGERS:
        op.execute(f"DROP TRIGGER {name}")
    op.execute("DROP TABLE project_days")
    for column in ("due_at", "completed_at"):
        there = sa.text(f"project_id IS NOT NULL AND {column} IS NOT NULL")
        keys: list[Any] = ["project_id", sa.text(PERIOD), column]
        op.create_index(f"ix_tasks_project_id_period_{column}", "tasks", keys, sqlite_where=there)
