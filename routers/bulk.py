"""Many changes of tasks in one call."""

from typing import Annotated, Any, NotRequired, get_type_hints

from fastapi import BackgroundTasks, Query, Response
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from auth import CurrentUser
from schemas.batch import Batch, BatchAnswer
from schemas.bulk import BulkAnswer, BulkQuery
from schemas.tasks import TaskRead, TaskUpdate
from services import background_tasks
from services.tasks import batch as batch_service
from services.tasks import by_filter
from web.problems import problem
from web.routing import Router
from web.transaction import WriteSession

router = Router(prefix="/tasks", tags=["tasks"], reads="tasks:read", writes="tasks:write")

_TASK_FIELDS = tuple(TaskRead.model_fields)
# This type writes tasks as JSON without validating them again.
_Task: Any = TypedDict("_Task", get_type_hints(TaskRead, include_extras=True))  # type: ignore[misc]
_PARTS: Any = {"status": int, "task": NotRequired[_Task], "error": NotRequired[dict[str, Any]]}
_Result: Any = TypedDict("_Result", _PARTS)  # type: ignore[misc]
_Results: Any = TypedDict("_Results", {"results": list[_Result]})
_RESULTS: TypeAdapter[Any] = TypeAdapter(_Results)


def _result(outcome: batch_service.Outcome) -> Any:
    result: dict[str, Any] = {"status": outcome.status}
    if outcome.task is not None:
        task = outcome.task
        result["task"] = {name: getattr(task, name) for name in _TASK_FIELDS}
    if outcome.error is not None:
        error = outcome.error
        result["error"] = problem(error.status, error.code, error.detail, error.errors)
    return result


@router.post("/batch", response_model=BatchAnswer, errors=[403, 404, 409, 412])
def run_batch(db: WriteSession, user: CurrentUser, body: Batch, background: BackgroundTasks) -> Response:
    """Create, change, assign and delete up to 1,000 tasks in one call.

    The operations are done in order, each by the rules of its own endpoint, with history and notifications.
    With `atomic`, the default, a failed operation undoes all others: the answer is its error, whose `errors`
    point at the operation. With `atomic: false` the result of a failed operation has the error, and the other
    operations are kept.
    """
    outcomes = batch_service.run(db, user, body)
    background.add_task(background_tasks.after_import, *sorted(outcomes.owner_ids))
    results = [_result(outcome) for outcome in outcomes.results]
    return Response(_RESULTS.dump_json({"results": results}), media_type="application/json")


@router.patch("", response_model=BulkAnswer, errors=[403, 404, 409], operation_id="change_tasks")
def change_tasks(
    db: WriteSession,
    user: CurrentUser,
    query: Annotated[BulkQuery, Query()],
    body: TaskUpdate,
    background: BackgroundTasks,
) -> dict[str, int]:
    """Change all tasks that a filter finds, up to 10,000, all or none.

    Each task is changed by the rules of `PATCH /tasks/{id}`. If the filter finds another number than
    `expected`, nothing changes and the error tells the number found, so that a mistaken filter does no harm.
    """
    done = by_filter.change(db, user, query, body.model_dump(exclude_unset=True))
    background.add_task(background_tasks.after_import, *sorted(done.owner_ids))
    return {"matched": done.matched, "changed": done.changed}


@router.delete("", response_model=BulkAnswer, errors=[403, 404, 409], operation_id="delete_tasks")
def delete_tasks(
    db: WriteSession,
    user: CurrentUser,
    query: Annotated[BulkQuery, Query()],
    background: BackgroundTasks,
) -> dict[str, int]:
    """Delete all tasks that a filter finds, up to 10,000, all or none; their history stays.

    If the filter finds another number than `expected`, nothing is deleted and the error tells the number
    found.
    """
    done = by_filter.delete(db, user, query)
    background.add_task(background_tasks.after_import, *sorted(done.owner_ids))
    return {"matched": done.matched, "changed": done.changed}
