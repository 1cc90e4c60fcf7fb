"""The questions about flow; `flow_answers.py` has the answers."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from schemas.common import (
    DAY_SCHEMA,
    TIME_SCHEMA,
    Body,
    Extent,
    Id,
    OfProject,
    PriorityChoices,
    ProjectChoices,
    QueryFilter,
    TagChoices,
    Text,
    TimeZone,
    ViewId,
    Whole,
    day_or_time,
)

MOST_REMAINING = 100_000
# Many proxies refuse addresses that are much longer.
LONGEST_SIGNATURE = 8000

ChartName = Literal[
    "throughput", "cumulative-flow", "cycle-times", "time-in-status", "aging", "forecast", "burnup"
]

Interval = Literal["day", "week", "month"]


def _day(value: Any) -> date:
    try:
        if isinstance(value, str) and len(value) == len("2026-11-22"):
            return date.fromisoformat(value)
    except ValueError:
        pass
    raise ValueError("Input should be a day such as 2026-11-22")


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema(DAY_SCHEMA)]
# A datetime is also a date, so this type holds both.
DayOrTime = Annotated[date, PlainValidator(day_or_time), WithJsonSchema({"anyOf": [DAY_SCHEMA, TIME_SCHEMA]})]


class FlowQuery(BaseModel):
    """The tasks and the period that a question is about."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[
        DayOrTime | None,
        Field(
            alias="from",
            description="The start: a day, from its beginning, or a time; by default 90 days before `to`",
        ),
    ] = None
    to: Annotated[
        DayOrTime | None,
        Field(description="The end: a day, which is included, or a time, which is not; by default today"),
    ] = None
    tz: TimeZone = "UTC"
    project: ProjectChoices = Field(default_factory=list)
    tag: TagChoices = Field(default_factory=list)
    priority: PriorityChoices = Field(default_factory=list)
    filter: QueryFilter | None = None
    project_id: OfProject = None
    view: ViewId | None = None
    user_id: Annotated[Id | None, Field(description="The tasks of this account (admins)")] = None
    scope: Annotated[Extent, Field(description="`all` covers all accounts (admins)")] = "own"


class IntervalQuery(FlowQuery):
    """A question that is answered interval by interval."""

    interval: Annotated[Interval, Field(description="The length of each interval")] = "week"


class CumulativeQuery(IntervalQuery):
    """A question about cumulative flow."""

    completed: Annotated[
        Literal["all", "period"],
        Field(
            description="`period` leaves out tasks that were completed before the period, so that the chart"
            " shows the others"
        ),
    ] = "all"


class ListQuery(FlowQuery):
    """A question whose answer lists tasks in pages."""

    limit: Annotated[int, Field(ge=1, le=5000, description="The largest number of tasks")] = 500
    cursor: Annotated[
        Text | None, Field(max_length=200, description="The place of the next page, from the `Link` header")
    ] = None


class ForecastQuery(FlowQuery):
    """A question about the future: a number of tasks, or a day."""

    remaining: Annotated[
        int | None,
        Field(ge=1, le=MOST_REMAINING, description="The number of tasks that are still to be done"),
    ] = None
    until: Annotated[Day | None, Field(description="The day by whose end tasks are counted")] = None


class PictureLinkCreate(Body):
    """A chart, the query it is drawn from, and how long its link works."""

    chart: ChartName
    query: Annotated[
        dict[str, Any],
        Field(
            default_factory=dict,
            description="The query parameters of the chart's own endpoint",
            examples=[{"interval": "month"}],
        ),
    ]
    expires_in_days: Annotated[Whole, Field(ge=1, le=365, examples=[30])] = 30
