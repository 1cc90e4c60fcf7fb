"""Import and export of tasks, as files that other programs write and read."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import auth
from auth import CurrentUser
from database import database
from schemas.common import Id
from schemas.tasks import MOST_IMPORTED, ExportQuery, Imported, TaskImport, TaskRead
from services import background_tasks
from services.tasks import exporting, import_files, importing
from web.negotiation import CSV, JSON, accepted
from web.routing import Router, link_next
from web.strict_body import media_type as media_type_of
from web.strict_input import CLAIMS
from web.transaction import LongWriteSession, ReadSession

READS, WRITES = "tasks:read", "tasks:write"
router = Router(prefix="/tasks", tags=["tasks"], reads=READS, writes=WRITES)

IMPORT_BODY = 32 * 1024 * 1024
# NDJSON has no registered name; programs send all of these.
NDJSON_TYPES = ("application/x-ndjson", "application/ndjson", "application/jsonl")
READERS = {"text/csv": import_files.parse_csv, **dict.fromkeys(NDJSON_TYPES, import_files.parse_ndjson)}
NDJSON_BODY = {
    "schema": {"type": "string"},
    "examples": {"lines": {"value": '{"title": "Write the report"}\n{"title": "Send it"}\n'}},
}


async def _import_rows(request: Request, claims: auth.Claims) -> list[TaskImport]:
    """The tasks in the body. A thread puts it together and parses it: there may be 32 MiB with ten thousand tasks.

    The caller's right to import is checked first, so that no body is read from callers without it.
    """
    await auth.check_caller(claims, admin=False, scope=WRITES)
    try:
        parts = [part async for part in request.stream()]
    except ClientDisconnect:
        raise HTTPException(400) from None
    parse = READERS.get(media_type_of(request), import_files.parse_json)

    def parsed() -> list[TaskImport]:
        # `request.body()` gives it to whoever asks later, and would put the parts together on the event loop.
        request._body = b"".join(parts)  # noqa: SLF001  # Starlette keeps it here
        return parse(request._body)  # noqa: SLF001

    return await database.threads.run(parsed)


@router.post(
    "/import",
    response_model=Imported,
    status_code=201,
    errors=[404, 409],
    body_limit=IMPORT_BODY,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {
                        "type": "array",
                        "maxItems": MOST_IMPORTED,
                        "items": {"$ref": "#/components/schemas/TaskImport"},
                    },
                    "examples": {"a list": {"value": [{"title": "Write the report", "status": "completed"}]}},
                },
                "text/csv": {
                    "schema": {"type": "string"},
                    "examples": {"a table": {"value": "title,status\r\nWrite the report,completed\r\n"}},
                },
                **dict.fromkeys(NDJSON_TYPES, NDJSON_BODY),
            },
        }
    },
)
def import_tasks(
    db: LongWriteSession,
    user: CurrentUser,
    rows: Annotated[list[TaskImport], Depends(_import_rows)],
    background: BackgroundTasks,
    project_id: Annotated[
        Id | None, Query(description="The shared project that all tasks go to", examples=[None])
    ] = None,
) -> dict[str, Any]:
    """Import up to 10,000 tasks, all or none.

    The body is a JSON array, NDJSON, or CSV whose first line names the columns. In CSV `,`, `;`, TAB or `|`
    separates the cells, an empty cell is a missing field, and `tags` are a JSON array or separated by commas.
    Tasks keep their times. The error of a bad row names its index. No one is notified.
    """
    ids = importing.import_tasks(db, user, rows, project_id)
    background.add_task(background_tasks.after_many_changes, user.id)
    return {"imported": len(ids), "ids": list(ids)}


@router.get(
    "/export",
    response_model=list[TaskRead],
    responses={
        200: {"content": {CSV: {"schema": {"type": "string"}}}, "headers": {"Content-Disposition": {}}}
    },
    errors=[404, 406],
)
def export_tasks(
    db: ReadSession,
    user: CurrentUser,
    query: Annotated[ExportQuery, Query()],
    media_type: Annotated[str, Depends(accepted(JSON, CSV))],
    request: Request,
    response: Response,
) -> Response:
    """Export all of the caller's tasks, or those of a project, filter or view.

    They come in the order of the view, or else as they were made. The answer is streamed, and import takes it
    unchanged. No cell of the CSV begins a formula. With `limit` the answer is one part, and `Link` has the
    address of the next.
    """
    page = exporting.export_page(db, user, query)
    rows = link_next(request, response, page.first)
    is_csv = media_type == CSV
    write = exporting.csv_part if is_csv else exporting.json_part

    def go_on(db: Any, following: Any) -> Any:
        # The caller may have lost the right meanwhile, and a slow client reads for hours.
        caller = auth.authorize(db, request.scope[CLAIMS], admin=False, scope=READS)
        return exporting.export_next(db, caller, page, following, write)

    async def stream(pieces: list[bytes]) -> AsyncIterator[bytes]:
        following = page.following
        if not is_csv:
            yield b"["
        for piece in pieces:
            yield piece
        while following is not None:
            # Each part is a read of its own, so that a slow client holds no transaction open.
            following, pieces = await database.read_async(partial(go_on, following=following))
            for piece in pieces:
                yield piece
        if not is_csv:
            yield b"]"

    name = f'attachment; filename="tasks.{"csv" if is_csv else "json"}"'
    headers = {**response.headers, "Content-Disposition": name}
    headers.pop("content-length", None)
    return StreamingResponse(stream(write(rows, first=True)), media_type=media_type, headers=headers)
