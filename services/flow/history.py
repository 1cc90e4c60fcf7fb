"""Reading the record for the figures in bulk: an account's tasks, and every change of status or owner.

Records of the accounts and projects that were asked about last stay in memory. After a few changes only the changed
tasks are read again.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Select,
    bindparam,
    case,
    func,
    literal,
    or_,
    select,
)
from sqlalchemy.orm import Session

from models import tasks
from services.bulk_numbers import Integers, Moment, in_bulk, read_numbers
from services.events.event_id import newest_row
from services.flow import changed, project_history, selected
from services.flow.question import Selection
from services.flow.record import (
    IDS_AT_ONCE,
    Record,
    assembled,
    code_of,
    columns_of_change,
    status_of,
    tasks_that_came,
    that_concern,
)
from services.flow.selected import changes_hands
from services.rights import unindexed
from storage.bounded_cache import BoundedCache
from storage.column_types import is_among
from storage.direct_session import one_snapshot
from tables.counts import owner_counts
from tables.history import task_history

# The most spells in memory for all accounts together: each takes about 40 bytes.
MOST_KEPT = 1_000_000
MOST_CHOSEN_BYTES = 4 * 1024 * 1024


# -- present tasks ---------------------------------------------------------------------------------


@cache
def _tasks(*, owned: bool, by_id: bool = False) -> Select[Any]:
    statement = select(
        tasks.c.id,
        Moment(tasks.c.created_at).label("created"),
        Moment(tasks.c.completed_at).label("completed"),
        code_of(tasks.c.status).label("status"),
    )
    if owned:
        owner_id = unindexed(tasks.c.user_id) if by_id else tasks.c.user_id
        statement = statement.where(owner_id == bindparam("owner_id"))
    return in_bulk(statement.where(is_among(tasks.c.id, "ids")) if by_id else statement)


# -- changes ---------------------------------------------------------------------------------------

_owner, _previous = task_history.c.owner_id, task_history.c.previous_owner_id
_IS_CHANGE = or_(
    task_history.c.status.is_distinct_from(task_history.c.previous_status), _owner.is_distinct_from(_previous)
)
# Other rows are about projects and members.
_IS_TASK = task_history.c.task_id.is_not(None)
_OWNER_ID = bindparam("owner_id", type_=BigInteger)


def _changes(mine: Any, *conditions: Any, more: Sequence[Any] = ()) -> Select[Any]:
    return select(*columns_of_change(mine), *more).where(_IS_TASK, _IS_CHANGE, *conditions)


_EVERY_CHANGE = in_bulk(_changes(case((_owner.is_(None), 0), else_=1)))
# Each of these uses an index: the changes while the account owns the task, and those by which it leaves.
_OWN_CHANGES = in_bulk(_changes(literal(1, BigInteger), _owner == _OWNER_ID))
_LEAVING = in_bulk(_changes(literal(0, BigInteger), _previous == _OWNER_ID, changes_hands(task_history.c)))
# The changes of tasks while other accounts owned them, before they came or came back.
_OTHERS_CHANGES = in_bulk(
    _changes(
        literal(0, BigInteger),
        _owner.is_distinct_from(_OWNER_ID),
        _previous.is_distinct_from(_OWNER_ID),
        task_history.c.task_id.in_(bindparam("ids", expanding=True)),
    )
)
# All changes of a few tasks; the last column tells whether the account owned the task before or after.
_CHANGES_OF_FEW = in_bulk(
    _changes(
        case((_owner == _OWNER_ID, 1), else_=0),
        is_among(task_history.c.task_id, "ids"),
        more=(case((or_(_owner == _OWNER_ID, _previous == _OWNER_ID), 1), else_=0).label("concerns"),),
    )
)

_VERSION = select(func.coalesce(func.sum(owner_counts.c.version), 0))
_OWNER_VERSION = _VERSION.where(owner_counts.c.user_id == bindparam("owner_id"))


def _read_tasks(db: Session, selection: Selection) -> Integers:
    statement = _tasks(owned=selection.owner_id is not None)
    return _by_id(read_numbers(db, statement, {"owner_id": selection.owner_id}))


def _by_id(found: Integers) -> Integers:
    return found[:, np.argsort(found[0])]


def _read_changes(db: Session, selection: Selection) -> Integers:
    if selection.owner_id is None:
        return read_numbers(db, _EVERY_CHANGE, {})
    owner = {"owner_id": selection.owner_id}
    parts = [read_numbers(db, statement, owner) for statement in (_OWN_CHANGES, _LEAVING)]
    came = tasks_that_came(np.concatenate(parts, axis=1)).tolist()
    for place in range(0, len(came), IDS_AT_ONCE):
        some = owner | {"ids": came[place : place + IDS_AT_ONCE]}
        parts.append(read_numbers(db, _OTHERS_CHANGES, some))
    return np.concatenate(parts, axis=1)


def _read(db: Session, selection: Selection) -> Record:
    if selection.project_id is not None:
        return project_history.read(db, selection.project_id)
    return _assembled(_read_tasks(db, selection), _read_changes(db, selection))


def _assembled(found: Integers, changes: Integers) -> Record:
    ids, created, completed, status = found
    task, row, at, done = changes
    return assembled((ids, created, completed, status, status), (task, row, at, done, status_of(row)))


def _read_few(db: Session, selection: Selection, task_ids: Sequence[int]) -> Record:
    """The part of a record about these tasks."""
    if selection.project_id is not None:
        return project_history.read_few(db, selection.project_id, task_ids)
    asked = {"owner_id": selection.owner_id, "ids": task_ids}
    found = _by_id(read_numbers(db, _tasks(owned=True, by_id=True), asked))
    return _assembled(found, that_concern(read_numbers(db, _CHANGES_OF_FEW, asked)))


class _Kept(NamedTuple):
    """A record in memory, its version, and the newest change of all at that time."""

    record: Record
    version: tuple[Any, ...]
    newest: int


class _Chosen(NamedTuple):
    """The tasks that filters choose: a bit for each task of the record, and the ids of those that left."""

    bits: NDArray[np.uint8]
    left: Integers


# The 1000 stands for the memory of an empty record.
kept: BoundedCache[Selection, _Kept] = BoundedCache(
    MOST_KEPT, lambda each: 1000 + len(each.record.spells.task)
)
chosen: BoundedCache[Selection, _Chosen] = BoundedCache(
    MOST_CHOSEN_BYTES, lambda each: 1000 + each.bits.nbytes + each.left.nbytes
)


def clear() -> None:
    """Forget all records in memory."""
    kept.clear()
    chosen.clear()


def _version(db: Session, selection: Selection) -> tuple[Any, ...]:
    if selection.project_id is not None:
        return project_history.version(db, selection.project_id)
    if selection.owner_id is not None:
        return (int(db.execute(_OWNER_VERSION, {"owner_id": selection.owner_id}).scalar_one()),)
    # A deleted account takes its counts along, so the ever-growing history is part of the version.
    return int(db.execute(_VERSION).scalar_one()), newest_row(db)


def read(db: Session, selection: Selection) -> Record:
    """The present record of the selection's tasks and their history."""
    version, everything = _version(db, selection), selection.unfiltered()
    found = kept.get(everything)
    if found is None or found.version != version:
        found = _renewed(db, everything, found)
        kept.put(everything, found)
    record, version = found.record, found.version
    if selection == everything:
        return record
    these = chosen.get(selection, version)
    if these is None:
        bits = np.packbits(np.isin(record.ids, selected.ids(db, selection)))
        # A task that came back is chosen by its present values, whatever they were when it left.
        left = np.setdiff1d(selected.left(db, selection), record.ids)
        these = _Chosen(bits, left)
        chosen.put(selection, these, version)
    return _part(record, these)


