"""What the figures are computed from, read in bulk: an account's tasks, and every change of status or owner.

Kept in memory for the accounts asked about last, until any of their tasks changes.
"""

from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from models import STATUSES, owner_counts, task_history, tasks
from services.bulk_numbers import as_text, read_numbers
from services.flow import replay, selected
from services.flow.question import Selection
from services.flow.replay import NEVER, Events, Spells
from services.flow.selected import changes_hands
from services.flow.statistics import Integers
from storage.bounded_cache import BoundedCache

# How many spells are kept for all accounts together: about 40 bytes each.
MOST_KEPT = 1_000_000
MOST_CHOSEN_BYTES = 4 * 1024 * 1024
IDS_AT_ONCE = 500
# No time, shorter to write than NEVER: no task is completed in the last microsecond of 1969.
NONE = -1


@dataclass(frozen=True, slots=True)
class Record:
    """The tasks that are there now, sorted by id, in microseconds; and all spells, of those that have left too."""

    ids: Integers
    created: Integers
    completed: Integers  # NEVER while it is open
    started: Integers  # NEVER where it was not
    status: Integers
    spells: Spells


class _Microseconds(FunctionElement[int]):
    """A time as whole microseconds since 1970, computed by the database."""

    inherit_cache = True
    type = BigInteger()


