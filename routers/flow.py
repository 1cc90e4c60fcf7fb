"""Flow figures: of the caller's tasks and, for admins, of other tasks; as JSON, a table or a picture."""

from typing import Annotated, Any

from fastapi import Depends, Path, Query, Request, Response

from auth import CurrentUser
from config import settings
from schemas import flow_answers as shapes
from schemas.flow import (
    LONGEST_SIGNATURE,
    ChartName,
    CumulativeQuery,
    FlowQuery,
    ForecastQuery,
    IntervalQuery,
    ListQuery,
    PictureLinkCreate,
)
from services.flow import answers, pictures, tables
from services.flow.definitions import DEFINITIONS
from services.flow.question import ask
from services.paging import PageOf
from web.negotiation import CSV, JSON, SVG, accepted
from web.routing import Router, link_next
from web.transaction import ReadSession, SnapshotSession

router = Router(prefix="/analytics", tags=["flow"], reads="analytics:read")

Format = Annotated[str, Depends(accepted(JSON, CSV))]
PictureFormat = Annotated[str, Depends(accepted(JSON, CSV, SVG))]
TEXT: dict[str, Any] = {"schema": {"type": "string"}}
TABLE: dict[str, Any] = {"responses": {200: {"content": {CSV: TEXT}}}, "errors": [403, 404, 406]}
PICTURE: dict[str, Any] = TABLE | {"responses": {200: {"content": {CSV: TEXT, SVG: TEXT}}}}


def _answer(
    media_type: str, answer: dict[str, Any], row: Any = None, chart: str = ""
) -> dict[str, Any] | Response:
    """The answer in the wanted format. `row` is the type of a row of its table."""
    if media_type == JSON:
        return answer
    if media_type == SVG:
        return Response(pictures.draw(chart, answer), media_type=SVG, headers={"Vary": "Accept"})
    columns = list(row.__annotations__) if row is not None else []
    described_by = f'<{settings.root}/analytics/definitions>; rel="describedby"'
    headers = {"Vary": "Accept", "Link": described_by}
    return Response(tables.to_csv(answer, columns), media_type=CSV, headers=headers)


def _page(
    request: Request, response: Response, media_type: str, answer: dict[str, Any], row: Any
) -> dict[str, Any] | Response:
    """The answer for one page of a list, with the address of the next page in the header `Link`."""
    chart = request.url.path.rstrip("/").rpartition("/")[2]
    content = _answer(media_type, answer, row, chart)
    headers = content.headers if isinstance(content, Response) else response.headers
    link_next(request, response, PageOf([], answer["next_cursor"]))
    if content is not answer and (link := response.headers.get("Link")):
        headers["Link"] = f"{headers['Link']}, {link}" if "Link" in headers else link
    return content


@router.get("/definitions", response_model=shapes.Definitions, on_loop=True, tags=["glossary"])
def definitions(db: ReadSession, user: CurrentUser) -> dict[str, Any]:
    """Get the meaning of each figure."""
    return {"definitions": DEFINITIONS}


@router.get("/flow", response_model=shapes.Flow, **TABLE)
def read_flow(
    db: SnapshotSession, user: CurrentUser, query: Annotated[FlowQuery, Query()], media_type: Format
) -> dict[str, Any] | Response:
    """Get throughput, work in progress, lead time and cycle time, of this period and the period before."""
    return _answer(media_type, answers.flow(db, ask(db, user, query)))


@router.get("/throughput", response_model=shapes.Throughput, **PICTURE)
def read_throughput(
    db: SnapshotSession,
    user: CurrentUser,
    query: Annotated[IntervalQuery, Query()],
    media_type: PictureFormat,
) -> dict[str, Any] | Response:
    """Count the tasks created and completed in each interval, including empty intervals."""
    answer = answers.throughput(db, ask(db, user, query), query.interval)
    return _answer(media_type, answer, shapes.ThroughputInterval, "throughput")


@router.get("/cumulative-flow", response_model=shapes.CumulativeFlow, **PICTURE)
def read_cumulative_flow(
    db: SnapshotSession,
    user: CurrentUser,
    query: Annotated[CumulativeQuery, Query()],
    media_type: PictureFormat,
) -> dict[str, Any] | Response:
    """Count the tasks in each status at the end of each interval, from the history."""
    answer = answers.cumulative_flow(db, ask(db, user, query), query.interval, query.completed)
    return _answer(media_type, answer, shapes.CumulativeInterval, "cumulative-flow")


