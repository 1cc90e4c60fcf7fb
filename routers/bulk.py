"""Many changes of tasks in one call."""

import re
from typing import Annotated, Any, NamedTuple

from fastapi import BackgroundTasks, Query, Response

from auth import CurrentUser
from models import Caller
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
from web.transaction import Ahead, LongWriteSession, ReadSession, WriteSession

router = Router(prefix="/tasks", tags=["tasks"], reads="tasks:read", writes="tasks:write")

_TASK_FIELDS = tuple(TaskRead.model_fields)
# In the text of a value these quotes would be escaped.
_NEW_ID = re.compile(rb'(?<="id":)-(\d+)')


class _AnswerAhead(NamedTuple):
    """A batch that was worked out before its transaction, with its answer.

    The answer is in pieces: between them are the ids of new tasks, which are negative until the batch is written.
    """

    batch: batch_ahead.WorkedOut
    pieces: list[bytes]
    new_ids: list[int]

    def answer(self, after: int) -> bytes:
        """The whole answer, with ids that follow this one."""
        parts = [b""] * (len(self.pieces) + len(self.new_ids))
        parts[::2] = self.pieces
        parts[1::2] = [b"%d" % (new_id + after) for new_id in self.new_ids]
        return b"".join(parts)


def _work_out(db: ReadSession, user: Caller, body: Batch) -> _AnswerAhead | None:
    batch = batch_ahead.work_out(db, user, body)
    if batch is None:
        return None
    parts = _NEW_ID.split(_answer(batch.outcomes))
    return _AnswerAhead(batch, parts[::2], [-int(digits) for digits in parts[1::2]])


def _answer(outcomes: batch_service.Outcomes) -> bytes:
    return b'{"results":%b}' % json_array([_result(each) for each in outcomes.results], dump_plain)


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
    ahead: Annotated[_AnswerAhead | None, Ahead(batch_ahead.pays, _work_out)],
) -> Response:
    """Create, change, assign and delete up to 1,000 tasks in one call.

    Each operation follows the rules of its own endpoint. With `atomic`, the default, a failed operation undoes
    all others: the answer is its error, whose `errors` point at the operation. With `atomic: false` the others
    are kept, and the operation's result has the error.
    """
    if ahead is not None and (after := ahead.batch.write(db)) is not None:
        outcomes, content = ahead.batch.outcomes, ahead.answer(after)
    else:
        outcomes = batch_service.run(db, user, body)
        content = _answer(outcomes)
    background.add_task(background_tasks.after_many_changes, *sorted(outcomes.owner_ids))
    return Response(content, media_type="application/json")


@router.patch("", response_model=BulkAnswer, errors=[403, 404, 409], operation_id="change_tasks")
def change_tasks(
    db: LongWriteSession,
    user: CurrentUser,
    query: Annotated[BulkQuery, Query()],
    body: TaskUpdate,
    background: BackgroundTasks,
) -> dict[str, int]:
    """Change all tasks that a filter finds, up to 10,000, all or none.

    Each task is changed by the rules of `PATCH /tasks/{id}`.
    """
    done = by_filter.change(db, user, query, body.sent())
    background.add_task(background_tasks.after_many_changes, *sorted(done.owner_ids))
    return {"matched": done.matched, "changed": done.changed}


@router.delete("", response_model=BulkAnswer, errors=[403, 404, 409], operation_id="delete_tasks")
def delete_tasks(
    db: LongWriteSession,
    user: CurrentUser,
    query: Annotated[BulkQuery, Query()],
    background: BackgroundTasks,
) -> dict[str, int]:
    """Delete all tasks that a filter finds, up to 10,000, all or none; their history stays."""
    done = by_filter.delete(db, user, query)
    background.add_task(background_tasks.after_many_changes, *sorted(done.owner_ids))
    return {"matched": done.matched, "changed": done.changed}
