"""Events: reading the feed, waiting for new events, and the stream."""

from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import Depends, Header, Query, Request, Response

import auth
from auth import CurrentUser
from database import database
from schemas.events import Event, EventFilters, EventPageFilters
from services.events import event, event_id, feed
from services.json_pieces import json_array
from web.events.event_stream import EventStream
from web.events.waiting import Settling, wait_for_events
from web.large_answer import json_answer
from web.routing import Router
from web.strict_input import CLAIMS, PARSED
from web.time_limit import allow_waiting
from web.transaction import ReadSession

READS = "tasks:read"
# The place of a problem with the header that browsers send when they connect to a stream again.
LAST_EVENT_ID = "header.Last-Event-ID"
router = Router(prefix="/events", tags=["events"], reads=READS)


def _question(filters: EventFilters) -> feed.Question:
    return feed.Question(
        tuple(filters.types), filters.project_id, filters.task_id, everybodys=filters.scope == "all"
    )


async def _wait(request: Request, settling: Annotated[Settling, Depends()]) -> Settling:
    """Wait for the first event before the transaction begins, so that waiting holds no connection."""
    filters = request.scope[PARSED]["filters"]
    if not filters.wait:
        return settling
    claims, question = request.scope[CLAIMS], _question(filters)
    position: int | None = None

    def look(db: Any) -> bool:
        nonlocal position
        user = auth.authorize(db, claims, admin=False, scope=READS)
        after = feed.begin(db, filters.after).after if position is None else position
        found = feed.page(db, user, question, after, 1)
        if not found.events:
            # The next look examines only what came meanwhile.
            position = found.position
        return bool(found.events)

    async def is_there() -> bool:
        return await database.read_async(look)

    allow_waiting(request.scope, filters.wait)
    await wait_for_events(is_there, filters.wait)
    settling.end()
    return settling


@router.get("", response_model=list[Event], errors=[404, 410])
def list_events(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[EventPageFilters, Query()],
    request: Request,
    settling: Annotated[Settling, Depends(_wait)],
) -> Response:
    """List events, oldest first.

    The caller sees events of own tasks, and events of projects since becoming a member. The header `Link`
    always has the address of the next page. A client that follows it gets every event exactly once.
    """
    after, newest, until = feed.begin(db, filters.after)
    settling.check(newest, until)
    page = feed.page(db, user, _question(filters), after, filters.limit, until)
    link = f'<{_next(request, page.position)}>; rel="next"'
    return json_answer(json_array(page.events, event.as_json), 200, {"Link": link})


def _next(request: Request, position: int) -> str:
    query = [each for each in request.query_params.multi_items() if each[0] != "after"]
    if position > 0:
        query.append(("after", event_id.encode(position)))
    return str(request.url.replace(query=urlencode(query)))


@router.get(
    "/stream",
    errors=[404, 410, 429],
    response_class=Response,
    responses={200: {"description": "A stream of events", "content": {"text/event-stream": {}}}},
)
def stream_events(
    db: ReadSession,
    user: CurrentUser,
    filters: Annotated[EventFilters, Query()],
    request: Request,
    settling: Annotated[Settling, Depends()],
    last_event_id: Annotated[
        str | None,
        Header(
            max_length=100,
            description="The `id` of the last event that was received; browsers send it by themselves",
        ),
    ] = None,
) -> Response:
    """Follow events as a stream of Server-Sent Events.

    Each message has the event's `id`, its type as `event`, and the whole event as `data`. The stream begins
    behind `Last-Event-ID` or `after`; without them, with new events. A comment every 15 seconds shows that
    the stream is alive. The stream ends with the token or the session, and after 30 minutes: connect again
    with the `id` of the last event.
    """
    after, pointer = (last_event_id, LAST_EVENT_ID) if last_event_id else (filters.after, "?after")
    position, newest, until = feed.begin_at_end(db) if after is None else feed.begin(db, after, pointer)
    settling.check(newest, until)
    question = _question(filters)
    feed.check(db, user, question)
    return EventStream(user, request.scope[CLAIMS], question, position)
