"""The answers of the flow figures."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypedDict

from models import TaskStatus
from schemas.analytics import Percentage
from schemas.common import Answer

Hours = Annotated[float | None, Field(examples=[26.5])]
Count = Annotated[int, Field(examples=[12])]
Link = Annotated[
    str,
    Field(
        description="The list of the tasks behind the figure, page by page",
        examples=["/tasks?status=completed&completed_after=2026-11-01T00%3A00%3A00Z"],
    ),
]


class PeriodRead(TypedDict):
    """A stretch of time, its end not included."""

    starts_at: datetime
    ends_at: datetime
    tz: str


class Durations(TypedDict):
    """What durations come to; nulls without any."""

    n: Count
    mean_hours: Hours
    p50_hours: Hours
    p70_hours: Hours
    p85_hours: Hours
    p95_hours: Hours
    min_hours: Hours
    max_hours: Hours


class CycleTimes(Durations):
    """What cycle times come to, and how many tasks were never started."""

    never_started: Count


class FlowFigures(TypedDict):
    """The figures of one period."""

    period: PeriodRead
    throughput: Count
    work_in_progress: Annotated[int, Field(description="At the end of the period, or now")]
    lead_time: Durations
    cycle_time: CycleTimes
    links: "CompletedLink"


class CompletedLink(TypedDict):
    """Where the tasks behind an answer are."""

    completed: Link


class CreatedAndCompletedLinks(TypedDict):
    """Where the tasks behind an answer are."""

    created: Link
    completed: Link


class OpenLink(TypedDict):
    """Where the tasks behind an answer are."""

    open: Link
    completed: Annotated[str, Field(description="The tasks whose cycle times ages are compared with")]


class FlowAnswer(Answer):
    """What every answer about flow tells of itself."""

    as_of: Annotated[datetime, Field(description="When the figures were right")]
    n: Annotated[int, Field(description="How many tasks the answer rests on", examples=[12])]
    period: PeriodRead
    definitions: dict[str, str]


class Flow(FlowAnswer):
    """The figures of this period beside those of the one before."""

    current: FlowFigures
    previous: FlowFigures


class ThroughputInterval(TypedDict):
    """What was created and completed in an interval."""

    date: Annotated[date, Field(description="The day it begins")]
    starts_at: datetime
    ends_at: datetime
    created: Count
    completed: Count


class Throughput(FlowAnswer):
    """What was created and completed in each interval; `n` is how many were completed."""

    n_created: Count
    intervals: list[ThroughputInterval]
    links: CreatedAndCompletedLinks


class CumulativeInterval(TypedDict):
    """How many tasks were in each status at the end of an interval."""

    date: Annotated[date, Field(description="The day it begins")]
    ends_at: Annotated[datetime, Field(description="The moment that is told of, which is not included")]
    pending: Count
    in_progress: Count
    completed: Count


class StatusCounts(TypedDict):
    """How many tasks were in each status."""

    pending: Count
    in_progress: Count
    completed: Count


class StateCounts(TypedDict):
    """How many tasks were in a state."""

    state: Annotated[str, Field(description="The key", examples=["review"])]
    name: Annotated[str, Field(examples=["In review"])]
    status: TaskStatus
    at_start: Annotated[int, Field(description="At the beginning of the period", examples=[2])]
    counts: Annotated[list[int], Field(description="At the end of each interval", examples=[[2, 3, 1]])]


class CumulativeFlow(FlowAnswer):
    """How many tasks were in each status at the end of each interval; `n` is how many there were in all."""

    at_start: Annotated[StatusCounts, Field(description="The same at the beginning of the period")]
    intervals: list[CumulativeInterval]
    states: Annotated[
        list[StateCounts] | None,
        Field(
            description="With `project_id`: the same by the project's states, those that were taken out last"
        ),
    ]


class StatusDurations(Durations):
    """What the time in one status comes to."""

    status: TaskStatus


class StateDurations(Durations):
    """What the time in one state comes to."""

    state: Annotated[str, Field(description="The key", examples=["review"])]
    name: Annotated[str, Field(examples=["In review"])]
    status: TaskStatus


class TimeInStatus(FlowAnswer):
    """How long the tasks completed in the period were in each status."""

    statuses: list[StatusDurations]
    states: Annotated[
        list[StateDurations] | None,
        Field(
            description="With `project_id`: the same by the project's states, those that were taken out last"
        ),
    ]
    links: CompletedLink


class AgingTask(TypedDict):
    """An open task."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["Write the report"])]
    project: Annotated[str, Field(examples=["Research"])]
    status: TaskStatus
    since: Annotated[datetime, Field(description="When it was started or, of one that was not, created")]
    never_started: bool
    age_hours: Annotated[float, Field(examples=[26.5])]
    age_percentile: Annotated[
        Percentage | None, Field(description="Of the past cycle times; null where there are none")
    ]
    state: Annotated[
        str,
        Field(description="A key of its project's states; without a project its status", examples=["review"]),
    ]


