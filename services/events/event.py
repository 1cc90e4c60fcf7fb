"""Turning a row of the history into an event for programs."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, get_args

from sqlalchemy import Row

from schemas.events import EventType
from services.events import event_id
from tables.history import task_history

COLUMNS = tuple(
    task_history.c[name]
    for name in (
        "id",
        "kind",
        "created_at",
        "actor_id",
        "request_id",
        "task_id",
        "project_id",
        "previous_project_id",
        "changes",
        "snapshot",
        "subject",
    )
)
# The subjects of events besides tasks; each is also the field of `data` that holds the subject.
SUBJECTS = ("comment", "project", "member")
TYPES: tuple[str, ...] = get_args(EventType)


def type_of(kind: str) -> str:
    """The type of an event, by the kind of its row."""
    about, _, what = kind.partition("_")
    return f"{about}.{what}" if about in SUBJECTS else f"task.{kind}"


KINDS = {
    type_: type_.partition(".")[2] if type_.startswith("task.") else type_.replace(".", "_")
    for type_ in TYPES
}


@lru_cache(maxsize=256)
def _kinds(patterns: tuple[str, ...]) -> frozenset[str]:
    return frozenset(
        kind
        for type_, kind in KINDS.items()
        if any(each in (type_, "*", f"{type_.partition('.')[0]}.*") for each in patterns)
    )


def kinds_of(patterns: Iterable[str]) -> frozenset[str]:
    """The kinds of rows that these types stand for; `task.*` and `*` are allowed."""
    return _kinds(tuple(patterns))


def event_of(row: Row[Any], task: dict[str, Any] | None) -> dict[str, Any]:
    """The event of a row of the history; `task` is the task if the row has no copy of it."""
    # A deleted task is in no project any more, so the event names the previous project.
    project_id = row.previous_project_id if row.kind == "deleted" else row.project_id
    data: dict[str, Any] = {
        "task_id": row.task_id,
        "project_id": project_id,
        "changes": row.changes,
        "task": row.snapshot or task,
    }
    about = row.kind.partition("_")[0]
    if about in SUBJECTS:
        data[about] = row.subject
    return {
        "id": event_id.encode(row.id),
        "type": type_of(row.kind),
        "timestamp": row.created_at,
        "actor_id": row.actor_id,
        "request_id": row.request_id,
        "data": data,
    }
