"""A record: the present tasks and all of their spells, from which every figure is computed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, case, func

from models import STATUSES
from services.bulk_numbers import NONE, Integers, Moment
from services.flow import replay
from services.flow.replay import NEVER, Events, Spells
from tables.history import task_history

# The most tasks that one statement names.
IDS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Record:
    """The present tasks, sorted by id, with times in microseconds; and all spells, also of former tasks."""

    ids: Integers
    created: Integers
    completed: Integers  # NEVER while the task is open
    started: Integers  # NEVER if the task never was in progress
    status: Integers
    spells: Spells
    # The keys of the project's states: spells have their places here. Empty without a project.
    states: tuple[str, ...] = ()


def code_of(column: Any) -> ColumnElement[int]:
    """A status as a number."""
    whens = [(column == name, number) for number, name in enumerate(STATUSES)]
    return case(*whens, else_=replay.GONE)


def columns_of_change(mine: Any) -> tuple[ColumnElement[Any], ...]:
    """The columns of a change: its task, its row as one number, its time, and the completion of an imported task.

    The number holds the row's id, the status after the change and two flags, because fewer numbers are read faster. The
    flags tell whether the task is then `mine`, and whether the row is the first of its task. A new or imported task
    begins at its own `created_at`; every other change happens at the time of its row.
    """
    row = task_history.c
    # A row without a previous owner is the first of its task.
    is_first = case((row.previous_owner_id.is_(None), 1), else_=0)
    return (
        row.task_id,
        (row.id * 16 + code_of(row.status) * 4 + mine * 2 + is_first).label("row"),
        Moment(func.coalesce(row.task_created_at, row.created_at)).label("at"),
        Moment(row.task_completed_at).label("done"),
    )


def status_of(row: Integers) -> Integers:
    """The statuses in the numbers of rows."""
    return row >> 2 & 3


def _is_mine(row: Integers) -> Any:
    return row & 2 == 2


def _is_first(row: Integers) -> Any:
    return row & 1 == 1


def assembled(
    found: tuple[Integers, ...],
    changes: tuple[Integers, ...],
    states: tuple[str, ...] = (),
    pending_state: int = 0,
) -> Record:
    """Make a record of the present tasks (id, created, completed, status, state) and of changes.

    A change has the columns of `columns_of_change`, and a state.
    """
    ids, created, completed, status, state = found
    task, row, at, done, state_of_change = changes
    completed[completed == NONE] = NEVER
    done[done == NONE] = NEVER
    # A task that a program wrote past the API has no history: it counts as imported.
    unknown = ~np.isin(ids, task)
    mine = np.concatenate((_is_mine(row), np.ones(int(unknown.sum()), bool)))
    events = Events(
        np.concatenate((task, ids[unknown])),
        np.concatenate((row, np.zeros_like(ids[unknown]))),
        np.concatenate((at, created[unknown])),
        np.concatenate((status_of(row), status[unknown])),
        np.concatenate((state_of_change, state[unknown])),
        mine,
        np.concatenate((done, completed[unknown])),
    )
    spells = replay.replay(events, pending_state)
    return Record(ids, created, completed, replay.first_started(spells, ids), status, spells, states)


def tasks_that_came(changes: Integers) -> Integers:
    """The tasks that began elsewhere or came back from there, by the changes that concern the account or project."""
    task, row = changes[:2]
    began_elsewhere = ~np.isin(task, task[_is_first(row)])
    has_left = np.isin(task, task[~_is_mine(row)])
    order = np.lexsort((row[has_left], task[has_left]))
    left, mine = task[has_left][order], _is_mine(row[has_left])[order]
    came_back = (left[1:] == left[:-1]) & mine[1:] & ~mine[:-1]
    return np.unique(np.concatenate((task[began_elsewhere], left[1:][came_back])))


def that_concern(changes: Integers) -> Integers:
    """The changes in the record, out of all changes of some tasks; the last column marks those that concern it by themselves."""
    concerns = changes[-1] == 1
    found: Integers = changes[:-1, concerns | np.isin(changes[0], tasks_that_came(changes[:, concerns]))]
    return found
