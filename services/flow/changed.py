"""Bringing a kept record of an account up to date: only the tasks that have changed are read again.

The history names these tasks. But a program that writes past the API leaves no history, and on Postgres a change
that began earlier may be committed later, with a smaller number. So the changes that were found must account for all
by which the version of the account has grown. Otherwise the whole record is read.
"""

from collections.abc import Sequence

import numpy as np
from sqlalchemy import BigInteger, bindparam, func, select
from sqlalchemy.orm import Session

from database import AnyRow
from models import TASK_KINDS, task_history
from services.flow.record import Record
from services.flow.replay import Spells
from services.flow.selected import changes_hands
from services.flow.statistics import Integers
from storage.prepared import prepared

# The most changes after which the changed tasks alone are read.
FEW_CHANGES = 200
# The kinds of rows that one change of a task may write together.
_TOGETHER = {"updated", "status_changed", "unblocked"}

_H = task_history.c
_OWNER_ID = bindparam("owner_id", type_=BigInteger)
# The rows while the account owns the task, and those by which it leaves: an index has each in the order of ids.
_OWN, _LEAVING = _H.owner_id == _OWNER_ID, (_H.previous_owner_id == _OWNER_ID) & changes_hands(_H)
_NEWEST = {
    which: prepared(select(func.coalesce(func.max(_H.id), 0)).where(condition))
    for which, condition in (("own", _OWN), ("leaving", _LEAVING))
}
_SINCE = {
    which: prepared(
        select(
            *(_H.id, _H.task_id, _H.kind, _H.request_id, _H.changes),
            (_H.owner_id == _H.previous_owner_id).label("stays"),
        )
        .where(condition, _H.id > bindparam("after", type_=BigInteger))
        .order_by(_H.id)
        .limit(FEW_CHANGES + 1)
    )
    for which, condition in (("own", _OWN), ("leaving", _LEAVING))
}


def newest(db: Session, owner_id: int) -> int:
    """The number of the newest change that concerns the account."""
    return max(int(db.execute(each, {"owner_id": owner_id}).scalar_one()) for each in _NEWEST.values())


def since(db: Session, owner_id: int, after: int) -> list[AnyRow] | None:
    """The changes behind a number that concern the account's tasks; None if they are not few."""
    asked = {"owner_id": owner_id, "after": after}
    rows = [row for each in _SINCE.values() for row in db.execute(each, asked)]
    return [row for row in rows if row.kind in TASK_KINDS] if len(rows) <= FEW_CHANGES else None


def growth(rows: Sequence[AnyRow], *, is_sqlite: bool) -> int | None:
    """How much the version has grown by these changes, at least; None if that can't be told.

    Triggers count every changed task on SQLite, and every statement on Postgres: a request has at least one.
    """
    if not is_sqlite:
        requests = {row.request_id for row in rows}
        return None if None in requests else len(requests)
    of_tasks: dict[tuple[int, str | None], list[AnyRow]] = {}
    for row in rows:
        of_tasks.setdefault((row.task_id, row.request_id), []).append(row)
    counted = [_counted(same) for same in of_tasks.values()]
    return None if None in counted else sum(each for each in counted if each is not None)


def _counted(rows: Sequence[AnyRow]) -> int | None:
    """How often SQLite counted a task for a request; None if it may have written several changes as one."""
    kinds = {row.kind for row in rows}
    if len(rows) > 1 and (len(kinds) < len(rows) or not kinds <= _TOGETHER):
        return None
    # A change of these fields counts a task out, and in again.
    return max(2 if row.stays and {"status", "project"} & row.changes.keys() else 1 for row in rows)


def patched(record: Record, task_ids: Integers, part: Record) -> Record:
    """The record in which the tasks with these ids are those of `part`, which has no others."""
    stays = ~np.isin(record.ids, task_ids)
    ids = np.concatenate((record.ids[stays], part.ids))
    order = np.argsort(ids, kind="stable")

    def joined(name: str) -> Integers:
        found: Integers = np.concatenate((getattr(record, name)[stays], getattr(part, name)))[order]
        return found

    return Record(
        ids=ids[order],
        created=joined("created"),
        completed=joined("completed"),
        started=joined("started"),
        status=joined("status"),
        spells=_joined(record.spells.of(~np.isin(record.spells.task, task_ids)), part.spells),
        states=record.states,
    )


def _joined(first: Spells, second: Spells) -> Spells:
    order = np.argsort(np.concatenate((first.task, second.task)), kind="stable")
    names = ("task", "start", "stop", "status", "state", "mine")
    return Spells(*(np.concatenate((getattr(first, each), getattr(second, each)))[order] for each in names))