@compiles(_Microseconds)
def _as_stored(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return str(compiler.process(element.clauses, **options))


@compiles(_Microseconds, "postgresql")
def _from_timestamp(element: Any, compiler: SQLCompiler, **options: Any) -> str:
    return f"CAST(EXTRACT(EPOCH FROM {compiler.process(element.clauses, **options)}) * 1000000 AS BIGINT)"


def _time(column: Any) -> ColumnElement[int]:
    return func.coalesce(_Microseconds(column), NONE)


def _code(column: Any) -> ColumnElement[int]:
    whens = [(column == name, number) for number, name in enumerate(STATUSES)]
    return case(*whens, else_=replay.GONE)


# -- tasks as they are -----------------------------------------------------------------------------


@cache
def _tasks(*, owned: bool) -> Select[Any]:
    statement = select(
        tasks.c.id,
        _time(tasks.c.created_at).label("created"),
        _time(tasks.c.completed_at).label("completed"),
        _code(tasks.c.status).label("status"),
    )
    return as_text(statement.where(tasks.c.user_id == bindparam("owner_id")) if owned else statement)


# -- changes ---------------------------------------------------------------------------------------

_owner, _previous = task_history.c.owner_id, task_history.c.previous_owner_id
_IS_CHANGE = or_(
    task_history.c.status.is_distinct_from(task_history.c.previous_status), _owner.is_distinct_from(_previous)
)
# Other rows tell of projects and members.
_IS_TASK = task_history.c.task_id.is_not(None)
# A task that is made or imported begins when it says; one with nothing before it is such a task.
_AT = func.coalesce(_Microseconds(task_history.c.task_created_at), _Microseconds(task_history.c.created_at))
_OWNER_ID = bindparam("owner_id", type_=BigInteger)


def _changes(mine: Any, *conditions: Any) -> Select[Any]:
    flags = mine * 2 + case((_previous.is_(None), 1), else_=0)
    return select(
        task_history.c.task_id,
        # Together with the number of the row: the fewer numbers, the quicker they are read.
        (task_history.c.id * 16 + _code(task_history.c.status) * 4 + flags).label("row"),
        _AT.label("at"),
        _time(task_history.c.task_completed_at).label("done"),
    ).where(_IS_TASK, _IS_CHANGE, *conditions)


_EVERY_CHANGE = as_text(_changes(case((_owner.is_(None), 0), else_=1)))
# Along an index each: while the account has the task, and when the task leaves it.
_OWN_CHANGES = as_text(_changes(literal(1, BigInteger), _owner == _OWNER_ID))
_LEAVING = as_text(_changes(literal(0, BigInteger), _previous == _OWNER_ID, changes_hands(task_history.c)))
# What happened to tasks that others had before.
_OTHERS_CHANGES = as_text(
    _changes(
        literal(0, BigInteger),
        _owner.is_distinct_from(_OWNER_ID),
        _previous.is_distinct_from(_OWNER_ID),
        task_history.c.task_id.in_(bindparam("ids", expanding=True)),
    )
)

_VERSION = select(func.coalesce(func.sum(owner_counts.c.version), 0))
_OWNER_VERSION = _VERSION.where(owner_counts.c.user_id == bindparam("owner_id"))
_LAST_CHANGE = select(func.coalesce(func.max(task_history.c.id), 0))


def _read_tasks(db: Session, selection: Selection) -> Integers:
    statement = _tasks(owned=selection.owner_id is not None)
    found = read_numbers(db, statement, {"owner_id": selection.owner_id}, 4)
    found[2][found[2] == NONE] = NEVER
    return found[:, np.argsort(found[0])]


def _read_changes(db: Session, selection: Selection) -> Integers:
    if selection.owner_id is None:
        return read_numbers(db, _EVERY_CHANGE, {}, 4)
    owner = {"owner_id": selection.owner_id}
    parts = [read_numbers(db, statement, owner, 4) for statement in (_OWN_CHANGES, _LEAVING)]
    own = np.concatenate(parts, axis=1)
    began_here = own[0][own[1] & 1 == 1]
    came = sorted(set(own[0][~np.isin(own[0], began_here)].tolist()))
    for place in range(0, len(came), IDS_AT_ONCE):
        some = owner | {"ids": came[place : place + IDS_AT_ONCE]}
        parts.append(read_numbers(db, _OTHERS_CHANGES, some, 4))
    return np.concatenate(parts, axis=1)


def _read(db: Session, selection: Selection) -> Record:
    ids, created, completed, status = _read_tasks(db, selection)
    task, row, at, done = _read_changes(db, selection)
    done[done == NONE] = NEVER
    # What a program wrote past the API has no history: it counts as if it had been imported.
    unknown = ~np.isin(ids, task)
    mine = np.concatenate((row & 2 == 2, np.ones(int(unknown.sum()), bool)))
    events = Events(
        np.concatenate((task, ids[unknown])),
        np.concatenate((row, np.zeros_like(ids[unknown]))),
        np.concatenate((at, created[unknown])),
        np.concatenate((row >> 2 & 3, status[unknown])),
        mine,
        np.concatenate((done, completed[unknown])),
    )
    spells = replay.replay(events)
    return Record(ids, created, completed, replay.first_started(spells, ids), status, spells)


class _Chosen(NamedTuple):
    """Which tasks of a record some filters choose: a bit for each task, and the ids of those that have left."""

    bits: NDArray[np.uint8]
    left: Integers


# An empty record takes room too.
kept: BoundedCache[Selection, Record] = BoundedCache(MOST_KEPT, lambda record: 1000 + len(record.spells.task))
chosen: BoundedCache[Selection, _Chosen] = BoundedCache(
    MOST_CHOSEN_BYTES, lambda each: 1000 + each.bits.nbytes + each.left.nbytes
)


def clear() -> None:
    """Forget all that is kept."""
    kept.clear()
    chosen.clear()


def _version(db: Session, selection: Selection) -> tuple[int, ...]:
    if selection.owner_id is not None:
        return (int(db.execute(_OWNER_VERSION, {"owner_id": selection.owner_id}).scalar_one()),)
    # Accounts may go, and their counts with them: the history only ever grows.
    return int(db.execute(_VERSION).scalar_one()), int(db.execute(_LAST_CHANGE).scalar_one())


def read(db: Session, selection: Selection) -> Record:
    """The tasks and their history, as they are now."""
    # The version is read first: what changes in between makes the record newer than it, never older.
    version, everything = _version(db, selection), selection.unfiltered()
    record = kept.get(everything, version)
    if record is None:
        record = _read(db, everything)
        kept.put(everything, record, version)
    if selection == everything:
        return record
    these = chosen.get(selection, version)
    if these is None:
        bits = np.packbits(np.isin(record.ids, selected.ids(db, selection)))
        these = _Chosen(bits, selected.left(db, selection))
        chosen.put(selection, these, version)
    return _part(record, these)


def _part(record: Record, these: _Chosen) -> Record:
    """The record of the chosen tasks."""
    there = np.unpackbits(these.bits, count=len(record.ids)).astype(bool)
    ids = record.ids[there]
    return Record(
        ids,
        record.created[there],
        record.completed[there],
        record.started[there],
        record.status[there],
        record.spells.of(np.isin(record.spells.task, np.concatenate((ids, these.left)))),
    )
