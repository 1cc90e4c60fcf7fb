"""Projects that people share: their members and states, blocks, comments, and a history of all of these.

A private task has neither project nor state, so no row changes. A database of a million tasks therefore takes
seconds, and the previous version writes correctly until the first project is made. The indexes are partial for the same
reason.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from migrations import live
from migrations.rewriting import back, edit_postgres_function, edit_sqlite_tables, edit_sqlite_trigger
from storage.column_types import RowId, UtcDateTime
from storage.folding import fold

revision: str = "0014"
down_revision: str | None = "0013"
branch_labels: str | None = None
depends_on: str | None = None

TITLE, DESCRIPTION = (
    "length(title) BETWEEN 1 AND {} AND trim(title) <> ''",
    "length(description) <= {}",
)
OLD_HISTORY_KINDS = ("created", "updated", "status_changed", "assigned", "deleted", "imported")
HISTORY_KINDS = (
    *("created", "updated", "status_changed", "state_changed", "assigned", "moved", "blocked", "unblocked"),
    *("deleted", "imported", "comment_created", "comment_updated", "comment_deleted", "project_created"),
    *("project_updated", "project_deleted", "member_added", "member_updated", "member_removed"),
)
OLD_NOTIFICATION_KINDS = ("created", "completed", "assigned", "due_soon", "overdue")
NOTIFICATION_KINDS = (*OLD_NOTIFICATION_KINDS, "added_to_project", "mentioned", "commented")
STATE = "(project_id IS NULL) = (state IS NULL)"
BLOCKED = (
    "(blocked_at IS NULL) = (blocked_reason IS NULL) AND (blocked_at IS NULL OR status <> 'completed')"
    " AND length(blocked_reason) BETWEEN 1 AND 500"
)
FOREIGN_KEY = "CONSTRAINT fk_tasks_project_id_projects FOREIGN KEY(project_id) REFERENCES projects (id) ON DELETE RESTRICT"


def kinds(names: tuple[str, ...]) -> str:
    """The condition that a kind is one of these."""
    return f"kind IN ({', '.join(repr(name) for name in names)})"


def columns() -> dict[str, list[sa.Column[Any]]]:
    """The new columns of the present tables."""
    return {
        "tasks": [
            sa.Column("project_id", sa.BigInteger),
            sa.Column("state", sa.String(30)),
            sa.Column("blocked_at", UtcDateTime),
            sa.Column("blocked_reason", sa.String(500)),
        ],
        "task_tags": [sa.Column("project_id", sa.BigInteger)],
        "task_history": [
            sa.Column("project_id", sa.BigInteger),
            sa.Column("previous_project_id", sa.BigInteger),
            sa.Column("state", sa.String(30)),
            sa.Column("previous_state", sa.String(30)),
            sa.Column("request_id", sa.String(128)),
            sa.Column("snapshot", sa.JSON),
            sa.Column("subject", sa.JSON),
        ],
        "notifications": [
            sa.Column("project_id", sa.BigInteger),
            sa.Column("project_name", sa.String(100)),
            sa.Column("comment_id", sa.BigInteger),
        ],
    }


# Each constraint that changes: its table, its name, its new condition and the former one.
CHECKS = (
    ("tasks", "title", TITLE.format(500), TITLE.format(200)),
    ("tasks", "description_length", DESCRIPTION.format(65536), DESCRIPTION.format(10000)),
    ("task_history", "kind", kinds(HISTORY_KINDS), kinds(OLD_HISTORY_KINDS)),
    ("notifications", "kind", kinds(NOTIFICATION_KINDS), kinds(OLD_NOTIFICATION_KINDS)),
    ("notification_preferences", "kind", kinds(NOTIFICATION_KINDS), kinds(OLD_NOTIFICATION_KINDS)),
)
LAST_CHECK = "CONSTRAINT ck_tasks_completed_at CHECK ((status = 'completed') = (completed_at IS NOT NULL))"
ON_SQLITE: dict[str, list[tuple[str, str]]] = {
    "tasks": [
        ("title VARCHAR(200)", "title VARCHAR(500)"),
        (
            LAST_CHECK,
            f"{LAST_CHECK}, \n\tCONSTRAINT ck_tasks_state CHECK ({STATE}), \n\tCONSTRAINT ck_tasks_blocked CHECK ({BLOCKED})"
            f", \n\t{FOREIGN_KEY}",
        ),
    ],
    "task_history": [
        ("task_id BIGINT NOT NULL", "task_id BIGINT"),
        ("kind VARCHAR(14)", "kind VARCHAR(20)"),
    ],
    "notifications": [
        ("task_id BIGINT NOT NULL", "task_id BIGINT"),
        ("task_title VARCHAR(200) NOT NULL", "task_title VARCHAR(500)"),
    ],
    "notification_preferences": [],
}
for _table, _, _new, _old in CHECKS:
    ON_SQLITE[_table].append((f"CHECK ({_old})", f"CHECK ({_new})"))

IN_PROJECT = "project_id IS NOT NULL"
PERIOD_ON_SQLITE = "created_at / 2592000000000"
PERIOD_ON_POSTGRES = "(CAST(floor(extract(epoch FROM created_at AT TIME ZONE 'UTC') / 2592000) AS bigint))"
LEFT_PROJECT = "previous_project_id IS NOT NULL AND (project_id IS NULL OR project_id <> previous_project_id)"
INDEXES = (
    ("tasks", "user_id_state", "state IS NOT NULL", ("user_id", "state", "created_at", "id")),
    ("tasks", "user_id_blocked", "blocked_at IS NOT NULL", ("user_id", "created_at", "id")),
    *(
        ("tasks", f"project_id_{name}", IN_PROJECT, ("project_id", *rest))
        for name, rest in {
            "created_at": ("created_at", "id", "due_at", "completed_at", "priority"),
            "updated_at": ("updated_at", "id"),
            "due_at": ("due_at", "id"),
            "completed_at": ("completed_at", "id"),
            "title": ("title_folded", "id"),
            "priority": ("priority", "id"),
            "id": ("id",),
            "state": ("state", "created_at", "id"),
            "status": ("status", "created_at", "id", "completed_at"),
        }.items()
    ),
    (
        *("tasks", "project_id_blocked", f"{IN_PROJECT} AND blocked_at IS NOT NULL"),
        ("project_id", "created_at", "id"),
    ),
    *(
        (
            "tasks",
            f"project_id_period_{column}",
            f"{IN_PROJECT} AND {column} IS NOT NULL",
            ("project_id", "period", column),
        )
        for column in ("due_at", "completed_at")
    ),
    ("task_tags", "project_id", IN_PROJECT, ("project_id", "tag", "created_at", "task_id")),
    (
        *("task_history", "project_id", IN_PROJECT),
        (
            *("project_id", "created_at", "id", "task_id", "status", "previous_status", "state"),
            *("previous_state", "previous_project_id", "task_created_at", "task_completed_at"),
        ),
    ),
    ("task_history", "previous_project_id", LEFT_PROJECT, ("previous_project_id", "task_id")),
)

# -- tables that triggers keep: the tags with their project, and on SQLite the titles of each project's tasks ------

TAGS = "task_tags (user_id, tag, created_at, task_id"
TAG_EDITS_ON_SQLITE = [
    (f"{TAGS})", f"{TAGS}, project_id)"),
    ("NEW.created_at, NEW.id FROM", "NEW.created_at, NEW.id, NEW.project_id FROM"),
]
TAG_CHANGE_ON_SQLITE = (
    "OLD.created_at <> NEW.created_at)",
    "OLD.created_at <> NEW.created_at OR OLD.project_id IS NOT NEW.project_id)",
)
TAG_EDITS_ON_POSTGRES = [
    (f"{TAGS})", f"{TAGS}, project_id)"),
    ("added.created_at, added.id\n", "added.created_at, added.id, added.project_id\n"),
]
_CHANGED = "({0}.tags, {0}.user_id, {0}.created_at"
TAG_CHANGES_ON_POSTGRES = (
    "{} IS DISTINCT FROM {}".format(*(_CHANGED.format(name) + ")" for name in ("added", "removed"))),
    "{} IS DISTINCT FROM {}".format(
        *(_CHANGED.format(n) + f", {n}.project_id)" for n in ("added", "removed"))
    ),
)
CHANGES = "task_search_changes (task_id, owner_id, indexed"
OLD_VALUES = "VALUES (OLD.id, OLD.user_id, OLD.title_folded"
SEARCH_EDITS = [
    (f"{CHANGES})", f"{CHANGES}, project_id)"),
    (f"{OLD_VALUES})", f"{OLD_VALUES}, OLD.project_id)"),
]
SEARCH_UPDATE_EDITS = [
    *SEARCH_EDITS,
    ("AFTER UPDATE OF title_folded, user_id ON", "AFTER UPDATE OF title_folded, user_id, project_id ON"),
    (
        "OR OLD.user_id <> NEW.user_id BEGIN",
        "OR OLD.user_id <> NEW.user_id OR OLD.project_id IS NOT NEW.project_id BEGIN",
    ),
]
TRIGGERS_ON_SQLITE = {
    "tasks_tag_insert": TAG_EDITS_ON_SQLITE,
    "tasks_tag_update": [*TAG_EDITS_ON_SQLITE, TAG_CHANGE_ON_SQLITE],
    "tasks_search_update": SEARCH_UPDATE_EDITS,
    "tasks_search_delete": SEARCH_EDITS,
}


def make_tables() -> None:
    """Make the new tables."""
    for name, make in {
        "projects": _make_projects,
        "project_members": _make_members,
        "project_states": _make_states,
        "task_comments": _make_comments,
    }.items():
        live.make_table(name, make)


def _make_projects() -> None:
    name = sa.String(100).with_variant(sa.String(100, collation="C"), "postgresql")
    op.create_table(
        "projects",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("name", name, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("archived_at", UtcDateTime),
        sa.Column("created_by", sa.BigInteger),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column("version", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
        sa.ForeignKeyConstraint(
            ["created_by"], ["users.id"], name="fk_projects_created_by_users", ondelete="SET NULL"
        ),
        sa.CheckConstraint("length(name) BETWEEN 1 AND 100 AND trim(name) <> ''", name="name"),
        sa.CheckConstraint("length(description) <= 65536", name="description_length"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_projects_created_by", "projects", ["created_by"])


def _make_members() -> None:
    op.create_table(
        "project_members",
        sa.Column("project_id", sa.BigInteger, nullable=False),
        sa.Column("user_id", sa.BigInteger, nullable=False),
        sa.Column("role", sa.String(10), nullable=False),
        sa.Column("added_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("project_id", "user_id", name="pk_project_members"),
        _cascade("project_members", "project_id", "projects"),
        _cascade("project_members", "user_id", "users"),
        sa.CheckConstraint("role IN ('viewer', 'member', 'manager')", name="role"),
    )
    op.create_index("ix_project_members_user_id", "project_members", ["user_id", "project_id", "role"])


def _make_states() -> None:
    op.create_table(
        "project_states",
        sa.Column("project_id", sa.BigInteger, nullable=False),
        sa.Column("key", sa.String(30), nullable=False),
        sa.Column("position", sa.SmallInteger, nullable=False),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("status", sa.String(11), nullable=False),
        sa.Column("wip_limit", sa.Integer),
        sa.Column("wip_policy", sa.String(10), nullable=False),
        sa.Column("waiting", sa.Boolean, nullable=False),
        sa.Column("removed_at", UtcDateTime),
        sa.PrimaryKeyConstraint("project_id", "key", name="pk_project_states"),
        _cascade("project_states", "project_id", "projects"),
        sa.CheckConstraint("status IN ('pending', 'in_progress', 'completed')", name="status"),
        sa.CheckConstraint("wip_policy IN ('warn', 'block')", name="wip_policy"),
        sa.CheckConstraint("wip_limit BETWEEN 1 AND 1000", name="wip_limit"),
    )


def _make_comments() -> None:
    op.create_table(
        "task_comments",
        sa.Column("id", RowId, sa.Identity(), primary_key=True),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("author_id", sa.BigInteger),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("edited_at", UtcDateTime),
        sa.PrimaryKeyConstraint("id", name="pk_task_comments"),
        _cascade("task_comments", "task_id", "tasks"),
        sa.ForeignKeyConstraint(
            ["author_id"], ["users.id"], name="fk_task_comments_author_id_users", ondelete="SET NULL"
        ),
        sa.CheckConstraint("length(text) BETWEEN 1 AND 10000", name="text_length"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_task_comments_task_id", "task_comments", ["task_id", "id"])
    op.create_index("ix_task_comments_author_id", "task_comments", ["author_id"])


def _cascade(table: str, column: str, referred: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{referred}.id"], name=f"fk_{table}_{column}_{referred}", ondelete="CASCADE"
    )


def upgrade() -> None:
    """Make the new tables, widen the present ones, and index the tasks in projects."""
    with live.steps():
        make_tables()
        for table, added in columns().items():
            live.add_columns(table, added)
        on_sqlite = op.get_bind().dialect.name == "sqlite"
        if on_sqlite:
            edit_sqlite_tables(ON_SQLITE)
            for statement in SEARCH_ON_SQLITE:
                op.execute(statement)
            for name, edits in TRIGGERS_ON_SQLITE.items():
                edit_sqlite_trigger(name, edits)
        else:
            _widen_on_postgres()
            edit_postgres_function("tasks_inserted", TAG_EDITS_ON_POSTGRES)
            edit_postgres_function("tasks_updated", [*TAG_EDITS_ON_POSTGRES, TAG_CHANGES_ON_POSTGRES])
        period = sa.text(PERIOD_ON_SQLITE if on_sqlite else PERIOD_ON_POSTGRES)
        for table, index, condition, names in INDEXES:
            where = sa.text(condition)
            keys: list[Any] = [period if name == "period" else name for name in names]
            partial = {"sqlite_where": where, "postgresql_where": where}
            live.create_index(f"ix_{table}_{index}", table, keys, **partial)
        if not on_sqlite and _has_trigrams():
            live.create_index(
                "ix_task_search_project",
                "tasks",
                ["project_id", sa.text("title_folded gin_trgm_ops")],
                postgresql_using="gin",
                postgresql_where=sa.text(IN_PROJECT),
            )


SEARCH_ON_SQLITE = (
    "CREATE VIRTUAL TABLE task_search_projects USING fts5("
    "title, content='', tokenize='trigram case_sensitive 1', detail=none, columnsize=0)",
    "ALTER TABLE task_search_changes ADD COLUMN project_id INTEGER",
)


def _has_trigrams() -> bool:
    """Whether the extensions for an index of trigrams were available."""
    found = sa.text(
        "SELECT 1 FROM pg_indexes WHERE schemaname = current_schema() AND indexname = 'ix_task_search'"
    )
    return op.get_bind().execute(found).first() is not None


def _widen_on_postgres() -> None:
    """Change types and constraints. A check is off while its column's type changes, or all rows would be checked."""
    changes = {
        ("tasks", "title"): lambda: op.alter_column("tasks", "title", type_=sa.String(500)),
        ("task_history", "kind"): _widen_history,
        ("notifications", "kind"): _widen_notifications,
    }
    for table, name, condition, _ in CHECKS:
        live.replace_check(table, name, condition, changes.get((table, name)))
    live.replace_check("tasks", "state", STATE)
    live.replace_check("tasks", "blocked", BLOCKED)
    live.briefly(_refer_to_projects)
    op.execute("ALTER TABLE tasks VALIDATE CONSTRAINT fk_tasks_project_id_projects")


