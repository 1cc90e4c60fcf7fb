"""Tasks: making, finding, changing and moving them in bulk."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import BackgroundTasks, Depends, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

import auth
from auth import AdminUser, CurrentUser
from database import AnyRow, database
from models import LARGEST_ID
from schemas.common import Message
from schemas.tasks import (
    HistoryEntry,
    Imported,
    OwnerFilters,
    TaskCreate,
    TaskFilters,
    TaskImport,
    TaskRead,
    TaskSearch,
    TaskUpdate,
)
from services import background_tasks, preconditions, task_service
from services.tasks import import_files
from services.tasks import transfer as transfer_service
from services.tasks.task_query import reads_little
from web.routing import Router, link_next
from web.strict_input import media_type
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/tasks", tags=["tasks"], reads="tasks:read", writes="tasks:write")

TaskId = Annotated[int, Path(ge=0, le=LARGEST_ID, examples=[1])]
IfMatch = Annotated[str | None, Header(description="Change the task only if it still has this `ETag`")]
IfNoneMatch = Annotated[str | None, Header(description="Answer 304 if the task still has this `ETag`")]
IMPORT_BODY = 32 * 1024 * 1024
READERS = {
    "text/csv": import_files.parse_csv,
    "application/x-ndjson": import_files.parse_ndjson,
    "application/jsonl": import_files.parse_ndjson,
}
NDJSON_BODY = {
    "schema": {"type": "string"},
    "examples": {"lines": {"value": '{"title": "Write the report"}\n{"title": "Send it"}\n'}},
}


def _short_list(values: Any) -> bool:
    return reads_little(values["filters"])


@router.post("", response_model=TaskRead, status_code=201)
def create_task(
    db: WriteSession, user: CurrentUser, body: TaskCreate, response: Response, background: BackgroundTasks
) -> AnyRow:
    """Create a task.

    It belongs to the caller. One that is made `completed` is completed now.
    """
    task = task_service.create_task(db, user, body.model_dump())
    response.headers["Location"] = f"/tasks/{task.id}"
    response.headers["ETag"] = task_service.etag(task)
    background.add_task(background_tasks.after_change, user.id)
    return task


@router.get("", response_model=list[TaskRead], short=_short_list)
def list_tasks(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[TaskFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the caller's tasks, newest first.

    Filters combine with AND. The header `Link` has the address of the next page.
    """
    return link_next(request, response, task_service.get_tasks_with_filters(db, user, filters))