def _renewed(db: Session, selection: Selection, old: _Kept | None) -> _Kept:
    """The present record: the old one with the tasks that have changed since, if the history accounts for that."""
    # The version is read first: a change in between makes the record newer than the version, never older.
    with one_snapshot(db):
        version, newest = _version(db, selection), newest_row(db)
        grown = None if old is None else _grown(selection, old.version, version)
        rows = None if old is None or grown is None else changed.since(db, grown, old.newest)
    if old is None or rows is None:
        return _Kept(_read(db, selection), version, newest)
    here = selection.project_id
    ids = {row.task_id for row in rows if here is None or here in (row.project_id, row.previous_project_id)}
    if not ids:
        return _Kept(old.record, version, newest)
    task_ids = np.array(sorted(ids), np.int64)
    part = _read_few(db, selection, task_ids.tolist())
    return _Kept(changed.patched(old.record, task_ids, part), version, newest)


def _grown(selection: Selection, before: Any, now: Any) -> dict[int, int] | None:
    """By how much the version of each owner of tasks has grown; None if the owners or the states are others."""
    if selection.project_id is not None:
        then, members = dict(before.of_members), dict(now.of_members)
        if then.keys() != members.keys() or before.states != now.states:
            return None
        return {owner_id: int(much - then[owner_id]) for owner_id, much in members.items()}
    return None if selection.owner_id is None else {selection.owner_id: now[0] - before[0]}


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
        record.states,
    )
