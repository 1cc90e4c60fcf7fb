"""A record: the present tasks and all of their spells, from which every figure is computed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, case

from models import STATUSES
from services.bulk_numbers import NONE, Integers
from services.flow import replay
from services.flow.replay import NEVER, Events, Spells


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


def assembled(
    found: tuple[Integers, ...],
    changes: tuple[Integers, ...],
    states: tuple[str, ...] = (),
    pending_state: int = 0,
) -> Record:
    """Make a record of the present tasks (id, created, completed, status, state) and of changes.

    A change has a task's id, its row with status and flags, its time, the time of completion of a task that
    was imported as completed, and a state.
    """
    ids, created, completed, status, state = found
    task, row, at, done, state_of_change = changes
    completed[completed == NONE] = NEVER
    done[done == NONE] = NEVER
    # A task that a program wrote past the API has no history: it counts as imported.
    unknown = ~np.isin(ids, task)
    mine = np.concatenate((row & 2 == 2, np.ones(int(unknown.sum()), bool)))
    events = Events(
        np.concatenate((task, ids[unknown])),
        np.concatenate((row, np.zeros_like(ids[unknown]))),
        np.concatenate((at, created[unknown])),
        np.concatenate((row >> 2 & 3, status[unknown])),
        np.concatenate((state_of_change, state[unknown])),
        mine,
        np.concatenate((done, completed[unknown])),
    )
    spells = replay.replay(events, pending_state)
    return Record(ids, created, completed, replay.first_started(spells, ids), status, spells, states)


def tasks_that_came(changes: Integers) -> Integers:
    """The tasks that began elsewhere or came back from there, by the changes that concern the account or project."""
    task, row = changes[:2]
    began_elsewhere = ~np.isin(task, task[row & 1 == 1])
    has_left = np.isin(task, task[row & 2 == 0])
    order = np.lexsort((row[has_left], task[has_left]))
    left, mine = task[has_left][order], (row[has_left] & 2 == 2)[order]
    came_back = (left[1:] == left[:-1]) & mine[1:] & ~mine[:-1]
    return np.unique(np.concatenate((task[began_elsewhere], left[1:][came_back])))


def that_concern(changes: Integers) -> Integers:
    """The changes in the record, out of all changes of some tasks; the last column marks those that concern it by themselves."""
    concerns = changes[-1] == 1
    found: Integers = changes[:-1, concerns | np.isin(changes[0], tasks_that_came(changes[:, concerns]))]
    return found