@router.get("/time-in-status", response_model=shapes.TimeInStatus, **PICTURE)
def read_time_in_status(
    db: SnapshotSession, user: CurrentUser, query: Annotated[FlowQuery, Query()], media_type: PictureFormat
) -> dict[str, Any] | Response:
    """Get the time that completed tasks spent in each status."""
    return _answer(
        media_type,
        answers.time_in_status(db, ask(db, user, query)),
        shapes.StatusDurations,
        "time-in-status",
    )


@router.get("/aging", response_model=shapes.Aging, **PICTURE)
def read_aging(
    db: SnapshotSession,
    user: CurrentUser,
    query: Annotated[ListQuery, Query()],
    media_type: PictureFormat,
    request: Request,
    response: Response,
) -> dict[str, Any] | Response:
    """List the open tasks, oldest first, each with its age and age percentile.

    The percentile compares the age with the cycle times of the tasks completed in the period.
    """
    answer = answers.aging(db, ask(db, user, query), query.limit, query.cursor)
    return _page(request, response, media_type, answer, shapes.AgingTask)


@router.get("/cycle-times", response_model=shapes.CycleTimeList, **PICTURE)
def read_cycle_times(
    db: SnapshotSession,
    user: CurrentUser,
    query: Annotated[ListQuery, Query()],
    media_type: PictureFormat,
    request: Request,
    response: Response,
) -> dict[str, Any] | Response:
    """List the tasks completed in the period, newest first, each with its lead and cycle time."""
    answer = answers.cycle_times(db, ask(db, user, query), query.limit, query.cursor)
    return _page(request, response, media_type, answer, shapes.CycleTimeTask)


@router.get("/forecast", response_model=shapes.Forecast, **(PICTURE | {"errors": [403, 404, 406, 409]}))
def read_forecast(
    db: SnapshotSession,
    user: CurrentUser,
    query: Annotated[ForecastQuery, Query()],
    media_type: PictureFormat,
) -> dict[str, Any] | Response:
    """Forecast the day by which `remaining` tasks are done, or how many are done by the day `until`.

    The forecast is a Monte Carlo simulation from past throughput. The same question about the same history
    has the same answer.
    """
    answer = answers.will_be_done(
        db,
        ask(db, user, query),
        remaining=query.remaining,
        until=query.until,
        from_given=query.from_ is not None,
    )
    return _answer(media_type, answer, chart="forecast")


@router.get("/burnup", response_model=shapes.Burnup, **PICTURE)
def read_burnup(
    db: SnapshotSession,
    user: CurrentUser,
    query: Annotated[IntervalQuery, Query()],
    media_type: PictureFormat,
) -> dict[str, Any] | Response:
    """Get scope and completed tasks over time, and a forecast of when the current scope is completed."""
    answer = answers.burnup(db, ask(db, user, query), query.interval)
    return _answer(media_type, answer, shapes.BurnupInterval, "burnup")


@router.post(
    "/pictures",
    response_model=shapes.PictureLink,
    status_code=201,
    errors=[403, 404, 409],
    scope="analytics:read",
)
def make_picture_link(db: SnapshotSession, user: CurrentUser, body: PictureLinkCreate) -> dict[str, Any]:
    """Create a link to a picture of a chart. It needs no login and works until it expires.

    The picture shows the day on which it is opened, unless the query names days. The link stops working when
    the account is deleted, deactivated, or gets a new password.
    """
    return pictures.make_link(db, user, body.chart, body.query, body.expires_in_days)


@router.get(
    "/pictures/{chart}",
    responses={200: {"content": {SVG: TEXT}}},
    errors=[403, 404, 409],
)
def read_picture(
    db: SnapshotSession,
    chart: Annotated[ChartName, Path()],
    signature: Annotated[str, Query(max_length=LONGEST_SIGNATURE, description="From the link")],
) -> Response:
    """Get the chart of a link, as SVG."""
    # The links are made for pages of other origins.
    headers = {"Cross-Origin-Resource-Policy": "cross-origin", "Cache-Control": "private, max-age=300"}
    return Response(pictures.open_link(db, chart, signature), media_type=SVG, headers=headers)
