"""Folds descriptions that the previous version has written since the migration, because filters search the folded form.

On Postgres the previous version goes on writing while the migration runs, and until it is replaced. It does not know
the column of the folded form. Its rows of history are recognised by having no request.
"""

from typing import Any

from sqlalchemy import bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from database import database
from models import tasks
from services.events.follow import follow
from services.events.watermark import watermark
from storage.folding import folded_where_different
from tables.history import task_history

_WRITTEN = (
    select(tasks.c.id, tasks.c.description, tasks.c.description_folded)
    .where(
        tasks.c.id.in_(
            select(task_history.c.task_id).where(
                task_history.c.id > bindparam("after"),
                task_history.c.id <= bindparam("until"),
                task_history.c.request_id.is_(None),
            )
        ),
        # A text of ASCII takes one byte for each character, and needs no folded form.
        or_(
            func.octet_length(tasks.c.description) != func.length(tasks.c.description),
            tasks.c.description_folded.is_not(None),
        ),
    )
    .order_by(tasks.c.id)
)
_FOLD = (
    update(tasks)
    .where(tasks.c.id == bindparam("of_task"), tasks.c.description.is_not_distinct_from(bindparam("as_read")))
    .values(description_folded=bindparam("folded"))
)


def fold_late_descriptions() -> None:
    """Fold the descriptions that the previous version has written, if it may have written beside this one."""
    if not database.is_sqlite:
        follow("descriptions", watermark.look, _fold)


def _fold(db: Session, rows: dict[str, int]) -> None:
    late: list[dict[str, Any]] = []
    for task in db.execute(_WRITTEN, rows).all():
        folded = folded_where_different(task.description)
        if folded != task.description_folded:
            late.append({"of_task": task.id, "as_read": task.description, "folded": folded})
    if late:
        db.execute(_FOLD, late)