class Aging(FlowAnswer):
    """The open tasks, oldest first; `n` is how many there are in all."""

    cycle_time: CycleTimes
    tasks: list[AgingTask]
    next_cursor: Annotated[
        str | None, Field(description="Where the next page begins; null where there is none", examples=[None])
    ]
    links: OpenLink


class CycleTimeTask(TypedDict):
    """A completed task."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["Write the report"])]
    project: Annotated[str, Field(examples=["Research"])]
    completed_at: datetime
    never_started: bool
    lead_time_hours: Annotated[float, Field(examples=[50.25])]
    cycle_time_hours: Annotated[float, Field(examples=[26.5])]


class CycleTimeList(FlowAnswer):
    """The tasks completed last in the period; `n` is how many were completed in all."""

    cycle_time: CycleTimes
    tasks: list[CycleTimeTask]
    next_cursor: Annotated[
        str | None, Field(description="Where the next page begins; null where there is none", examples=[None])
    ]
    links: CompletedLink


class DaysByChance(TypedDict):
    """The day by whose end it is done, with that chance; null where it is more than ten years away."""

    p50: date | None
    p70: date | None
    p85: date | None
    p95: date | None


class CountsByChance(TypedDict):
    """How many are done at least, with that chance."""

    p50: Count
    p70: Count
    p85: Count
    p95: Count


class DayChance(TypedDict):
    """How likely it is to be done by the end of a day."""

    date: date
    percentage: Percentage


class CountChance(TypedDict):
    """How likely it is that at least so many are done."""

    count: Count
    percentage: Percentage


class ForecastBasis(TypedDict):
    """The past that a forecast rests on."""

    starts_on: date
    ends_before: date
    weeks: Annotated[int, Field(examples=[26])]
    completed: Annotated[int, Field(description="In these weeks", examples=[120])]
    trials: Annotated[int, Field(examples=[10_000])]


class Forecast(FlowAnswer):
    """By when, or how many by then; `n` is how many tasks were completed in the past it rests on."""

    starts_on: Annotated[date, Field(description="The first day of the forecast")]
    basis: ForecastBasis
    remaining: int | None
    until: date | None
    done_by: Annotated[DaysByChance | None, Field(description="With `remaining`")]
    how_many: Annotated[CountsByChance | None, Field(description="With `until`")]
    days: Annotated[
        list[DayChance], Field(description="With `remaining`: the chance day by day, as it grows")
    ]
    counts: Annotated[
        list[CountChance], Field(description="With `until`: the chance of each number, as it falls")
    ]
    links: CompletedLink


class BurnupInterval(TypedDict):
    """Scope and what was completed at the end of an interval."""

    date: Annotated[date, Field(description="The day it begins")]
    ends_at: Annotated[datetime, Field(description="The moment that is told of, which is not included")]
    scope: Count
    completed: Count


class ConePoint(CountsByChance):
    """How many will have been completed by the end of a day, at least, with each chance."""

    date: date


class BurnupForecast(TypedDict):
    """When the scope of now will be completed."""

    remaining: Count
    done_by: DaysByChance | None
    cone: list[ConePoint]
    refused: Annotated[str | None, Field(description="Why there is no forecast, where there is none")]


class Burnup(FlowAnswer):
    """Scope and completed over time; `n` is the scope now."""

    intervals: list[BurnupInterval]
    forecast: BurnupForecast


class Definitions(Answer):
    """What each figure means."""

    definitions: Annotated[
        dict[str, str], Field(examples=[{"throughput": "How many tasks were completed in a period"}])
    ]


class PictureLink(Answer):
    """A link that shows one picture to anybody who has it."""

    url: Annotated[str, Field(examples=["/analytics/pictures/throughput?signature=eyJhbGciOi..."])]
    expires_at: datetime
