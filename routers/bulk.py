"""Many changes of tasks in one call."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Query, Response

from auth import CurrentUser
from schemas.batch import Batch, BatchAnswer
from schemas.bulk import BulkAnswer, BulkQuery
from schemas.tasks import TaskRead, TaskUpdate
from services import background_tasks
from services.json_pieces import json_array
from services.tasks import batch as batch_service
from services.tasks import batch_ahead, by_filter
from web.json_writer import dump_plain
from web.problems import problem
from web.routing import Router
from web.transaction import Ahead, WriteSession

router = Router(prefix="/tasks", tags=["tasks"], reads="tasks:read", writes="tasks:write")

_TASK_FIELDS = tuple(TaskRead.model_fields)


def _result(outcome: batch_service.Outcome) -> Any:
    result: dict[str, Any] = {"status": outcome.status}
    if outcome.task is not None:
        # The first columns of a task are the fields, in the same order.
        result["task"] = dict(zip(_TASK_FIELDS, outcome.task, strict=False))
    if outcome.error is not None:
        error = outcome.error
        result["error"] = problem(error.status, error.code, error.detail, error.errors)
    return result


@router.post("/batch", response_model=BatchAnswer, errors=[403, 404, 409, 412])
def run_batch(
    db: WriteSession,
    user: CurrentUser,
    body: Batch,
    background: BackgroundTasks,
    worked_out: Annotated[batch_ahead.WorkedOut | None, Ahead(batch_ahead.pays, batch_ahead.work_out)],
) -> Response:
    """Create, change, assign and delete up to 1,000 tasks in one call.

    Each operation follows the rules of its own endpoint. With `atomic`, the default, a failed operation undoes
    all others: the answer is its error, whose `errors` point at the operation. With `atomic: false` the others
    are kept, and the operation's result has the error.
    """
    written = None if worked_out is None else worked_out.write(db)
    outcomes = written or batch_service.run(db, user, body)
    background.add_task(background_tasks.after_import, *sorted(outcomes.owner_ids))
    results = json_array([_result(outcome) for outcome in outcomes.results], dump_plain)
    return Response(b'{"results":%b}' % results, media_type="application/json")


@router.patch("", response_model=BulkAnswer, errors=[403, 404, 409], operation_id="change_tasks")
def change_tasks(
    db: WriteSession,
    user: CurrentUser,
    query: Annotated[BulkQuery, Query()],
    body: TaskUpdate,
    background: BackgroundTasks,
) -> dict[str, int]:
    """Change all tasks that a filter finds, up to 10,000, all or none.

    Each task is changed by the rules of `PATCH /tasks/{id}`.
    """
    done = by_filter.change(db, user, query, body.sent())
    background.add_task(background_tasks.after_import, *sorted(done.owner_ids))
    return {"matched": done.matched, "changed": done.changed}


@router.delete("", response_model=BulkAnswer, errors=[403, 404, 409], operation_id="delete_tasks")
def delete_tasks(
    db: WriteSession,
    user: CurrentUser,
    query: Annotated[BulkQuery, Query()],
    background: BackgroundTasks,
) -> dict[str, int]:
    """Delete all tasks that a filter finds, up to 10,000, all or none; their history stays."""
    done = by_filter.delete(db, user, query)
    background.add_task(background_tasks.after_import, *sorted(done.owner_ids))
    return {"matched": done.matched, "changed": done.changed}
