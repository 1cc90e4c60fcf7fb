"""A faster trigger for the tags of many tasks on Postgres: its time grows with their number, not with its square.

A connection plans the statements of a trigger once, when it changes its first task. The plan for one task compared
each former task with each new one, so ten thousand tasks took more than a minute. The new comparison needs no join,
and unchanged tags cost nothing.
"""

from alembic import op

from migrations.rewriting import back, edit_postgres_function

revision: str = "0022"
down_revision: str | None = "0021"
branch_labels: str | None = None
depends_on: str | None = None

_FIELDS = "id, tags, user_id, created_at, project_id"
_OLD, _NEW = (
    "({})".format(", ".join(f"{rows}.{name}" for name in ("tags", "user_id", "created_at", "project_id")))
    for rows in ("removed", "added")
)
_JOINED = (
    f"removed ON removed.id = added.id WHERE task_tags.task_id = added.id AND {_NEW} IS DISTINCT FROM {_OLD};"
)
_CHANGED = f"(SELECT {_FIELDS} FROM added EXCEPT SELECT {_FIELDS} FROM removed)"
EDITS = [
    (
        f"DELETE FROM task_tags USING added JOIN {_JOINED}",
        f"IF EXISTS {_CHANGED} THEN\n"
        f"    DELETE FROM task_tags USING {_CHANGED} AS changed WHERE task_tags.task_id = changed.id;",
    ),
    (
        "SELECT DISTINCT added.user_id, tag, added.created_at, added.id, added.project_id\n"
        "        FROM added JOIN removed ON removed.id = added.id CROSS JOIN jsonb_array_elements_text(added.tags) AS tag"
        f" WHERE {_NEW} IS DISTINCT FROM {_OLD}\n"
        "        ON CONFLICT DO NOTHING;",
        "SELECT DISTINCT changed.user_id, tag, changed.created_at, changed.id, changed.project_id\n"
        f"        FROM {_CHANGED} AS changed CROSS JOIN jsonb_array_elements_text(changed.tags) AS tag\n"
        "        ON CONFLICT DO NOTHING;\n"
        "    END IF;",
    ),
]


def upgrade() -> None:
    """Replace the function. Its plans use the index of tags, even if they are made while there are few tags."""
    if op.get_bind().dialect.name == "postgresql":
        edit_postgres_function("tasks_updated", EDITS)
        op.execute("ALTER FUNCTION tasks_updated() SET enable_seqscan = off")


def downgrade() -> None:
    """Make the function as it was."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER FUNCTION tasks_updated() RESET enable_seqscan")
        edit_postgres_function("tasks_updated", back(EDITS))
