"""The figures by the states of a shared project, with the present names of the states."""

from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from services.bulk_numbers import Integers
from services.flow import replay
from services.flow.question import Question
from services.flow.record import Record
from services.flow.statistics import summary
from services.projects import workflow


def only_since(counted: Integers, column: int) -> None:
    """Subtract from a column the tasks that were there at the beginning."""
    # A task that was completed before the period may be reopened within it.
    counted[:, column] = np.maximum(counted[:, column] - counted[0, column], 0)


def _states(db: Session, question: Question, record: Record) -> list[Any]:
    """The states of the project in question, in the order of the record's numbers."""
    assert question.selection.project_id is not None
    found = {state.key: state for state in workflow.ever(db, question.selection.project_id)}
    return [found[key] for key in record.states if key in found]


def counts_by_state(
    db: Session, question: Question, record: Record, bounds: Integers, completed: str
) -> list[dict[str, Any]] | None:
    """The number of tasks in each state at each of the bounds; None without a project."""
    if question.selection.project_id is None:
        return None
    states = _states(db, question, record)
    counted = replay.state_counts_at(record.spells, len(states), bounds)
    rows = []
    for place, state in enumerate(states):
        if completed == "period" and state.status == "completed":
            only_since(counted, place)
        at_start, *counts = counted[:, place].tolist()
        # A removed state is listed only if it held tasks in the period.
        if state.removed_at is None or at_start or any(counts):
            rows.append({**_name_of(state), "at_start": at_start, "counts": counts})
    return rows


def _name_of(state: Any) -> dict[str, str]:
    return {"state": state.key, "name": state.name, "status": state.status}


def time_by_state(
    db: Session, question: Question, record: Record, places: Integers
) -> list[dict[str, Any]] | None:
    """The time of completed tasks in each state; None without a project."""
    if question.selection.project_id is None:
        return None
    states = _states(db, question, record)
    ids, until = record.ids[places], record.completed[places]
    spent = replay.time_in_states(record.spells, len(states), ids, until)
    return [
        {**_name_of(state), **summary(times)}
        for state, times in zip(states, spent, strict=True)
        if state.removed_at is None or len(times)
    ]