def _widen_history() -> None:
    op.alter_column("task_history", "kind", type_=sa.String(20))
    op.alter_column("task_history", "task_id", existing_type=sa.BigInteger(), nullable=True)


def _widen_notifications() -> None:
    op.alter_column("notifications", "task_id", existing_type=sa.BigInteger(), nullable=True)
    op.alter_column("notifications", "task_title", type_=sa.String(500), nullable=True)


def _refer_to_projects() -> None:
    op.execute("ALTER TABLE tasks DROP CONSTRAINT IF EXISTS fk_tasks_project_id_projects")
    op.execute(f"ALTER TABLE tasks ADD {FOREIGN_KEY} NOT VALID")


def downgrade() -> None:
    """Undo the changes: projects are deleted, tasks stay with their owners, and texts that are too long are cut."""
    connection = op.get_bind()
    on_sqlite = connection.dialect.name == "sqlite"
    if not on_sqlite:
        op.execute("DROP INDEX IF EXISTS ix_task_search_project")
    for table, index, _, _ in INDEXES:
        op.drop_index(f"ix_{table}_{index}", table)
    op.execute(
        "UPDATE tasks SET project_id = NULL, state = NULL, blocked_at = NULL, blocked_reason = NULL"
        " WHERE project_id IS NOT NULL OR blocked_at IS NOT NULL"
    )
    _cut_texts(connection)
    for table in ("notifications", "notification_preferences"):
        op.execute(f"DELETE FROM {table} WHERE NOT {kinds(OLD_NOTIFICATION_KINDS)}")
    op.execute(f"DELETE FROM task_history WHERE NOT {kinds(OLD_HISTORY_KINDS)}")
    if on_sqlite:
        for name, edits in TRIGGERS_ON_SQLITE.items():
            edit_sqlite_trigger(name, back(edits))
        edit_sqlite_tables({name: back(edits) for name, edits in ON_SQLITE.items()})
        op.execute("DROP TABLE task_search_projects")
        op.execute("ALTER TABLE task_search_changes DROP COLUMN project_id")
    else:
        edit_postgres_function("tasks_inserted", back(TAG_EDITS_ON_POSTGRES))
        edit_postgres_function("tasks_updated", back([*TAG_EDITS_ON_POSTGRES, TAG_CHANGES_ON_POSTGRES]))
        _narrow_on_postgres()
    for table, added in columns().items():
        for column in added:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column.name}")
    for table in ("task_comments", "project_states", "project_members", "projects"):
        op.drop_table(table)


