"""Counts of an owner's completed tasks by similar durations, kept by triggers, and an index of the durations.

With both the median is found without reading all tasks.
"""

import sqlalchemy as sa
from alembic import op

revision: str = "0012"
down_revision: str | None = "0011"
branch_labels: str | None = None
depends_on: str | None = None

TABLE = "duration_counts"
SUMS = ("count", "seconds", "microseconds")
COLUMNS = f"user_id, bucket, slot, {', '.join(SUMS)}"
ADDED = ", ".join(f"{name} = {TABLE}.{name} + excluded.{name}" for name in SUMS)
CONFLICT = f"ON CONFLICT (user_id, bucket, slot) DO UPDATE SET {ADDED}"

# A bucket holds the durations that have, in microseconds, the same number of digits and the same first two.
BUCKET_ON_SQLITE = "CASE WHEN {0} < 10 THEN max({0}, -1) ELSE (length({0}) - 2) * 100 + substr({0}, 1, 2) END"
BUCKET_ON_POSTGRES = (
    "CASE WHEN {0} < 10 THEN greatest({0}, -1)"
    " ELSE (length(CAST({0} AS text)) - 2) * 100 + CAST(left(CAST({0} AS text), 2) AS integer) END"
)
TOOK_ON_SQLITE = "({0}completed_at - {0}created_at)"
TOOK_ON_POSTGRES = "CAST(extract(epoch FROM {0}completed_at - {0}created_at) * 1000000 AS bigint)"
IS_COMPLETED = "completed_at IS NOT NULL"


def _sqlite_count(row: str, sign: str) -> str:
    """Count one row of `tasks` in (`+`) or out (`-`)."""
    took = TOOK_ON_SQLITE.format(f"{row}.")
    values = f"{sign}1, {sign}({took} / 1000000), {sign}({took} % 1000000)"
    # The condition keeps SQLite from reading the ON of the conflict as that of a join.
    return (
        f"INSERT INTO {TABLE} ({COLUMNS}) SELECT {row}.user_id, {BUCKET_ON_SQLITE.format(took)}, 0, {values}"
        f" WHERE {row}.{IS_COMPLETED} {CONFLICT};"
    )


MOVED = "(OLD.completed_at IS NOT NEW.completed_at OR OLD.created_at <> NEW.created_at OR OLD.user_id <> NEW.user_id)"
SQLITE_TRIGGERS = {
    "insert": f"INSERT ON tasks WHEN NEW.{IS_COMPLETED} BEGIN {_sqlite_count('NEW', '+')} END",
    "delete": f"DELETE ON tasks WHEN OLD.{IS_COMPLETED} BEGIN {_sqlite_count('OLD', '-')} END",
    "update": f"UPDATE ON tasks WHEN {MOVED} AND coalesce(OLD.completed_at, NEW.completed_at) IS NOT NULL"
    f" BEGIN {_sqlite_count('OLD', '-')} {_sqlite_count('NEW', '+')} END",
}


def _postgres_rows(table: str, sign: int) -> str:
    took = TOOK_ON_POSTGRES.format("")
    return f"SELECT user_id, {took} AS took, {sign} AS sign FROM {table} WHERE {IS_COMPLETED}"


def _postgres_function(name: str, changes: str) -> str:
    """Add up the changes of one statement. If the sum is nothing, as for most updates, nothing is written."""
    return f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO {TABLE} ({COLUMNS})
                SELECT user_id, {BUCKET_ON_POSTGRES.format("took")} AS bucket, pg_backend_pid() % 16,
                    sum(sign), sum(sign * (took / 1000000)), sum(sign * (took % 1000000))
                FROM ({changes}) AS changes GROUP BY user_id, bucket
                HAVING sum(sign) <> 0 OR sum(sign * took) <> 0 ORDER BY user_id, bucket
                {CONFLICT};
            RETURN NULL;
        END $$
    """


# Postgres fires triggers in the order of their names. These triggers come after those that count by owner, so every
# statement locks the rows of the owner first. Two statements for one owner then wait for each other without deadlock.
ON_POSTGRES = "tasks_with_durations_{0}"
IN, OUT = _postgres_rows("added", 1), _postgres_rows("removed", -1)
POSTGRES_TRIGGERS = {
    "inserted": ("INSERT", "NEW TABLE AS added", IN),
    "deleted": ("DELETE", "OLD TABLE AS removed", OUT),
    "updated": ("UPDATE", "OLD TABLE AS removed NEW TABLE AS added", f"{OUT} UNION ALL {IN}"),
}


def upgrade() -> None:
    """Make the table and count what is there, then the triggers that keep it, and the index."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    op.create_table(
        TABLE,
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("bucket", sa.SmallInteger, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("user_id", "bucket", "slot", name="pk_duration_counts"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_duration_counts_user_id_users", ondelete="CASCADE"
        ),
    )
    if not on_sqlite:
        # Without the lock a task could come between the counting and the triggers, and would never be counted.
        op.execute("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
    took = (TOOK_ON_SQLITE if on_sqlite else TOOK_ON_POSTGRES).format("")
    bucket = (BUCKET_ON_SQLITE if on_sqlite else BUCKET_ON_POSTGRES).format("took")
    op.execute(
        f"INSERT INTO {TABLE} ({COLUMNS})"
        f" SELECT user_id, {bucket} AS bucket, 0, count(*), sum(took / 1000000), sum(took % 1000000)"
        f" FROM (SELECT user_id, {took} AS took FROM tasks WHERE {IS_COMPLETED}) AS finished"
        " GROUP BY user_id, bucket"
    )
    if on_sqlite:
        for kind, statement in SQLITE_TRIGGERS.items():
            op.execute(f"CREATE TRIGGER tasks_duration_{kind} AFTER {statement}")
    else:
        for name, (kind, tables, changes) in POSTGRES_TRIGGERS.items():
            function = ON_POSTGRES.format(name)
            op.execute(_postgres_function(function, changes))
            op.execute(
                f"CREATE TRIGGER {function} AFTER {kind} ON tasks REFERENCING {tables}"
                f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()"
            )
    there = sa.text(IS_COMPLETED)
    op.create_index(
        "ix_tasks_user_id_duration",
        "tasks",
        # The index also holds the times that a duration is made of. So it is read without the rows, and serves lists of
        # tasks completed in a period as well as other indexes.
        ["user_id", sa.text(took if on_sqlite else f"({took})"), "completed_at", "created_at"],
        sqlite_where=there,
        postgresql_where=there,
    )
    if not on_sqlite and op.get_bind().scalar(sa.text("SELECT EXISTS (SELECT FROM tasks)")):
        # ANALYZE gives the planner statistics of the index over an expression. An empty table is not analyzed.
        # Otherwise the planner would take it for empty until the next ANALYZE, and read it whole at every check of a
        # foreign key.
        op.execute("ANALYZE tasks")


def downgrade() -> None:
    """Drop the table and the index."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    op.drop_index("ix_tasks_user_id_duration", "tasks")
    if on_sqlite:
        for kind in SQLITE_TRIGGERS:
            op.execute(f"DROP TRIGGER tasks_duration_{kind}")
    else:
        for name in POSTGRES_TRIGGERS:
            op.execute(f"DROP TRIGGER {ON_POSTGRES.format(name)} ON tasks")
            op.execute(f"DROP FUNCTION {ON_POSTGRES.format(name)}")
    op.drop_table(TABLE)
