"""The first schema: accounts, tasks, their history, the figures kept about them, notifications."""

import sqlalchemy as sa
from alembic import op

from storage.column_types import JsonText, RowId, UtcDateTime

revision: str = "0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

C_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")

NAMED_STATUS = "pending", "in_progress", "completed"


def c_string(length: int) -> sa.types.TypeEngine[str]:
    """Text that sorts by code points on both databases."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def counts() -> list[sa.Column[int]]:
    """The columns of the tables of counts."""
    return [sa.Column(name, sa.BigInteger, nullable=False) for name in NAMED_STATUS]


def upgrade() -> None:
    """Make the tables, then the triggers that keep the derived tables."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    plain_username = (
        "username NOT GLOB '*[^A-Za-z0-9._-]*'" if on_sqlite else "username ~ '^[A-Za-z0-9._-]+$'"
    )
    op.create_table(
        "users",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("username", sa.String(50), nullable=False),
        sa.Column("email", sa.String(254), nullable=False),
        sa.Column("email_folded", sa.String(254), nullable=False),
        sa.Column("password_hash", sa.String(255), nullable=False),
        sa.Column("is_active", sa.Boolean, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.CheckConstraint("length(username) BETWEEN 3 AND 50", name="username_length"),
        sa.CheckConstraint(plain_username, name="username_characters"),
        sa.CheckConstraint("length(email) BETWEEN 3 AND 254", name="email_length"),
        sa.CheckConstraint("role IN ('admin', 'member')", name="role"),
        sa.UniqueConstraint("email_folded", name="uq_users_email_folded"),
        sqlite_autoincrement=True,
    )
    op.create_index("uq_users_username", "users", [sa.text("lower(username)")], unique=True)
    op.create_index("uq_users_email", "users", [sa.text("lower(email)")], unique=True)

    op.create_table(
        "tasks",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("title", sa.String(200), nullable=False),
        sa.Column("title_folded", C_TEXT, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("status", sa.String(11), nullable=False),
        sa.Column("priority", sa.SmallInteger, nullable=False),
        sa.Column("project", c_string(100), nullable=False),
        sa.Column("tags", JsonText, nullable=False),
        sa.Column("due_at", UtcDateTime),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("completed_at", UtcDateTime),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tasks"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_tasks_user_id_users", ondelete="RESTRICT"
        ),
        sa.CheckConstraint("length(title) BETWEEN 1 AND 200 AND trim(title) <> ''", name="title"),
        sa.CheckConstraint("length(description) <= 10000", name="description_length"),
        sa.CheckConstraint("status IN ('pending', 'in_progress', 'completed')", name="status"),
        sa.CheckConstraint("priority BETWEEN 0 AND 4", name="priority"),
        sa.CheckConstraint("length(project) BETWEEN 1 AND 100", name="project_length"),
        sa.CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed_at"),
        sqlite_autoincrement=True,
    )
    for name, *columns in (
        ("user_id_created_at", "user_id", "created_at", "id"),
        ("user_id_updated_at", "user_id", "updated_at", "id"),
        ("user_id_due_at", "user_id", "due_at", "id"),
        ("user_id_completed_at", "user_id", "completed_at", "id"),
        ("user_id_title", "user_id", "title_folded", "id"),
        ("user_id_priority", "user_id", "priority", "id"),
        ("user_id_id", "user_id", "id"),
        ("user_id_status", "user_id", "status", "created_at", "id"),
        ("user_id_project", "user_id", "project", "created_at", "id"),
        ("created_at", "created_at", "id"),
    ):
        op.create_index(f"ix_tasks_{name}", "tasks", columns)

    op.create_table(
        "task_tags",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("tag", c_string(50), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "tag", "created_at", "task_id", name="pk_task_tags"),
        sa.ForeignKeyConstraint(
            ["task_id"], ["tasks.id"], name="fk_task_tags_task_id_tasks", ondelete="CASCADE"
        ),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_task_tags_task_id", "task_tags", ["task_id"])

    op.create_table(
        "task_history",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("actor_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(14), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("changes", sa.JSON, nullable=False),
        sa.Column("owner_id", sa.BigInteger),
        sa.Column("status", sa.String(11)),
        sa.Column("previous_owner_id", sa.BigInteger),
        sa.Column("previous_status", sa.String(11)),
        sa.PrimaryKeyConstraint("id", name="pk_task_history"),
        sa.CheckConstraint(
            "kind IN ('created', 'updated', 'status_changed', 'assigned', 'deleted', 'imported')", name="kind"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_task_history_task_id", "task_history", ["task_id", "id"])
    op.create_index("ix_task_history_owner_id", "task_history", ["owner_id", "created_at", "id"])
    op.create_index(
        "ix_task_history_previous_owner_id", "task_history", ["previous_owner_id", "created_at", "id"]
    )

    op.create_table(
        "owner_counts",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *counts(),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "slot", name="pk_owner_counts"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_owner_counts_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "project_counts",
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("project", c_string(100), nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *counts(),
        sa.PrimaryKeyConstraint("user_id", "project", "slot", name="pk_project_counts"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_project_counts_user_id_users", ondelete="CASCADE"
        ),
    )
    op.create_table(
        "system_counts",
        sa.Column("slot", sa.SmallInteger, nullable=False),
        *counts(),
        sa.PrimaryKeyConstraint("slot", name="pk_system_counts"),
    )

    op.create_table(
        "notifications",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("task_title", sa.String(200), nullable=False),
        sa.Column("actor_id", sa.BigInteger, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("state", sa.String(10), nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", UtcDateTime, nullable=False),
        sa.Column("logged_at", UtcDateTime),
        sa.Column("delivered_at", UtcDateTime),
        sa.Column("last_error", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_notifications"),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name="fk_notifications_user_id_users", ondelete="CASCADE"
        ),
        sa.CheckConstraint("kind IN ('created', 'completed', 'assigned')", name="kind"),
        sa.CheckConstraint("state IN ('waiting', 'delivered', 'failed')", name="state"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notifications_state", "notifications", ["state", "next_attempt_at", "id"])
    op.create_index("ix_notifications_user_id", "notifications", ["user_id", "id"])

    for statement in SQLITE_TRIGGERS if on_sqlite else POSTGRES_TRIGGERS:
        op.execute(sa.text(statement.replace(":", "\\:")))


def downgrade() -> None:
    """Drop everything."""
    on_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in (
        "notifications",
        "system_counts",
        "project_counts",
        "owner_counts",
        "task_history",
        "task_tags",
        "tasks",
        "users",
    ):
        op.drop_table(table)
    if not on_sqlite:
        op.execute("DROP FUNCTION tasks_inserted, tasks_deleted, tasks_updated")


# -- counts that the database keeps by itself ------------------------------------------------------
#
# Triggers keep the counts, because then the figures are right by construction: no path that changes a task
# can forget them, not even a program that writes past the API.


def sqlite_count(row: str, sign: str) -> str:
    """Count one row of `tasks` in (`+`) or out (`-`)."""
    amounts = [f"{sign}({row}.status = '{status}')" for status in NAMED_STATUS]
    added = ", ".join(f"{status} = {status} + excluded.{status}" for status in NAMED_STATUS)
    names, values = ", ".join(NAMED_STATUS), ", ".join(amounts)
    return f"""
        INSERT INTO owner_counts (user_id, slot, {names}, version) VALUES ({row}.user_id, 0, {values}, 1)
            ON CONFLICT (user_id, slot) DO UPDATE SET {added}, version = version + 1;
        INSERT INTO project_counts (user_id, project, slot, {names}) VALUES ({row}.user_id, {row}.project, 0, {values})
            ON CONFLICT (user_id, project, slot) DO UPDATE SET {added};
        INSERT INTO system_counts (slot, {names}) VALUES (0, {values})
            ON CONFLICT (slot) DO UPDATE SET {added};
    """


SQLITE_EMPTY_PROJECT = """
    DELETE FROM project_counts
        WHERE user_id = OLD.user_id AND project = OLD.project AND pending = 0 AND in_progress = 0 AND completed = 0;
"""
SQLITE_TAG = """
    INSERT OR IGNORE INTO task_tags (user_id, tag, created_at, task_id)
        SELECT NEW.user_id, value, NEW.created_at, NEW.id FROM json_each(NEW.tags);
"""
SQLITE_TRIGGERS = (
    f"CREATE TRIGGER tasks_count_insert AFTER INSERT ON tasks BEGIN {sqlite_count('NEW', '+')} END",
    f"CREATE TRIGGER tasks_count_delete AFTER DELETE ON tasks BEGIN {sqlite_count('OLD', '-')}"
    f" {SQLITE_EMPTY_PROJECT} END",
    "CREATE TRIGGER tasks_count_update AFTER UPDATE ON tasks WHEN OLD.user_id <> NEW.user_id"
    " OR OLD.status <> NEW.status OR OLD.project <> NEW.project"
    f" BEGIN {sqlite_count('OLD', '-')} {sqlite_count('NEW', '+')} {SQLITE_EMPTY_PROJECT} END",
    "CREATE TRIGGER tasks_version_update AFTER UPDATE ON tasks WHEN OLD.user_id = NEW.user_id"
    " AND OLD.status = NEW.status AND OLD.project = NEW.project"
    " BEGIN UPDATE owner_counts SET version = version + 1 WHERE user_id = NEW.user_id; END",
    f"CREATE TRIGGER tasks_tag_insert AFTER INSERT ON tasks WHEN NEW.tags <> '[]' BEGIN {SQLITE_TAG} END",
    "CREATE TRIGGER tasks_tag_update AFTER UPDATE ON tasks WHEN OLD.tags <> NEW.tags"
    " OR (NEW.tags <> '[]' AND (OLD.user_id <> NEW.user_id OR OLD.created_at <> NEW.created_at))"
    f" BEGIN DELETE FROM task_tags WHERE task_id = OLD.id; {SQLITE_TAG} END",
)

# One statement may change many rows. Their counts are added up first, and always locked in the same order.
POSTGRES_IN = "SELECT user_id, project, status, 1 AS sign FROM added"
POSTGRES_OUT = "SELECT user_id, project, status, -1 AS sign FROM removed"
POSTGRES_TAG = """
    INSERT INTO task_tags (user_id, tag, created_at, task_id)
        SELECT DISTINCT added.user_id, tag, added.created_at, added.id
        FROM added {joined} CROSS JOIN jsonb_array_elements_text(added.tags) AS tag {where}
        ON CONFLICT DO NOTHING;
"""
POSTGRES_CHANGED = "(added.tags, added.user_id, added.created_at) IS DISTINCT FROM (removed.tags, removed.user_id, removed.created_at)"


def postgres_count(changes: str) -> str:
    """Add the rows of `changes` to the counts of the owners, of their projects and of everybody."""
    amounts = [f"coalesce(sum(sign) FILTER (WHERE status = '{status}'), 0)" for status in NAMED_STATUS]
    names, values = ", ".join(NAMED_STATUS), ", ".join(amounts)
    moved = " OR ".join(f"{amount} <> 0" for amount in amounts)

    def added(table: str) -> str:
        return ", ".join(f"{status} = {table}.{status} + excluded.{status}" for status in NAMED_STATUS)

    return f"""
        INSERT INTO owner_counts (user_id, slot, {names}, version)
            SELECT user_id, here, {values}, 1 FROM ({changes}) AS changes GROUP BY user_id ORDER BY user_id
            ON CONFLICT (user_id, slot) DO UPDATE SET {added("owner_counts")}, version = owner_counts.version + 1;
        INSERT INTO project_counts (user_id, project, slot, {names})
            SELECT user_id, project, here, {values} FROM ({changes}) AS changes
            GROUP BY user_id, project HAVING {moved} ORDER BY user_id, project
            ON CONFLICT (user_id, project, slot) DO UPDATE SET {added("project_counts")};
        INSERT INTO system_counts (slot, {names})
            SELECT here, {values} FROM ({changes}) AS changes HAVING {moved}
            ON CONFLICT (slot) DO UPDATE SET {added("system_counts")};
    """


def postgres_function(name: str, body: str) -> str:
    """A trigger function; `here` spreads the counts over as many rows as there are likely to be writers at once."""
    return f"""
        CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$
        DECLARE
            here CONSTANT smallint := pg_backend_pid() % 16;
        BEGIN
            {body}
            RETURN NULL;
        END $$
    """


POSTGRES_TRIGGERS = (
    postgres_function(
        "tasks_inserted", postgres_count(POSTGRES_IN) + POSTGRES_TAG.format(joined="", where="")
    ),
    postgres_function("tasks_deleted", postgres_count(POSTGRES_OUT)),
    postgres_function(
        "tasks_updated",
        postgres_count(f"{POSTGRES_OUT} UNION ALL {POSTGRES_IN}")
        + f"DELETE FROM task_tags USING added JOIN removed ON removed.id = added.id"
        f" WHERE task_tags.task_id = added.id AND {POSTGRES_CHANGED};"
        + POSTGRES_TAG.format(
            joined="JOIN removed ON removed.id = added.id", where=f"WHERE {POSTGRES_CHANGED}"
        ),
    ),
    "CREATE TRIGGER tasks_inserted AFTER INSERT ON tasks REFERENCING NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION tasks_inserted()",
    "CREATE TRIGGER tasks_deleted AFTER DELETE ON tasks REFERENCING OLD TABLE AS removed"
    " FOR EACH STATEMENT EXECUTE FUNCTION tasks_deleted()",
    "CREATE TRIGGER tasks_updated AFTER UPDATE ON tasks REFERENCING OLD TABLE AS removed NEW TABLE AS added"
    " FOR EACH STATEMENT EXECUTE FUNCTION tasks_updated()",
)
