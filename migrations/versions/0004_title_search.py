"""An index of the titles' trigrams, for finding a text among many tasks."""

import sqlalchemy as sa
from alembic import op

revision: str = "0004"
down_revision: str | None = "0003"
branch_labels: str | None = None
depends_on: str | None = None

# The index is brought up to date in the background: adding a title to it costs as much as the task itself,
# but only a tenth of that if a thousand are added at once. Until then searches look at all new titles.
ON_SQLITE = (
    "CREATE VIRTUAL TABLE task_search USING fts5("
    "title, content='', tokenize='trigram case_sensitive 1', detail=none, columnsize=0)",
    "INSERT INTO task_search (rowid, title) SELECT id, title_folded FROM tasks",
    # `indexed` is the title in the index, which needs the title to forget it; NULL for a new task.
    "CREATE TABLE task_search_pending (task_id INTEGER PRIMARY KEY, indexed TEXT)",
    "CREATE TRIGGER tasks_search_insert AFTER INSERT ON tasks BEGIN"
    " INSERT OR IGNORE INTO task_search_pending (task_id) VALUES (NEW.id); END",
    "CREATE TRIGGER tasks_search_update AFTER UPDATE OF title_folded ON tasks"
    " WHEN OLD.title_folded <> NEW.title_folded BEGIN"
    " INSERT OR IGNORE INTO task_search_pending (task_id, indexed) VALUES (OLD.id, OLD.title_folded); END",
    "CREATE TRIGGER tasks_search_delete AFTER DELETE ON tasks BEGIN"
    " INSERT OR IGNORE INTO task_search_pending (task_id, indexed) VALUES (OLD.id, OLD.title_folded); END",
)
TRIGGERS = ("tasks_search_insert", "tasks_search_update", "tasks_search_delete")


def upgrade() -> None:
    """Index the present titles; on Postgres only if the two extensions are available."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for statement in ON_SQLITE:
            connection.exec_driver_sql(statement)
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS btree_gin"))
    except sa.exc.DBAPIError:
        return  # Without the extensions a search goes through the owner's tasks.
    connection.execute(
        sa.text("CREATE INDEX ix_task_search ON tasks USING gin (user_id, title_folded gin_trgm_ops)")
    )


def downgrade() -> None:
    """Drop the index; the extensions may have other users."""
    connection = op.get_bind()
    if connection.dialect.name == "sqlite":
        for trigger in TRIGGERS:
            connection.exec_driver_sql(f"DROP TRIGGER {trigger}")
        connection.exec_driver_sql("DROP TABLE task_search_pending")
        connection.exec_driver_sql("DROP TABLE task_search")
    else:
        connection.execute(sa.text("DROP INDEX IF EXISTS ix_task_search"))
