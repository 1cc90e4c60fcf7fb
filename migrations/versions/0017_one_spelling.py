"""Tags and projects in the one spelling that is kept from now on: NFC, no white space around them, each tag once.

The history stays as it is, because nobody changed these tasks.
"""

import unicodedata
from functools import partial
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

from migrations import live

revision: str = "0017"
down_revision: str | None = "0016"
branch_labels: str | None = None
depends_on: str | None = None

CHUNK = 5000
_tasks = sa.table(
    "tasks",
    sa.column("id", sa.BigInteger),
    sa.column("project", sa.String),
    sa.column("tags", sa.JSON().with_variant(JSONB(), "postgresql")),
    sa.column("version", sa.BigInteger),
)
_CHUNK = (
    sa.select(_tasks.c.id, _tasks.c.project, _tasks.c.tags, _tasks.c.version)
    .where(_tasks.c.id > sa.bindparam("after_id"))
    .order_by(_tasks.c.id)
    .limit(CHUNK)
)
_CHANGE = (
    sa.update(_tasks)
    # A task that somebody changes meanwhile stays as it is.
    .where(_tasks.c.id == sa.bindparam("task_id"), _tasks.c.version == sa.bindparam("old_version"))
    .values(project=sa.bindparam("new_project"), tags=sa.bindparam("new_tags"), version=_tasks.c.version + 1)
)


def _tidy(name: str, longest: int) -> str:
    tidy = unicodedata.normalize("NFC", name.strip())
    # A few letters become two in NFC. A name that would become too long stays as it is.
    return tidy if 0 < len(tidy) <= longest else name


def upgrade() -> None:
    """Rewrite the few tasks that differ, and count their versions on."""
    connection = op.get_bind()
    after_id = -1
    with live.steps():
        while rows := connection.execute(_CHUNK, {"after_id": after_id}).all():
            after_id = rows[-1].id
            changed: list[dict[str, Any]] = []
            for row in rows:
                project = _tidy(row.project, 100)
                tags = list(dict.fromkeys(_tidy(tag, 50) for tag in row.tags))
                if project != row.project or tags != row.tags:
                    of_row = {"task_id": row.id, "old_version": row.version}
                    changed.append({**of_row, "new_project": project, "new_tags": tags})
            if changed:
                live.briefly(partial(connection.execute, _CHANGE, changed))


def downgrade() -> None:
    """Leave the tasks as they are, because earlier versions accept this spelling."""
