"""The record of a shared project: the tasks of all owners, and every change of status, state or project.

A change of owner within the project is left out, so that it ends no spell.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from sqlalchemy import BigInteger, ColumnElement, Select, bindparam, case, func, literal, or_, select
from sqlalchemy.orm import Session

from models import tasks
from services.bulk_numbers import Integers, Moment, in_bulk, read_numbers
from services.flow.record import (
    IDS_AT_ONCE,
    Record,
    assembled,
    code_of,
    columns_of_change,
    tasks_that_came,
    that_concern,
)
from services.flow.selected import leaves_project
from services.projects import workflow
from services.rights import unindexed
from storage.column_types import is_among
from tables.counts import owner_counts
from tables.history import task_history
from tables.projects import project_members

# The number of a state that is not one of this project's.
NO_STATE = 999

_H = task_history.c
_PROJECT_ID = bindparam("project_id", type_=BigInteger)
_IS_CHANGE = or_(
    _H.status.is_distinct_from(_H.previous_status),
    _H.state.is_distinct_from(_H.previous_state),
    _H.project_id.is_distinct_from(_H.previous_project_id),
)
# The versions of all members' tasks grow with every change in the project, because every task is a member's.
_VERSIONS = (
    select(owner_counts.c.user_id, func.sum(owner_counts.c.version))
    .join_from(project_members, owner_counts, owner_counts.c.user_id == project_members.c.user_id)
    .where(project_members.c.project_id == _PROJECT_ID)
    .group_by(owner_counts.c.user_id)
    .order_by(owner_counts.c.user_id)
)


def _number_of(column: Any, keys: tuple[str, ...]) -> ColumnElement[int]:
    """The state's place among these keys."""
    return case(*((column == key, place) for place, key in enumerate(keys)), else_=NO_STATE)


@lru_cache(maxsize=64)
def _tasks(keys: tuple[str, ...], *, by_id: bool = False) -> Select[Any]:
    statement = select(
        tasks.c.id,
        Moment(tasks.c.created_at).label("created"),
        Moment(tasks.c.completed_at).label("completed"),
        code_of(tasks.c.status).label("status"),
        _number_of(tasks.c.state, keys).label("state"),
    )
    if by_id:
        statement = statement.where(is_among(tasks.c.id, "ids"))
    return in_bulk(
        statement.where((unindexed(tasks.c.project_id) if by_id else tasks.c.project_id) == _PROJECT_ID)
    )


def _changes(keys: tuple[str, ...], mine: Any, *conditions: Any, more: Sequence[Any] = ()) -> Select[Any]:
    columns = (*columns_of_change(mine), _number_of(_H.state, keys).label("state"), *more)
    return in_bulk(select(*columns).where(_H.task_id.is_not(None), _IS_CHANGE, *conditions))


@lru_cache(maxsize=64)
def _statements(keys: tuple[str, ...]) -> tuple[Select[Any], Select[Any], Select[Any]]:
    """Statements of the changes within the project, those by which tasks leave it, and those elsewhere."""
    return (
        _changes(keys, literal(1, BigInteger), _H.project_id == _PROJECT_ID),
        _changes(keys, literal(0, BigInteger), _H.previous_project_id == _PROJECT_ID, leaves_project(_H)),
        _changes(
            keys,
            literal(0, BigInteger),
            _H.project_id.is_distinct_from(_PROJECT_ID),
            _H.previous_project_id.is_distinct_from(_PROJECT_ID),
            _H.task_id.in_(bindparam("ids", expanding=True)),
        ),
    )


@lru_cache(maxsize=64)
def _changes_of_few(keys: tuple[str, ...]) -> Select[Any]:
    """All changes of a few tasks; the last column tells whether a task was in the project before or after."""
    here = or_(_H.project_id == _PROJECT_ID, _H.previous_project_id == _PROJECT_ID)
    return _changes(
        keys,
        case((_H.project_id == _PROJECT_ID, 1), else_=0),
        is_among(_H.task_id, "ids"),
        more=(case((here, 1), else_=0).label("concerns"),),
    )


class Version(NamedTuple):
    """The version of a project's record: it differs after every change of a task, and of the states."""

    # The members, each with the version of their tasks.
    of_members: tuple[tuple[int, int], ...]
    # The states with their statuses: a state without tasks may get another one, and imported tasks may count for the
    # first state that is pending.
    states: tuple[tuple[str, str], ...]


def version(db: Session, project_id: int) -> Version:
    """The present version of the project's record."""
    of_members = tuple(
        (user_id, number) for user_id, number in db.execute(_VERSIONS, {"project_id": project_id})
    )
    return Version(of_members, tuple((state.key, state.status) for state in workflow.ever(db, project_id)))


def read(db: Session, project_id: int) -> Record:
    """The present record of the project's tasks and their history."""
    keys = tuple(state.key for state in workflow.ever(db, project_id))
    asked = {"project_id": project_id}
    found = read_numbers(db, _tasks(keys), asked)
    within, leaving, elsewhere = _statements(keys)
    parts = [read_numbers(db, statement, asked) for statement in (within, leaving)]
    came = tasks_that_came(np.concatenate(parts, axis=1)).tolist()
    for place in range(0, len(came), IDS_AT_ONCE):
        some = asked | {"ids": came[place : place + IDS_AT_ONCE]}
        parts.append(read_numbers(db, elsewhere, some))
    return _assembled(db, project_id, found, np.concatenate(parts, axis=1))


def read_few(db: Session, project_id: int, task_ids: Sequence[int]) -> Record:
    """The part of the project's record about these tasks."""
    keys = tuple(state.key for state in workflow.ever(db, project_id))
    asked = {"project_id": project_id, "ids": task_ids}
    found = read_numbers(db, _tasks(keys, by_id=True), asked)
    changes = read_numbers(db, _changes_of_few(keys), asked)
    return _assembled(db, project_id, found, that_concern(changes))


def _assembled(db: Session, project_id: int, found: Integers, changes: Integers) -> Record:
    states = workflow.ever(db, project_id)
    pending = next(place for place, state in enumerate(states) if state.status == "pending")
    keys = tuple(state.key for state in states)
    return assembled(tuple(found[:, np.argsort(found[0])]), tuple(changes), keys, pending)
