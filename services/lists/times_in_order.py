"""Bounds of lists that follow from the order of a task's times: a task is made, perhaps completed, and changed last.

Only imports and other programs can make tasks whose times are out of this order. An index that is usually empty tells
whether an account, or a member of a project, has such tasks. If there are none, a task that was changed before a time
was made before it too.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from models import OUT_OF_ORDER, tasks
from schemas.tasks import TaskFilters
from services.query.shapes import Place
from services.rights import parameter_of
from storage.prepared import prepared
from tables.projects import project_members

# The order of a list and a range, and the bound that the range implies: see `statements.BOUNDS`.
_IMPLIED = {
    ("created_at", "updated_before"): "most_created_at",
    ("updated_at", "created_after"): "least_updated_at",
    ("updated_at", "completed_after"): "least_updated_at",
    ("completed_at", "created_after"): "least_completed_at",
    ("completed_at", "updated_before"): "most_completed_at",
}


def _out_of_order(owner_id: Any) -> Select[Any]:
    """A task of the owner whose times are out of order.

    Without the order of the list Postgres would read other tasks, because it expects to meet such a task soon.
    """
    mine = select(tasks.c.id).where(tasks.c.user_id == owner_id, text(f"({OUT_OF_ORDER})"))
    return mine.order_by(tasks.c.version).limit(1)


# Members own all tasks of a project.
_of_member = _out_of_order(project_members.c.user_id).correlate(project_members).scalar_subquery()
_ANY_OUT_OF_ORDER = {
    "owner": prepared(_out_of_order(parameter_of("owner"))),
    "project": prepared(
        select(project_members.c.user_id)
        .where(project_members.c.project_id == parameter_of("project"), _of_member.is_not(None))
        .limit(1)
    ),
}


def bounds(
    db: Session, place: Place, ranges: Mapping[str, datetime], filters: TaskFilters
) -> dict[str, datetime]:
    """The bounds that these ranges imply in the order of the list; a page behind a row needs none."""
    found: dict[str, datetime] = {}
    for name, value in ranges.items():
        bound = _IMPLIED.get((filters.sort_by, name))
        if bound is not None and filters.cursor is None:
            nearest = max if bound.startswith("least") else min
            found[bound] = nearest(value, found.get(bound, value))
    if found and db.execute(_ANY_OUT_OF_ORDER[place.scope], place._asdict()).first() is not None:
        return {}
    return found
