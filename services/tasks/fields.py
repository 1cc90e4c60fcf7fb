"""A task's fields in the order of answers: the table from which history, changes, import and export derive.

A new field takes a line here, a column, a line in the schemas, and a migration of existing databases. A test
changes every field, and looks for it in the history, the export and the import.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Integer, func

from models import tasks
from storage.folding import fold, folded_where_different


class Field(NamedTuple):
    """A field of a task, and how changes, history, import and export treat it."""

    name: str
    # The kind of history row that records a change of the field; None if history does not record it.
    changed: str | None
    # Whether `null` in a change clears the field, instead of leaving it unchanged.
    is_clearable: bool = False
    # Whether a change may send the field only with its present value.
    is_read_only: bool = False
    # Whether an import uses the field. An import accepts and ignores the others, so that it can read an
    # export.
    is_imported: bool = True
    # Whether people write the field: deleting their account removes it from the history.
    is_text: bool = False


FIELDS = (
    Field("id", None, is_read_only=True, is_imported=False),
    Field("title", "updated", is_text=True),
    Field("description", "updated", is_clearable=True, is_text=True),
    Field("status", "status_changed"),
    Field("state", "status_changed"),
    Field("priority", "updated"),
    Field("project", "updated", is_text=True),
    Field("project_id", "moved", is_clearable=True, is_imported=False),
    Field("tags", "updated", is_text=True),
    Field("due_at", "updated", is_clearable=True),
    Field("blocked_at", "blocked", is_read_only=True),
    Field("blocked_reason", "blocked", is_read_only=True, is_text=True),
    Field("created_at", None, is_read_only=True),
    Field("updated_at", None, is_read_only=True),
    Field("completed_at", "status_changed", is_read_only=True),
    Field("user_id", "assigned", is_read_only=True, is_imported=False),
)

NAMES = tuple(field.name for field in FIELDS)
IN_HISTORY = tuple(field.name for field in FIELDS if field.changed)
# The fields whose changes a plain `updated` records.
PLAIN = tuple(field.name for field in FIELDS if field.changed == "updated")
STATUS = tuple(field.name for field in FIELDS if field.changed == "status_changed")
BLOCKED = tuple(field.name for field in FIELDS if field.changed == "blocked")
READ_ONLY = frozenset(field.name for field in FIELDS if field.is_read_only)
CLEARABLE = frozenset(field.name for field in FIELDS if field.is_clearable)
TEXTS = frozenset(field.name for field in FIELDS if field.is_text)
# The fields that are whole numbers: an import of CSV reads them from text.
NUMBERS = frozenset(name for name in NAMES if isinstance(tasks.c[name].type, Integer))
# The fields that an import uses.
IMPORTED = tuple(field.name for field in FIELDS if field.is_imported)


def derived(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns for searching and sorting that derive from the texts among these values.

    All code that writes a title or a description writes these columns with it.
    """
    columns: dict[str, Any] = {}
    if "title" in values:
        columns["title_folded"] = fold(values["title"])
    if "description" in values:
        columns["description_folded"] = folded_where_different(values["description"])
    return columns


def _column(name: str) -> ColumnElement[Any]:
    # The state of a private task is its status, and its column is NULL.
    return func.coalesce(tasks.c.state, tasks.c.status).label("state") if name == "state" else tasks.c[name]


# The columns of a task as reads select them: its fields, then its version.
TASK_COLUMNS: tuple[ColumnElement[Any], ...] = (*(_column(name) for name in NAMES), tasks.c.version)
