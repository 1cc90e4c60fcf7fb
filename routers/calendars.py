"""Calendars: endpoints for the caller's calendars, and the iCalendar files at their secret addresses."""

from collections.abc import AsyncIterator
from functools import partial
from typing import Annotated, Any

from fastapi import Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from auth import CurrentUser
from config import settings
from database import AnyRow, database
from routers.parameters import IfNoneMatch, PathId
from schemas.common import Page
from schemas.views import CalendarCreate, CalendarCreated, CalendarRead
from services import preconditions
from services.calendars import calendar as calendar_service
from services.calendars import entries
from web.routing import Router, link_next
from web.transaction import ReadSession, WriteSession

router = Router(tags=["calendars"], reads="tasks:read", writes="tasks:write")

ICALENDAR = "text/calendar"
ENTRIES_AT_ONCE = 200


@router.post(
    "/calendars", response_model=CalendarCreated, status_code=201, errors=[404, 409], secrets=["url"]
)
def create_calendar(
    db: WriteSession, user: CurrentUser, body: CalendarCreate, request: Request
) -> dict[str, Any]:
    """Create a calendar of open tasks by due time, for calendar programs.

    The calendar ends when it or its view is deleted, when it expires, and when the password of the account is
    reset or changed.
    """
    return calendar_service.create_calendar(db, user, body.model_dump(), _own_url(request))


def _own_url(request: Request) -> str:
    """`PUBLIC_URL` or, unless it is set, the URL at which this request reached the program."""
    if settings.has_public_url:
        return settings.public_url
    return f"{request.url.scheme}://{request.url.netloc}{settings.root}"


@router.get("/calendars", response_model=list[CalendarRead])
def list_calendars(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the caller's calendars, newest first."""
    return link_next(request, response, calendar_service.list_calendars(db, user, page))


@router.delete("/calendars/{calendar_id}", status_code=204, errors=[404])
def delete_calendar(db: WriteSession, user: CurrentUser, calendar_id: PathId) -> Response:
    """Delete a calendar: its address stops working."""
    calendar_service.delete_calendar(db, user, calendar_id)
    return Response(status_code=204)


@router.get(
    "/calendar/{token}.ics",
    responses={
        200: {"content": {ICALENDAR: {"schema": {"type": "string"}}}},
        304: {"description": "Not Modified"},
    },
    errors=[404],
)
def read_calendar(
    db: ReadSession,
    token: Annotated[str, Path(max_length=200)],
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Get a calendar as an iCalendar file (RFC 5545). The secret address is enough; no login is needed.

    The file has an entry for each open task with `due_at`.
    """
    feed = calendar_service.open_feed(db, token)
    headers = {"ETag": feed.etag, "Cache-Control": "private, no-cache"}
    if preconditions.is_known(if_none_match, feed.etag):
        return Response(status_code=304, headers=headers)

    async def stream() -> AsyncIterator[bytes]:
        yield entries.head(feed.name, feed.tz, feed.problem)
        for place in range(0, len(feed.task_ids), ENTRIES_AT_ONCE):
            some = feed.task_ids[place : place + ENTRIES_AT_ONCE]
            # Each part is written in a thread by a read of its own, so that a slow client holds no
            # transaction open.
            yield await database.read_async(partial(calendar_service.read_entries, feed=feed, task_ids=some))
        yield entries.foot()

    return StreamingResponse(stream(), media_type=ICALENDAR, headers=headers)
