"""The answers of the flow figures. Their parts are TypedDicts, because they are written from plain dicts."""

from datetime import date, datetime
from typing import Annotated

from pydantic import Field
from typing_extensions import TypeAliasType, TypedDict

from models import TaskStatus
from schemas.analytics import Percentage
from schemas.common import Answer

Hours = Annotated[float | None, Field(examples=[26.5])]
Count = Annotated[int, Field(examples=[12])]
Link = Annotated[str, Field(examples=["/tasks?status=completed"])]


# A schema of its own, because generators of clients would make one for each answer.
Meanings = TypeAliasType(
    "Meanings",
    Annotated[
        dict[str, str],
        Field(
            description="The meaning of each figure, by its name",
            examples=[{"lead_time": "The time from a task's creation to its completion."}],
        ),
    ],
)


class PeriodRead(TypedDict):
    """A span of time, without its end."""

    starts_at: datetime
    ends_at: datetime
    tz: str


class Durations(TypedDict):
    """Statistics of durations; null if there are none."""

    n: Count
    mean_hours: Hours
    p50_hours: Hours
    p70_hours: Hours
    p85_hours: Hours
    p95_hours: Hours
    min_hours: Hours
    max_hours: Hours


class CycleTimes(Durations):
    """Statistics of cycle times, and the number of tasks that were never started."""

    never_started: Count


class FlowFigures(TypedDict):
    """The figures of one period."""

    period: PeriodRead
    throughput: Count
    work_in_progress: Annotated[
        int, Field(description="The figure at the end of the period, or now if the period has not ended")
    ]
    lead_time: Durations
    cycle_time: CycleTimes
    links: "CompletedLink"


class CompletedLink(TypedDict):
    """The address of the tasks behind an answer."""

    completed: Link


class CreatedAndCompletedLinks(TypedDict):
    """The addresses of the tasks behind an answer."""

    created: Link
    completed: Link


class OpenLink(TypedDict):
    """The addresses of the tasks behind an answer."""

    open: Link
    completed: Annotated[str, Field(description="The tasks with whose cycle times ages are compared")]


class FlowAnswer(Answer):
    """The fields that every answer about flow has."""

    as_of: Annotated[datetime, Field(description="When the figures were computed")]
    n: Annotated[int, Field(description="The number of tasks that the answer is based on", examples=[12])]
    period: PeriodRead
    definitions: Meanings


class Flow(FlowAnswer):
    """The figures of this period and of the period before."""

    current: FlowFigures
    previous: FlowFigures


class ThroughputInterval(TypedDict):
    """Tasks created and completed in an interval."""

    date: Annotated[date, Field(description="The first day")]
    starts_at: datetime
    ends_at: datetime
    created: Count
    completed: Count


class Throughput(FlowAnswer):
    """Tasks created and completed in each interval; `n` is the number completed."""

    n_created: Count
    intervals: list[ThroughputInterval]
    links: CreatedAndCompletedLinks


class CumulativeInterval(TypedDict):
    """The number of tasks in each status at the end of an interval."""

    date: Annotated[date, Field(description="The first day")]
    ends_at: Annotated[datetime, Field(description="The end, which is not included")]
    pending: Count
    in_progress: Count
    completed: Count


class StatusCounts(TypedDict):
    """The number of tasks in each status."""

    pending: Count
    in_progress: Count
    completed: Count


class StateCounts(TypedDict):
    """The number of tasks in a state."""

    state: Annotated[str, Field(examples=["review"])]
    name: Annotated[str, Field(examples=["In review"])]
    status: TaskStatus
    at_start: Annotated[int, Field(description="At the beginning of the period", examples=[2])]
    counts: Annotated[list[int], Field(description="At the end of each interval", examples=[[2, 3, 1]])]


class CumulativeFlow(FlowAnswer):
    """The number of tasks in each status at the end of each interval; `n` is the number of all tasks."""

    at_start: Annotated[StatusCounts, Field(description="At the beginning of the period")]
    intervals: list[CumulativeInterval]
    states: Annotated[
        list[StateCounts] | None,
        Field(description="The same by the project's states, removed states last; null without `project_id`"),
    ]


class StatusDurations(Durations):
    """Statistics of the time in one status."""

    status: TaskStatus


