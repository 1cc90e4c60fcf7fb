"""The workflow of a project: its states, choosing the state of a task, and the limits of states."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, invalid_at, invalid_input, pointer_part
from models import STATUSES, Caller, tasks
from services.tasks import many, writes
from storage.column_types import is_among
from storage.prepared import prepared
from tables.projects import project_states


class StateOf(NamedTuple):
    """A state, with the fields that the rules below need."""

    key: str
    name: str
    status: str
    wip_limit: int | None
    wip_policy: str
    waiting: bool


_NAMES = {"pending": "To do", "in_progress": "In progress", "completed": "Done"}
# The default workflow of a project, and the workflow of private tasks.
DEFAULT = tuple(StateOf(status, _NAMES[status], status, None, "warn", waiting=False) for status in STATUSES)
COLUMNS = tuple(project_states.c[name] for name in StateOf._fields)

_STATES = prepared(
    select(*COLUMNS)
    .where(project_states.c.project_id == bindparam("project_id"), project_states.c.removed_at.is_(None))
    .order_by(project_states.c.position)
)
_STATES_OF_MANY = prepared(
    select(project_states.c.project_id, *COLUMNS)
    .where(
        is_among(project_states.c.project_id, "project_ids"),
        project_states.c.removed_at.is_(None),
    )
    .order_by(project_states.c.project_id, project_states.c.position)
)
_EVER = prepared(
    select(*COLUMNS, project_states.c.removed_at)
    .where(project_states.c.project_id == bindparam("project_id"))
    .order_by(project_states.c.removed_at.is_not(None), project_states.c.position, project_states.c.key)
)
_LOCK = prepared(
    select(project_states.c.key)
    .where(project_states.c.project_id == bindparam("project_id"), project_states.c.key == bindparam("key"))
    .with_for_update()
)
_IN_STATE = tasks.c.project_id == bindparam("project_id"), tasks.c.state == bindparam("key")
_COUNT = prepared(select(func.count()).select_from(tasks).where(*_IN_STATE))
_ANY = prepared(select(tasks.c.id).where(*_IN_STATE).limit(1))


def states_of(db: Session, project_id: int | None) -> Sequence[Any]:
    """The states of a project in their order; without a project, the states of private tasks."""
    if project_id is None:
        return DEFAULT
    return db.execute(_STATES, {"project_id": project_id}).all()


def states_of_many(db: Session, project_ids: Collection[int]) -> dict[int, list[StateOf]]:
    """The states of several projects, in their order."""
    found: dict[int, list[StateOf]] = {}
    for project_id, *state in db.execute(_STATES_OF_MANY, {"project_ids": list(project_ids)}):
        found.setdefault(project_id, []).append(StateOf(*state))
    return found


def ever(db: Session, project_id: int) -> list[AnyRow]:
    """The states of a project in their order, then the removed states."""
    return list(db.execute(_EVER, {"project_id": project_id}).all())


def first_with(states: Sequence[Any], status: str) -> Any:
    """The first state that has the status."""
    return next(state for state in states if state.status == status)


def wanted(states: Sequence[Any], key: str | None, status: str | None, now_in: Any = None) -> Any:
    """The state of a task after a change, by the state and the status that are sent, if any.

    `now_in` is the task's present state. Raises InvalidInput for a state that is unknown, or has another
    status.
    """
    if key is not None:
        found = next((state for state in states if state.key == key), None)
        if found is None:
            allowed = ", ".join(state.key for state in states)
            raise invalid_at("#/state", f"There is no such state; allowed: {allowed}")
        if status is not None and status != found.status:
            raise invalid_at(
                "#/status", f"The state {key} has the status {found.status}: send one of the two"
            )
        return found
    if now_in is not None and status in (None, now_in.status):
        return now_in
    return first_with(states, status or "pending")


def enter(db: Session, project_id: int, state: Any) -> None:
    """Reserve room for one more task in a state until the commit; raises Conflict if the state is full.

    The state's row is locked before the tasks are counted, so that two tasks at once can't both take the last
    place.
    """
    if state.wip_limit is None or state.wip_policy != "block":
        return
    writes.write_first(db)
    asked = {"project_id": project_id, "key": state.key}
    db.execute(_LOCK, asked)
    count: int = db.execute(_COUNT, asked).scalar_one()
    if count >= state.wip_limit:
        limit = "1 task" if state.wip_limit == 1 else f"{state.wip_limit} tasks"
        raise Conflict(
            f"The state {state.name} ({state.key}) has a limit of {limit}, and holds {count}",
            code="wip_limit_reached",
        )


# -- changing the workflow -------------------------------------------------------------------------


def make(db: Session, project_id: int, states: Sequence[Mapping[str, Any]] | None) -> None:
    """Give a new project its states."""
    rows = [state._asdict() for state in DEFAULT] if states is None else [dict(state) for state in states]
    _insert(db, project_id, rows)


def _insert(db: Session, project_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    values = [
        {**row, "project_id": project_id, "position": place, "removed_at": None}
        for place, row in enumerate(rows)
    ]
    db.execute(insert(project_states), values)


def replace(
    db: Session,
    actor: Caller,
    now: datetime,
    project_id: int,
    states: Sequence[Mapping[str, Any]],
    replaced: Mapping[str, str],
) -> set[int]:
    """Replace the states of a project whose settings are locked; `replaced` maps removed ones to successors.

    The tasks of a replaced state move to its successor. Returns their owners. Raises InvalidInput, and Conflict for
    a state with tasks that is removed without a successor, or that gets another status.
    """
    before = {state.key: state for state in states_of(db, project_id)}
    after = {state["key"]: StateOf(**state) for state in states}
    gone = [key for key in before if key not in after]
    _check_replaced(replaced, gone, after)
    for key, state in before.items():
        if key not in after and key not in replaced:
            way_out = "say in `replaced_states` where they go"
        elif key in after and after[key].status != state.status:
            way_out = "its status can't change, so replace it by another state"
        else:
            continue
        if db.execute(_ANY, {"project_id": project_id, "key": key}).first() is not None:
            raise Conflict(f"Tasks are in the state {key}: {way_out}", code="state_in_use")
    owners: set[int] = set()
    for key in gone:
        if key in replaced:
            owners |= _move(db, actor, now, project_id, before[key], after[replaced[key]])
    _write(db, now, project_id, states, gone)
    return owners


def _check_replaced(replaced: Mapping[str, str], gone: Sequence[str], after: Mapping[str, Any]) -> None:
    problems = []
    for old, new in replaced.items():
        pointer = f"#/replaced_states/{pointer_part(old)}"
        if old not in gone:
            problems.append({"pointer": pointer, "detail": "No state with this key is taken out"})
        elif new not in after:
            problems.append({"pointer": pointer, "detail": "No new state has the key that replaces it"})
    if problems:
        raise invalid_input(problems)


def _move(db: Session, actor: Caller, now: datetime, project_id: int, old: Any, new: Any) -> set[int]:
    """Move the tasks of a state to another; returns their owners. The owner of a task that this completes is notified."""
    changes, kind = {"state": new.key}, "state_changed"
    if new.status != old.status:
        changes, kind = {**changes, "status": new.status}, "status_changed"
    owners: set[int] = set()
    for rows in many.in_chunks(db, tasks.c.project_id == project_id, tasks.c.state == old.key):
        moved = many.change_many(db, actor, now, rows, changes, kind)
        owners.update(task.user_id for task in moved)
        if changes.get("status") == "completed":
            many.notify_many(db, actor, now, "completed", moved)
    return owners


def _write(
    db: Session, now: datetime, project_id: int, states: Sequence[Mapping[str, Any]], gone: Sequence[str]
) -> None:
    here = project_states.c.project_id == project_id
    if gone:
        # Figures of the past still show removed states.
        db.execute(update(project_states).where(here, project_states.c.key.in_(gone)).values(removed_at=now))
    db.execute(delete(project_states).where(here, project_states.c.key.in_([each["key"] for each in states])))
    _insert(db, project_id, states)
