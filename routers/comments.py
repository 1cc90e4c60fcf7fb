"""Comments on tasks."""

from typing import Annotated

from fastapi import BackgroundTasks, Query, Request, Response

from auth import CurrentUser
from database import AnyRow
from routers.parameters import PathId
from schemas.comments import CommentRead, CommentUpdate, CommentWrite
from schemas.common import OldestFirst
from services import background_tasks
from services.tasks import comment as comment_service
from web.routing import Router, is_short, link_next
from web.transaction import ReadSession, WriteSession

router = Router(
    prefix="/tasks/{task_id}/comments", tags=["comments"], reads="tasks:read", writes="tasks:write"
)


@router.post("", response_model=CommentRead, status_code=201, errors=[404, 409])
def create_comment(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    body: CommentWrite,
    response: Response,
    background: BackgroundTasks,
) -> AnyRow:
    """Comment on a task.

    `@username` mentions somebody, who is notified if they can see the task. The task's owner is notified too.
    """
    comment = comment_service.create_comment(db, user, task_id, body.text)
    response.headers["Location"] = f"/tasks/{task_id}/comments/{comment.id}"
    background.add_task(background_tasks.after_change)
    return comment


@router.get("", response_model=list[CommentRead], errors=[404], on_loop=is_short)
def list_comments(
    db: ReadSession,
    user: CurrentUser,
    task_id: PathId,
    page: Annotated[OldestFirst, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the comments on a task, oldest first."""
    return link_next(request, response, comment_service.list_comments(db, user, task_id, page))


@router.get("/{comment_id}", response_model=CommentRead, errors=[404], on_loop=True)
def read_comment(db: ReadSession, user: CurrentUser, task_id: PathId, comment_id: PathId) -> AnyRow:
    """Get a comment."""
    return comment_service.get_comment(db, user, task_id, comment_id)


@router.patch("/{comment_id}", response_model=CommentRead, errors=[404, 409])
def update_comment(
    db: WriteSession,
    user: CurrentUser,
    task_id: PathId,
    comment_id: PathId,
    body: CommentUpdate,
    background: BackgroundTasks,
) -> AnyRow:
    """Change a comment (its author). Accounts that are mentioned for the first time are notified."""
    comment = comment_service.update_comment(db, user, task_id, comment_id, body.sent())
    background.add_task(background_tasks.after_change)
    return comment


@router.delete("/{comment_id}", status_code=204, errors=[404, 409])
def delete_comment(db: WriteSession, user: CurrentUser, task_id: PathId, comment_id: PathId) -> Response:
    """Delete a comment (its author, a manager of the project, or an admin)."""
    comment_service.delete_comment(db, user, task_id, comment_id)
    return Response(status_code=204)