class StateDurations(Durations):
    """Statistics of the time in one state."""

    state: Annotated[str, Field(examples=["review"])]
    name: Annotated[str, Field(examples=["In review"])]
    status: TaskStatus


class TimeInStatus(FlowAnswer):
    """The time that tasks completed in the period spent in each status."""

    statuses: list[StatusDurations]
    states: Annotated[
        list[StateDurations] | None,
        Field(description="The same by the project's states, removed states last; null without `project_id`"),
    ]
    links: CompletedLink


class AgingTask(TypedDict):
    """An open task."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["Write the report"])]
    project: Annotated[str, Field(examples=["Research"])]
    status: TaskStatus
    since: Annotated[
        datetime, Field(description="When the task was started or, if it was never started, created")
    ]
    never_started: bool
    age_hours: Annotated[float, Field(examples=[26.5])]
    age_percentile: Annotated[
        Percentage | None,
        Field(
            description="The percentage of past cycle times that are not longer than the age; null without"
            " any"
        ),
    ]
    state: Annotated[str, Field(examples=["review"])]


class Aging(FlowAnswer):
    """The open tasks, oldest first; `n` is the number of all open tasks."""

    cycle_time: CycleTimes
    tasks: list[AgingTask]
    next_cursor: Annotated[str | None, Field(description="Null on the last page", examples=[None])]
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
    """Tasks completed in the period, newest first; `n` is the number of all of them."""

    cycle_time: CycleTimes
    tasks: list[CycleTimeTask]
    next_cursor: Annotated[str | None, Field(description="Null on the last page", examples=[None])]
    links: CompletedLink


class DaysByChance(TypedDict):
    """The day by whose end the tasks are done with this chance; null if it is more than ten years away."""

    p50: date | None
    p70: date | None
    p85: date | None
    p95: date | None


class CountsByChance(TypedDict):
    """The number of tasks that are done at least, with this chance."""

    p50: Count
    p70: Count
    p85: Count
    p95: Count


class DayChance(TypedDict):
    """The chance that the tasks are done by the end of a day."""

    date: date
    percentage: Percentage


class CountChance(TypedDict):
    """The chance that at least this many tasks are done."""

    count: Count
    percentage: Percentage


class ForecastBasis(TypedDict):
    """The past that a forecast is based on."""

    starts_on: date
    ends_before: date
    weeks: Annotated[int, Field(examples=[26])]
    completed: Annotated[int, Field(examples=[120])]
    trials: Annotated[int, Field(examples=[10_000])]


class Forecast(FlowAnswer):
    """A forecast of a day or of a number; `n` is the number of completed tasks that it is based on."""

    starts_on: Annotated[date, Field(description="The first day of the forecast")]
    basis: ForecastBasis
    remaining: int | None
    until: date | None
    done_by: Annotated[DaysByChance | None, Field(description="The answer to `remaining`")]
    how_many: Annotated[CountsByChance | None, Field(description="The answer to `until`")]
    days: Annotated[
        list[DayChance], Field(description="For `remaining`: the chance that the tasks are done, day by day")
    ]
    counts: Annotated[list[CountChance], Field(description="For `until`: the chance of each number of tasks")]
    links: CompletedLink


class BurnupInterval(TypedDict):
    """Scope and completed tasks at the end of an interval."""

    date: Annotated[date, Field(description="The first day")]
    ends_at: Annotated[datetime, Field(description="The end, which is not included")]
    scope: Count
    completed: Count


class ConePoint(CountsByChance):
    """The number of tasks that are completed at least by the end of a day, with each chance."""

    date: date


class BurnupForecast(TypedDict):
    """The time when the current scope will be completed."""

    remaining: Count
    done_by: DaysByChance | None
    cone: list[ConePoint]
    refused: Annotated[str | None, Field(description="Why there is no forecast; null if there is one")]


class Burnup(FlowAnswer):
    """Scope and completed tasks over time; `n` is the current scope."""

    intervals: list[BurnupInterval]
    forecast: BurnupForecast


class Definitions(Answer):
    """The meaning of each figure."""

    definitions: Annotated[
        dict[str, str], Field(examples=[{"throughput": "How many tasks were completed in a period"}])
    ]


class PictureLink(Answer):
    """A link that shows one picture to everyone who has it."""

    url: Annotated[str, Field(examples=["/analytics/pictures/throughput?signature=eyJhbGciOi..."])]
    expires_at: datetime