def _cut_texts(connection: sa.Connection) -> None:
    found = sa.text("SELECT id, title FROM tasks WHERE length(title) > 200")
    cut = sa.text("UPDATE tasks SET title = :title, title_folded = :folded WHERE id = :id")
    for row in connection.execute(found).all():
        # A title must not end up blank.
        title = row.title[:200] if row.title[:200].strip() else row.title.strip()[:200]
        connection.execute(cut, {"id": row.id, "title": title, "folded": fold(title)})
    op.execute(
        "UPDATE tasks SET description = substr(description, 1, 10000) WHERE length(description) > 10000"
    )
    op.execute(
        "UPDATE notifications SET task_title = substr(task_title, 1, 200) WHERE length(task_title) > 200"
    )


def _narrow_on_postgres() -> None:
    op.execute("ALTER TABLE tasks DROP CONSTRAINT fk_tasks_project_id_projects")
    for name in ("state", "blocked"):
        op.execute(f"ALTER TABLE tasks DROP CONSTRAINT ck_tasks_{name}")
    for table, name, _, condition in CHECKS:
        live.replace_check(table, name, condition)
    op.alter_column("tasks", "title", type_=sa.String(200))
    op.alter_column("task_history", "kind", type_=sa.String(14))
    op.alter_column("task_history", "task_id", existing_type=sa.BigInteger(), nullable=False)
    op.alter_column("notifications", "task_id", existing_type=sa.BigInteger(), nullable=False)
    op.alter_column("notifications", "task_title", type_=sa.String(200), nullable=False)