@router.get("/search", response_model=list[TaskRead])
def search_tasks(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[TaskSearch, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    r"""Find the caller's tasks by a text in the title.

    Letter case does not matter, in any script: `STRASSE` finds `straße`. Accents do. `%`, `_` and `\` are
    ordinary characters.
    """
    return link_next(request, response, task_service.get_tasks_with_filters(db, user, filters))


@router.get("/all", response_model=list[TaskRead])
def list_all_tasks(
    db: ReadSession,
    user: AdminUser,
    filters: Annotated[TaskFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List everybody's tasks (admins)."""
    return link_next(
        request, response, task_service.get_tasks_with_filters(db, user, filters, everybodys=True)
    )


@router.get("/admin/filter", response_model=list[TaskRead])
def filter_all_tasks(
    db: ReadSession,
    user: AdminUser,
    filters: Annotated[OwnerFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List everybody's tasks, or one owner's (admins)."""
    page = task_service.get_tasks_with_filters(db, user, filters, everybodys=True, owner_id=filters.user_id)
    return link_next(request, response, page)


async def _import_rows(request: Request, claims: auth.Claims) -> list[TaskImport]:
    """The body's tasks, read in a thread: there may be ten thousand; whoever may not import sends them in vain."""
    await database.read_async(
        lambda db: auth.authorize(db, claims, admin=False, scope="tasks:write"), short=True
    )
    body = await request.body()
    parse = READERS.get(media_type(request), import_files.parse_json)
    return await database.threads.run(lambda: parse(body))


@router.post(
    "/import",
    response_model=Imported,
    status_code=201,
    body_limit=IMPORT_BODY,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "array",
                        "maxItems": import_files.MOST_IMPORTED,
                        "items": {"$ref": "#/components/schemas/TaskImport"},
                    },
                    "examples": {"a list": {"value": [{"title": "Write the report", "status": "completed"}]}},
                },
                "text/csv": {
                    "schema": {"type": "string"},
                    "examples": {"a table": {"value": "title,status\r\nWrite the report,completed\r\n"}},
                },
                "application/x-ndjson": NDJSON_BODY,
                "application/jsonl": NDJSON_BODY,
            },
        }
    },
)
def import_tasks(
    db: WriteSession,
    user: CurrentUser,
    rows: Annotated[list[TaskImport], Depends(_import_rows)],
    background: BackgroundTasks,
) -> dict[str, Any]:
    """Import up to 10,000 tasks, all or none.

    The body is a JSON array, NDJSON, or CSV whose first line names the columns. Tasks keep their own
    `created_at`, `updated_at` and `completed_at`. `id` and `user_id` are taken and not used, so that an export
    can be imported. In CSV `,`, `;`, TAB or `|` separates the cells, an empty cell is a field left out, and
    `tags` are a JSON array or separated by commas. A bad row is named by its index. Nobody is notified.
    """
    ids = transfer_service.import_tasks(db, user, rows)
    background.add_task(background_tasks.after_import, user.id)
    return {"imported": len(ids), "ids": list(ids)}


@router.get(
    "/export",
    response_model=list[TaskRead],
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
)
def export_tasks(
    db: ReadSession,
    user: CurrentUser,
    format: Annotated[Literal["json", "csv"], Query(description="What to write")] = "json",  # noqa: A002
) -> Response:
    """Export all of the caller's tasks, in the order they were made.

    It is streamed, and import reads it back unchanged. No cell of the CSV begins a formula.
    """
    part = transfer_service.csv_part if format == "csv" else transfer_service.json_part
    rows = transfer_service.export_chunk(db, user, after_id=-1)

    async def stream(rows: list[AnyRow]) -> AsyncIterator[bytes]:
        yield (b"" if format == "csv" else b"[") + part(rows, first=True)
        while len(rows) == transfer_service.EXPORT_CHUNK:
            # A read of its own for each part: a client that is slow to take them holds up nothing.
            following = partial(transfer_service.export_chunk, user=user, after_id=rows[-1].id)
            rows = await database.read_async(following)
            yield part(rows, first=False)
        if format == "json":
            yield b"]"

    return StreamingResponse(
        stream(rows),
        media_type="text/csv" if format == "csv" else "application/json",
        headers={"Content-Disposition": f'attachment; filename="tasks.{format}"'},
    )


@router.get(
    "/{task_id}",
    response_model=TaskRead,
    errors=[404],
    responses={304: {"description": "Not Modified"}},
    short=True,
)
def read_task(
    db: ReadSession, user: CurrentUser, task_id: TaskId, response: Response, if_none_match: IfNoneMatch = None
) -> AnyRow | Response:
    """Get a task of the caller's; an admin gets any."""
    task = task_service.get_task(db, user, task_id)
    tag = response.headers["ETag"] = task_service.etag(task)
    if preconditions.is_known(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return task


@router.get("/{task_id}/history", response_model=list[HistoryEntry], errors=[404], short=True)
def read_task_history(db: ReadSession, user: CurrentUser, task_id: TaskId) -> list[AnyRow]:
    """Get every change of a task, oldest first."""
    return task_service.get_task_history(db, user, task_id)


@router.put("/{task_id}", response_model=TaskRead, errors=[404, 412])
@router.patch("/{task_id}", response_model=TaskRead, errors=[404, 412], operation_id="patch_task")
def update_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: TaskId,
    body: TaskUpdate,
    response: Response,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> AnyRow:
    """Change a task: only the fields that are sent.

    Completing it sets `completed_at`, reopening it clears it. Its owner may, and an admin.
    """
    task = task_service.update_task(db, user, task_id, body.model_dump(exclude_unset=True), if_match)
    response.headers["ETag"] = task_service.etag(task)
    background.add_task(background_tasks.after_change, task.user_id)
    return task


@router.delete("/{task_id}", response_model=Message, errors=[404, 412])
def delete_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: TaskId,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> dict[str, str]:
    """Delete a task; its history stays."""
    task = task_service.delete_task(db, user, task_id, if_match)
    background.add_task(background_tasks.after_change, task.user_id)
    return {"message": "Task deleted successfully"}


@router.put("/{task_id}/assign", response_model=Message, errors=[403, 404, 412])
def assign_task(
    db: WriteSession,
    user: CurrentUser,
    task_id: TaskId,
    assigned_user_id: Annotated[int, Query(ge=0, le=LARGEST_ID, description="The new owner", examples=[2])],
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> dict[str, str]:
    """Give a task to somebody else, who is notified.

    Its owner may, and an admin. `GET /users/lookup` tells the id of a user.
    """
    before, after = task_service.assign_task(db, user, task_id, assigned_user_id, if_match)
    background.add_task(background_tasks.after_change, before.user_id, after.user_id)
    return {"message": "Task assigned successfully"}
