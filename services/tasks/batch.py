"""Batches: many operations in one transaction, each by the rules of its own endpoint."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from sqlalchemy.orm import Session

from database import AnyRow
from errors import MOST_PROBLEMS, AppError, InvalidInput, input_problems, invalid_input
from models import Caller
from schemas.batch import (
    AssignOperation,
    Batch,
    CreateOperation,
    Operation,
    Refused,
    UpdateOperation,
)
from services import rights, task_service
from services.tasks import bulk
from services.tasks.unit_of_work import UnitOfWork


@dataclass(slots=True)
class Outcome:
    """The result of an operation."""

    status: int
    task: AnyRow | None = None
    error: AppError | None = None


@dataclass(slots=True)
class Outcomes:
    """The results of a batch, and the owners whose tasks it changed."""

    results: list[Outcome] = field(default_factory=list)
    owner_ids: set[int] = field(default_factory=set)


def run(db: Session, user: Caller, batch: Batch) -> Outcomes:
    """Do the operations in their order. In an atomic batch the first error is raised."""
    operations = batch.operations
    new_tasks = sum(isinstance(each, CreateOperation) for each in operations)
    with UnitOfWork(db, user, new_tasks=new_tasks) as unit:
        targets = {project_id for each in operations if (project_id := target(each)) is not None}
        if targets or new_tasks < len(operations):
            bulk.take_turns(db)
            rights.lock_tasks(db, user, unit, changed_ids(batch), projects_too=targets)
        return work_through(db, user, unit, batch)


def changed_ids(batch: Batch) -> set[int]:
    """The ids of the tasks that a batch changes, assigns or deletes."""
    return {each.id for each in batch.operations if not isinstance(each, CreateOperation)}


def work_through(db: Session, user: Caller, unit: UnitOfWork, batch: Batch) -> Outcomes:
    """Do the operations within a unit of work that has loaded the tasks they change."""
    operations, outcomes, told = batch.operations, Outcomes(), 0
    for place, operation in enumerate(operations):
        try:
            if batch.atomic:
                outcome = _do(db, user, operation, outcomes.owner_ids)
            else:
                with unit.operation():
                    outcome = _do(db, user, operation, outcomes.owner_ids)
        except _RefusedError:
            # An atomic batch is refused as a whole, so one answer names all invalid tasks from here on.
            until = len(operations) if batch.atomic else place + 1
            refusal = _refusal(operations[place:until], place, max(MOST_PROBLEMS - told, 1))
            if batch.atomic:
                raise refusal from None
            told += len(refusal.errors)
            outcome = Outcome(refusal.status, error=refusal)
        except AppError as error:
            _put_in_place(error, place)
            if batch.atomic or error.status >= 500:
                raise
            outcome = Outcome(error.status, error=error)
        outcomes.results.append(outcome)
    return outcomes


def target(operation: Operation) -> int | None:
    """The project into which an operation puts a new task or moves a task."""
    if not isinstance(operation, CreateOperation | UpdateOperation) or isinstance(operation.task, Refused):
        return None
    return operation.task.project_id


class _RefusedError(Exception):
    """The task of an operation is not valid."""


def _do(db: Session, user: Caller, operation: Operation, owner_ids: set[int]) -> Outcome:
    """Do one operation, and note the owners of the changed task."""
    task: AnyRow | None
    match operation:
        case CreateOperation():
            changed = task = task_service.create_task(db, user, _valid(operation.task).sent())
        case UpdateOperation():
            values = _valid(operation.task).sent()
            changed = task = task_service.update_task(db, user, operation.id, values, operation.if_match)
        case AssignOperation():
            before, task = task_service.assign_task(
                db, user, operation.id, operation.assigned_user_id, operation.if_match
            )
            owner_ids.add(before.user_id)
            changed = task
        case _:
            task, changed = None, task_service.delete_task(db, user, operation.id, operation.if_match)
    owner_ids.add(changed.user_id)
    return Outcome(201 if isinstance(operation, CreateOperation) else 200, task)


def _valid(task: Any) -> Any:
    if isinstance(task, Refused):
        raise _RefusedError
    return task


def _refusal(operations: Sequence[Operation], first_place: int, most: int) -> InvalidInput:
    """The error for the invalid tasks in these operations, with at most `most` problems."""
    refused = [
        (place, task)
        for place, operation in enumerate(operations, first_place)
        if isinstance(task := getattr(operation, "task", None), Refused)
    ]
    number = sum(len(task.problems) for _, task in refused)
    return invalid_input(list(islice(_problems(refused), most)), number)


def _problems(refused: Iterable[tuple[int, Refused]]) -> Iterator[dict[str, str]]:
    """The problems of invalid tasks, whose operations have these places."""
    for place, task in refused:
        found = [
            {**each, "loc": ("body", "operations", place, "task", *each["loc"])} for each in task.problems
        ]
        yield from input_problems(found, task.allowed)


def _put_in_place(error: AppError, place: int) -> None:
    """Make an error point at the operation, or at the wrong field of its task."""
    here = f"#/operations/{place}"

    def within(pointer: str) -> str:
        return f"{here}/task{pointer[1:]}" if pointer.startswith("#/") else here

    problems = [{**problem, "pointer": within(problem["pointer"])} for problem in error.errors]
    if error.code == "invalid_input" and problems:
        error.detail = invalid_input(problems).detail
    error.errors = [*problems] or [{"pointer": here, "detail": error.detail}]
