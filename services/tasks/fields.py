"""A task's fields, in the order of its answers: one table from which history, changes, import and export derive.

A new field is a line here, a column, a line in the schemas, and for an existing database a migration; a test
changes every field and looks for it in the history, the export and the import.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, func

from models import tasks
from storage.folding import fold, folded_where_different


class Field(NamedTuple):
    """What may be done with a field of a task."""

    name: str
    # The kind of history that tells of a change of it; none for what no history tells of.
    changed: str | None
    # Whether `null` in a change takes it away, instead of leaving it as it is.
    is_clearable: bool = False
    # Whether a change may send it only with the value it has.
    is_read_only: bool = False
    # Whether an import uses it; the others it takes and does not use, so that an export can be read.
    is_imported: bool = True
    # Whether people wrote it: it is taken out of the history with the account that wrote it.
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
# What a plain `updated` tells of.
PLAIN = tuple(field.name for field in FIELDS if field.changed == "updated")
STATUS = tuple(field.name for field in FIELDS if field.changed == "status_changed")
BLOCKED = tuple(field.name for field in FIELDS if field.changed == "blocked")
READ_ONLY = frozenset(field.name for field in FIELDS if field.is_read_only)
CLEARABLE = frozenset(field.name for field in FIELDS if field.is_clearable)
TEXTS = frozenset(field.name for field in FIELDS if field.is_text)
# What an import takes as it is; the other fields are taken so that an export can be read.
IMPORTED = tuple(field.name for field in FIELDS if field.is_imported)


def derived(values: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that are made of the texts among these values: what tasks are searched and sorted by.

    Whatever writes a title or a description writes these with it.
    """
    columns: dict[str, Any] = {}
    if "title" in values:
        columns["title_folded"] = fold(values["title"])
    if "description" in values:
        columns["description_folded"] = folded_where_different(values["description"])
    return columns


def _column(name: str) -> ColumnElement[Any]:
    # A private task has no state of its own: its status stands for it.
    return func.coalesce(tasks.c.state, tasks.c.status).label("state") if name == "state" else tasks.c[name]


# The fields of a task as it is read, then its version.
TASK_COLUMNS: tuple[ColumnElement[Any], ...] = (*(_column(name) for name in NAMES), tasks.c.version)
