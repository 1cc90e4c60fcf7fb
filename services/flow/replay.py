"""Replaying the history: changes of tasks become spells, in which a task stays in one status.

A spell begins at `start` and ends before `stop`. `mine` tells whether the account or project in question had
the task during the spell; in a question about everybody's tasks, whether any account had it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models import STATUSES
from services.bulk_numbers import Integers

PENDING, IN_PROGRESS, COMPLETED, GONE = 0, 1, 2, 3
NEVER = 2**62
FEW_MOMENTS = 10


@dataclass(frozen=True, slots=True)
class Events:
    """Changes of status or owner, in any order; `done` is the completion of a task imported as completed."""

    task: Integers
    row: Integers
    at: Integers
    status: Integers
    # The state's place among those of the project in question; without a project, the status again.
    state: Integers
    mine: NDArray[np.bool_]
    done: Integers


@dataclass(frozen=True, slots=True)
class Spells:
    """Spells of tasks, sorted by task and start."""

    task: Integers
    start: Integers
    stop: Integers
    status: Integers
    state: Integers
    mine: NDArray[np.bool_]

    def of(self, chosen: NDArray[np.bool_]) -> "Spells":
        """The chosen spells."""
        return Spells(
            self.task[chosen],
            self.start[chosen],
            self.stop[chosen],
            self.status[chosen],
            self.state[chosen],
            self.mine[chosen],
        )


def replay(events: Events, pending_state: int = PENDING) -> Spells:
    """The spells between the changes of each task; the last spell of a task has no end.

    `pending_state` is the state, before its completion, of a task that was imported as completed.
    """
    # A task that was imported as completed was pending until its completion, so its row makes two changes.
    came_done = np.flatnonzero(events.done != NEVER)
    task = np.concatenate((events.task, events.task[came_done]))
    row = np.concatenate((events.row * 2, events.row[came_done] * 2 + 1))
    at = np.concatenate((events.at, events.done[came_done]))
    status = np.concatenate((events.status, events.status[came_done]))
    status[came_done] = PENDING
    state = np.concatenate((events.state, events.state[came_done]))
    state[came_done] = pending_state
    mine = np.concatenate((events.mine, events.mine[came_done]))

    order = np.lexsort((row, task))
    task, at, status, state, mine = task[order], at[order], status[order], state[order], mine[order]
    same_task = task[1:] == task[:-1]
    _never_backwards(at, same_task)
    stop = np.full(len(at), NEVER, np.int64)
    stop[:-1][same_task] = at[1:][same_task]
    return Spells(task, at, stop, status, state, mine & (status != GONE))


def _never_backwards(at: Integers, same_task: NDArray[np.bool_]) -> None:
    """Give a change that lies before the previous change of its task the time of that change.

    A clock that was set back, or an import from the future, makes such changes.
    """
    backwards = np.flatnonzero(same_task & (at[1:] < at[:-1]))
    for first in backwards.tolist():
        place = first
        while place < len(same_task) and same_task[place] and at[place + 1] < at[place]:
            at[place + 1] = at[place]
            place += 1


def first_started(spells: Spells, tasks: Integers) -> Integers:
    """The time when each of the tasks, sorted by id, was first in progress; NEVER if it was not."""
    started = np.flatnonzero(spells.status == IN_PROGRESS)
    ids = spells.task[started]
    # Spells are sorted, so the first spell of each task stands where the task changes.
    firsts = np.flatnonzero(np.diff(ids, prepend=-1))
    ids = ids[firsts]
    found = np.full(len(tasks), NEVER, np.int64)
    if len(ids):
        place = np.minimum(np.searchsorted(ids, tasks), len(ids) - 1)
        known = ids[place] == tasks
        found[known] = spells.start[started[firsts[place[known]]]]
    return found


def counts_at(spells: Spells, moments: Integers) -> Integers:
    """The number of `mine` tasks in each status just before each moment, a row for each moment."""
    return _counts_at(spells, spells.status, len(STATUSES), moments)


def state_counts_at(spells: Spells, states: int, moments: Integers) -> Integers:
    """The number of `mine` tasks in each of the states just before each moment, a row for each moment."""
    return _counts_at(spells, spells.state, states, moments)


def _counts_at(spells: Spells, where: Integers, columns: int, moments: Integers) -> Integers:
    found = np.empty((len(moments), columns), np.int64)
    for column in range(columns):
        chosen = spells.mine & (where == column)
        found[:, column] = _before(spells.start[chosen], moments) - _before(spells.stop[chosen], moments)
    return found


def _before(times: Integers, moments: Integers) -> Integers:
    """The number of the times before each moment."""
    if len(moments) <= FEW_MOMENTS:
        # Sorting the times would take longer.
        return np.array([np.count_nonzero(times < each) for each in moments], np.int64)
    return np.searchsorted(np.sort(times), moments, "left")


def time_spent(spells: Spells, tasks: Integers, until: Integers) -> list[Integers]:
    """For each status, the time that tasks (sorted by id) spent in it until a moment each, without zeros."""
    return _time_spent(spells, spells.status, len(STATUSES), tasks, until)


def time_in_states(spells: Spells, states: int, tasks: Integers, until: Integers) -> list[Integers]:
    """For each state of the project, the time that tasks spent in it until a moment each, without zeros."""
    # Before a task came to the project it was in none of the project's states.
    return _time_spent(spells.of(spells.mine), spells.state[spells.mine], states, tasks, until)


def _time_spent(
    spells: Spells, where: Integers, columns: int, tasks: Integers, until: Integers
) -> list[Integers]:
    place = np.minimum(np.searchsorted(tasks, spells.task), max(len(tasks) - 1, 0))
    ours = tasks[place] == spells.task if len(tasks) else np.zeros(len(spells.task), bool)
    place, start, where = place[ours], spells.start[ours], where[ours]
    stop = np.minimum(spells.stop[ours], until[place])
    found = []
    for each in range(columns):
        # Spells without length don't count; the time ends with the last completion.
        chosen = (where == each) & (stop > start)
        total = np.zeros(len(tasks), np.int64)
        np.add.at(total, place[chosen], (stop - start)[chosen])
        found.append(total[total > 0])
    return found
