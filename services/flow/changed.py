"""Bringing a kept record up to date: only the tasks that have changed are read again.

The history names these tasks. But a program that writes past the API leaves no history, and on Postgres a change
that began earlier may be committed later, with a smaller number. So the changes that were found must account for all
by which the versions of the owners have grown. Otherwise the whole record is read.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from sqlalchemy import BigInteger, bindparam, select
from sqlalchemy.orm import Session

from database import AnyRow
from services.bulk_numbers import Integers
from services.flow.record import Record
from services.flow.replay import Spells
from services.flow.selected import changes_hands
from storage.column_types import is_among
from storage.direct_session import is_sqlite
from storage.prepared import prepared
from tables.history import TASK_KINDS, task_history

# The most changes after which the changed tasks alone are read.
FEW_CHANGES = 200
# The kinds of rows that one change of a task may write together.
_TOGETHER = {"updated", "status_changed", "unblocked"}

_H = task_history.c
# The rows while these accounts own the task, and those by which it leaves them: an index has each.
_SINCE = [
    prepared(
        select(
            *(_H.id, _H.task_id, _H.kind, _H.request_id, _H.changes, _H.owner_id, _H.previous_owner_id),
            *(_H.project_id, _H.previous_project_id),
        )
        .where(condition, _H.id > bindparam("after", type_=BigInteger))
        .limit(FEW_CHANGES + 1),
        plan_each_time=True,
    )
    for condition in (
        is_among(_H.owner_id, "owner_ids"),
        is_among(_H.previous_owner_id, "owner_ids") & changes_hands(_H),
    )
]


def since(db: Session, grown: Mapping[int, int], after: int) -> list[AnyRow] | None:
    """The changes behind a number of tasks of these accounts, each with the growth of its version.

    None if they are not few, or if they don't account for the growth.
    """
    asked = {"owner_ids": sorted(grown), "after": after}
    found = {row.id: row for each in _SINCE for row in db.execute(each, asked)}
    if len(found) > FEW_CHANGES:
        return None
    rows = [row for row in found.values() if row.kind in TASK_KINDS]
    on_sqlite = is_sqlite(db)
    for owner_id, much in grown.items():
        of_owner = [row for row in rows if owner_id in (row.owner_id, row.previous_owner_id)]
        if _growth(of_owner, on_sqlite=on_sqlite) != much:
            return None
    return rows


def _growth(rows: Sequence[AnyRow], *, on_sqlite: bool) -> int | None:
    """The least growth of the version that these changes explain; None if it is not known.

    Triggers count every changed task on SQLite, and every statement on Postgres: a request has at least one.
    """
    if not on_sqlite:
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
    return max(
        2 if row.owner_id == row.previous_owner_id and {"status", "project"} & row.changes.keys() else 1
        for row in rows
    )


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
