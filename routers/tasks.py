"""Tasks: creating, finding, changing, blocking, assigning and deleting them."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Query, Request, Response

from auth import AdminUser, CurrentUser
from database import AnyRow
from routers.parameters import IfMatch, IfNoneMatch, PathId
from schemas.common import Id, Message, OldestFirst
from schemas.tasks import (
    HistoryEntry,
    OwnerFilters,
    TaskBlock,
    TaskCreate,
    TaskFilters,
    TaskRead,
    TaskSearch,
    TaskUpdate,
)
from services import background_tasks, preconditions, task_service
from services.lists.pages import reads_little
from web.routing import MOST_ON_EVENT_LOOP, Router, link_next
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/tasks", tags=["tasks"], reads="tasks:read", writes="tasks:write")


def _list_on_loop(values: Any) -> bool:
    filters = values["filters"]
    return filters.limit <= MOST_ON_EVENT_LOOP and reads_little(filters)


@router.post("", response_model=TaskRead, status_code=201, errors=[404, 409])
def create_task(
    db: WriteSession, user: CurrentUser, body: TaskCreate, response: Response, background: BackgroundTasks
) -> AnyRow:
    """Create a task.

    The task belongs to the caller or, in a shared project, to the member `user_id`. A task that is created as
    `completed` is completed now.
    """
    task = task_service.create_task(db, user, body.sent())
    response.headers["Location"] = f"/tasks/{task.id}"
    response.headers["ETag"] = task_service.etag(task)
    background.add_task(background_tasks.after_change, task.user_id)
    return task


@router.get("", response_model=list[TaskRead], errors=[404], on_loop=_list_on_loop)
def list_tasks(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[TaskFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the caller's tasks, newest first.

    Filters combine with AND.
    """
    return link_next(request, response, task_service.get_tasks_with_filters(db, user, filters))


@router.get("/search", response_model=list[TaskRead], errors=[404])
def search_tasks(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[TaskSearch, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """Find the caller's tasks by a text in the title.

    Letter case does not matter, in any script: `STRASSE` finds `straße`. Accents matter, and
    there are no wildcards.
    """
    return link_next(request, response, task_service.get_tasks_with_filters(db, user, filters))


@router.get("/all", response_model=list[TaskRead], errors=[404])
def list_all_tasks(
    db: ReadSession,
    user: AdminUser,
    filters: Annotated[TaskFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the tasks of all accounts (admins)."""
    return link_next(
        request, response, task_service.get_tasks_with_filters(db, user, filters, everybodys=True)
    )


@router.get("/admin/filter", response_model=list[TaskRead], errors=[404])
def filter_all_tasks(
    db: ReadSession,
    user: AdminUser,
    filters: Annotated[OwnerFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the tasks of all accounts, or of one owner (admins)."""
    page = task_service.get_tasks_with_filters(db, user, filters, everybodys=True, owner_id=filters.user_id)
    return link_next(request, response, page)


@router.get(
    "/{task_id}",
    response_model=TaskRead,
    errors=[404],
    responses={304: {"description": "Not Modified"}},
    on_loop=True,
)
def read_task(
    db: ReadSession, user: CurrentUser, task_id: PathId, response: Response, if_none_match: IfNoneMatch = None
) -> AnyRow | Response:
    """Get a task of the caller; an admin can get any task."""
    task = task_service.get_task(db, user, task_id)
    tag = response.headers["ETag"] = task_service.etag(task)
    if preconditions.is_known(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return task


@router.get("/{task_id}/history", response_model=list[HistoryEntry], errors=[404])
def read_task_history(
    db: ReadSession,
    user: CurrentUser,
    task_id: PathId,
    page: Annotated[OldestFirst, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """Get every change of a task, oldest first.

    A page with very long texts may end before its `limit`.
    """
    return link_next(request, response, task_service.get_task_history(db, user, task_id, page))


@router.put("/{task_id}", response_model=TaskRead, errors=[404, 409, 412])
@router.patch(
    "/{task_id}",
    response_model=TaskRead,
    errors=[404, 409, 412],
    operation_id="patch_task",
    summary="Change a task, by PATCH",
    description="This does the same as `PUT`.",
)
def update_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    body: TaskUpdate,
    response: Response,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> AnyRow:
    """Change a task: only the fields that are sent.

    Completing a task sets `completed_at` and ends a block; reopening it clears `completed_at`. The
    owner and admins may change a task; in a shared project all members except viewers may.
    """
    task = task_service.update_task(db, user, task_id, body.sent(), if_match)
    response.headers["ETag"] = task_service.etag(task)
    background.add_task(background_tasks.after_change, task.user_id)
    return task


@router.put("/{task_id}/blocked", response_model=TaskRead, errors=[404, 409, 412])
def block_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    body: TaskBlock,
    response: Response,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> AnyRow:
    """Mark a task as blocked, with a reason.

    If the task is already blocked, only the reason changes. A completed task can't be blocked.
    """
    task = task_service.block_task(db, user, task_id, body.reason, if_match)
    response.headers["ETag"] = task_service.etag(task)
    background.add_task(background_tasks.after_change, task.user_id)
    return task


@router.delete("/{task_id}/blocked", response_model=TaskRead, errors=[404, 409, 412])
def unblock_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    response: Response,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> AnyRow:
    """Mark a task as no longer blocked."""
    task = task_service.unblock_task(db, user, task_id, if_match)
    response.headers["ETag"] = task_service.etag(task)
    background.add_task(background_tasks.after_change, task.user_id)
    return task


@router.delete("/{task_id}", response_model=Message, errors=[404, 409, 412])
def delete_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> dict[str, str]:
    """Delete a task; its history stays."""
    task = task_service.delete_task(db, user, task_id, if_match)
    background.add_task(background_tasks.after_change, task.user_id)
    return {"message": "Task deleted successfully"}


@router.put("/{task_id}/assign", response_model=Message, errors=[403, 404, 409, 412])
def assign_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    assigned_user_id: Annotated[Id, Query(description="The new owner", examples=[2])],
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> dict[str, str]:
    """Give a task to somebody else, who is notified.

    The owner and admins may assign a task. In a shared project all members except viewers may, but only to
    members. `GET /users/lookup` tells the id of an account.
    """
    before, after = task_service.assign_task(db, user, task_id, assigned_user_id, if_match)
    background.add_task(background_tasks.after_change, before.user_id, after.user_id)
    return {"message": "Task assigned successfully"}
