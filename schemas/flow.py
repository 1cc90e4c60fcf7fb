"""The questions about flow; the answers are in `flow_answers.py`."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainValidator, WithJsonSchema

from models import LARGEST_ID
from schemas.common import (
    DAY_SCHEMA,
    TIME_SCHEMA,
    Body,
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

ChartName = Literal[
    "throughput", "cumulative-flow", "cycle-times", "time-in-status", "aging", "forecast", "burnup"
]

Interval = Literal["day", "week", "month"]


def _day(value: Any) -> Any:
    try:
        return date.fromisoformat(value) if isinstance(value, str) and len(value) == 10 else _refuse()
    except ValueError:
        return _refuse()


def _refuse() -> date:
    raise ValueError("Input should be a day such as 2026-11-22")


Day = Annotated[date, BeforeValidator(_day), WithJsonSchema(DAY_SCHEMA)]
# A datetime is a date too.
DayOrTime = Annotated[date, PlainValidator(day_or_time), WithJsonSchema({"anyOf": [DAY_SCHEMA, TIME_SCHEMA]})]


class FlowQuery(BaseModel):
    """Which tasks, and when."""

    model_config = ConfigDict(extra="forbid")

    from_: Annotated[
        DayOrTime | None,
        Field(alias="from", description="A day, from its beginning, or a time; by default 90 days"),
    ] = None
    to: Annotated[
        DayOrTime | None,
        Field(description="A day, which is included, or a time, which is not; by default today"),
    ] = None
    tz: TimeZone = "UTC"
    project: ProjectChoices = Field(default_factory=list)
    tag: TagChoices = Field(default_factory=list)
    priority: PriorityChoices = Field(default_factory=list)
    filter: QueryFilter | None = None
    project_id: Annotated[
        int | None,
        Field(ge=0, le=LARGEST_ID, description="All tasks of a shared project that the caller is in"),
    ] = None
    view: ViewId | None = None
    user_id: Annotated[int | None, Field(ge=0, le=LARGEST_ID, description="Another's tasks (admins)")] = None
    scope: Annotated[Literal["own", "all"], Field(description="`all`: everybody's tasks (admins)")] = "own"


class IntervalQuery(FlowQuery):
    """The same, interval by interval."""

    interval: Interval = "week"


class CumulativeQuery(IntervalQuery):
    """The same, and from when completed tasks count."""

    completed: Annotated[
        Literal["all", "period"],
        Field(description="`period`: leave out what was completed before the period, which crushes the rest"),
    ] = "all"


class ListQuery(FlowQuery):
    """The same, and how many tasks are listed."""

    limit: Annotated[int, Field(ge=1, le=5000, description="How many tasks at most")] = 500
    cursor: Annotated[
        Text | None, Field(max_length=200, description="From the `Link` of the page before, as it stands")
    ] = None


class ForecastQuery(FlowQuery):
    """How many tasks are to be done, or by when."""

    remaining: Annotated[
        int | None, Field(ge=1, le=MOST_REMAINING, description="How many tasks are still to be done")
    ] = None
    until: Annotated[Day | None, Field(description="By the end of this day")] = None


class PictureLinkCreate(Body):
    """A chart, what it is asked with, and how long anybody who has the link may see it."""

    chart: ChartName
    query: Annotated[
        dict[str, Any],
        Field(
            default_factory=dict,
            description="The parameters of the chart's own call",
            examples=[{"interval": "month"}],
        ),
    ]
    expires_in_days: Annotated[Whole, Field(ge=1, le=365, examples=[30])] = 30


# The parts are TypedDicts, for they are written from plain dicts.
