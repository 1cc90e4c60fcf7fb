"""Turning a row of the history into an event for programs."""

from collections.abc import Iterable
from functools import cache, lru_cache
from typing import Any, get_args

import orjson
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


@cache
def _type_and_subject(kind: str) -> tuple[str, str | None]:
    about = kind.partition("_")[0]
    return type_of(kind), about if about in SUBJECTS else None


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
    """The event of a row of the history, which begins with `COLUMNS`; `task` is the task if the row has no copy of it."""
    # Each name of a row is looked up again, which took half of the time for a page.
    (
        id_,
        kind,
        created_at,
        actor_id,
        request_id,
        task_id,
        project_id,
        previous_project_id,
        changes,
        copy,
        subject,
    ) = row[: len(COLUMNS)]
    data: dict[str, Any] = {
        "task_id": task_id,
        # A deleted task is in no project any more, so the event names the previous project.
        "project_id": previous_project_id if kind == "deleted" else project_id,
        "changes": changes,
        "task": copy or task,
    }
    type_, about = _type_and_subject(kind)
    if about is not None:
        data[about] = subject
    return {
        "id": event_id.encode(id_),
        "type": type_,
        "timestamp": created_at,
        "actor_id": actor_id,
        "request_id": request_id,
        "data": data,
    }


def as_json(events: Any) -> bytes:
    """An event, or several, as JSON: in a third of the time that Pydantic takes, and as the same bytes."""
    return orjson.dumps(events, option=orjson.OPT_UTC_Z)
