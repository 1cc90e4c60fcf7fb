"""Bounds of lists that follow from the order of a task's times: it is made, perhaps completed, and changed last.

Only imports and other programs can make tasks whose times are out of this order. Indexes that are usually empty tell
whether an account or a project has any. If it has none, tasks that were changed before a time were made before it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from sqlalchemy import bindparam, select, text
from sqlalchemy.orm import Session

from models import OUT_OF_ORDER, tasks
from schemas.tasks import TaskFilters
from storage.prepared import prepared

# The order of a list and a range, and the bound that the range implies: see `list_statements.BOUNDS`.
_IMPLIED = {
    ("created_at", "updated_before"): "implied_made_before",
    ("updated_at", "created_after"): "implied_changed_after",
    ("updated_at", "completed_after"): "implied_changed_after",
}
# Without the order Postgres would read other tasks, because it expects to meet one of these soon.
_out_of_order = select(tasks.c.id).where(text(f"({OUT_OF_ORDER})")).order_by(tasks.c.version).limit(1)
_ANY_OUT_OF_ORDER = {
    "owner": prepared(_out_of_order.where(tasks.c.user_id == bindparam("id"))),
    "project": prepared(_out_of_order.where(tasks.c.project_id == bindparam("id"))),
}


def bounds(
    db: Session,
    scope: Literal["owner", "project"],
    place_id: int,
    ranges: Mapping[str, datetime],
    filters: TaskFilters,
) -> dict[str, datetime]:
    """The bounds that these ranges imply in the order of the list; a page behind a row needs none."""
    found: dict[str, datetime] = {}
    for name, value in ranges.items():
        bound = _IMPLIED.get((filters.sort_by, name))
        if bound is not None and filters.cursor is None:
            nearest = max if bound.endswith("after") else min
            found[bound] = nearest(value, found.get(bound, value))
    if found and db.execute(_ANY_OUT_OF_ORDER[scope], {"id": place_id}).first() is not None:
        return {}
    return found
