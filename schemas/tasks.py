"""Tasks, lists of them, and their history."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models import LARGEST_ID, TITLE_LENGTH, TaskHistoryKind, TaskStatus
from schemas.common import (
    ANY_OF,
    Answer,
    BlockedReason,
    Body,
    Choices,
    Description,
    Id,
    Moment,
    Page,
    Priority,
    PriorityChoices,
    Project,
    ProjectChoices,
    QueryFilter,
    ReadOnlyTime,
    StateChoices,
    StateKey,
    TagChoices,
    Tags,
    Text,
    Time,
    TimeZone,
    Title,
    ViewId,
    Whole,
)

MOST_IMPORTED = 10_000
SortBy = Literal["created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id"]
SortOrder = Literal["desc", "asc"]


class TaskCreate(Body):
    """A new task; only the title is needed."""

    title: Title
    description: Description | None = None
    status: TaskStatus = "pending"
    priority: Priority = 0
    project: Project = "General"
    tags: Annotated[Tags, Field(default_factory=list)]
    due_at: Time | None = None
    state: Annotated[
        StateKey | None, Field(description="A key of its project's states; it says the status too")
    ] = None
    project_id: Annotated[
        Id | None, Field(description="The shared project that it is for", examples=[None])
    ] = None
    user_id: Annotated[
        Id | None, Field(description="In a shared project: the member who gets it", examples=[None])
    ] = None


class TaskUpdate(Body):
    """The fields to change; the others stay.

    `null` clears `description`, `due_at` and `project_id` and leaves the others as they are. The read-only fields may be
    sent back with the values they have.
    """

    title: Title | None = None
    description: Description | None = None
    status: TaskStatus | None = None
    priority: Priority | None = None
    project: Project | None = None
    tags: Tags | None = None
    due_at: Time | None = None
    id: Annotated[Whole | None, Field(description="Read-only")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    updated_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    completed_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    user_id: Annotated[Whole | None, Field(description="Read-only: see assign")] = None
    state: Annotated[
        StateKey | None, Field(description="A key of its project's states; it sets the status too")
    ] = None
    project_id: Annotated[
        Id | None, Field(description="Moves it into a shared project; `null` out of it", examples=[None])
    ] = None
    blocked_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    blocked_reason: Annotated[str | None, Field(description="Read-only")] = None


class TaskBlock(Body):
    """Why a task can't go on."""

    reason: BlockedReason


class TaskRead(Answer):
    """A task."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["Write the report"])]
    description: Annotated[str | None, Field(examples=["Two pages, with figures"])]
    status: TaskStatus
    state: Annotated[
        str,
        Field(
            description="A key of its project's states; without a project its status", examples=["pending"]
        ),
    ]
    priority: Annotated[int, Field(examples=[2])]
    project: Annotated[str, Field(description="A label; in a shared project its name", examples=["Research"])]
    project_id: Annotated[int | None, Field(description="The shared project it belongs to")]
    tags: Annotated[list[str], Field(examples=[["writing"]])]
    due_at: datetime | None
    blocked_at: datetime | None
    blocked_reason: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    user_id: Annotated[int, Field(description="The owner", examples=[1])]


class TaskImport(Body):
    """A task with its past; `id`, `user_id` and `project_id` are taken, so that an export can be read."""

    title: Title
    description: Description | None = None
    status: TaskStatus = "pending"
    priority: Priority = 0
    project: Project = "General"
    tags: Annotated[Tags, Field(default_factory=list)]
    due_at: Time | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    completed_at: Time | None = None
    blocked_at: Time | None = None
    blocked_reason: BlockedReason | None = None
    state: Annotated[StateKey | None, Field(description="An unknown one: the first that has the status")] = (
        None
    )
    id: Annotated[Any, Field(description="Not used", examples=["TASK-1"])] = None
    user_id: Annotated[Any, Field(description="Not used", examples=[1])] = None
    project_id: Annotated[Any, Field(description="Not used: see the parameter", examples=[1])] = None


class Imported(Answer):
    """How many tasks were taken, and their ids in the order of the file."""

    imported: Annotated[int, Field(examples=[2])]
    ids: Annotated[list[int], Field(examples=[[17, 18]])]


class HistoryEntry(Answer):
    """One change of a task."""

    id: Annotated[int, Field(examples=[1])]
    task_id: Annotated[int, Field(examples=[1])]
    kind: TaskHistoryKind
    created_at: Annotated[datetime, Field(description="When it was changed")]
    actor_id: Annotated[int, Field(description="Who changed it", examples=[1])]
    changes: Annotated[
        dict[str, dict[str, Any]],
        Field(
            description="Each field that changed, from what to what",
            examples=[{"status": {"from": "pending", "to": "completed"}}],
        ),
    ]


class TaskConditions(BaseModel):
    """Which tasks; filters combine with AND."""

    # Before the times, whose days are those of this zone.
    tz: TimeZone = "UTC"
    status: Annotated[Choices[TaskStatus], Field(description=ANY_OF)] = Field(default_factory=list)
    state: StateChoices = Field(default_factory=list)
    project_id: Annotated[
        Whole | None,
        Field(ge=0, le=LARGEST_ID, description="All tasks of a shared project that the caller is in"),
    ] = None
    blocked: Annotated[bool | None, Field(description="Only those that are blocked, or are not")] = None
    title_contains: Annotated[
        Text | None, Field(min_length=1, max_length=TITLE_LENGTH, description="In any letter case")
    ] = None
    project: ProjectChoices = Field(default_factory=list)
    tag: TagChoices = Field(default_factory=list)
    priority: PriorityChoices = Field(default_factory=list)
    updated_after: Annotated[Moment | None, Field(description="Then or later")] = None
    updated_before: Annotated[Moment | None, Field(description="Earlier")] = None
    created_after: Annotated[Moment | None, Field(description="Then or later")] = None
    created_before: Annotated[Moment | None, Field(description="Earlier")] = None
    due_before: Annotated[Moment | None, Field(description="Earlier")] = None
    due_after: Annotated[Moment | None, Field(description="Then or later")] = None
    completed_after: Annotated[Moment | None, Field(description="Then or later")] = None
    completed_before: Annotated[Moment | None, Field(description="Earlier")] = None
    filter: QueryFilter | None = None


class TaskFilters(TaskConditions, Page):
    """Which tasks, in which order; filters combine with AND."""

    view: ViewId | None = None
    total: Annotated[bool, Field(description="Tell in `X-Total-Count` how many tasks the filters find")] = (
        False
    )
    sort_by: SortBy = "created_at"
    sort_order: SortOrder = "desc"


class ExportQuery(BaseModel):
    """Which tasks are exported, how many, and from where."""

    model_config = ConfigDict(extra="forbid")

    tz: TimeZone = "UTC"
    filter: QueryFilter | None = None
    view: ViewId | None = None
    limit: Annotated[
        int | None,
        Field(ge=1, le=MOST_IMPORTED, description="How many tasks at most: one import takes as many"),
    ] = None
    cursor: Annotated[
        str | None,
        Field(max_length=200, description="Where to go on, from the `Link` header of the part before"),
    ] = None


class TaskSearch(TaskFilters):
    """A search within titles, with all the filters of a list."""

    query: Annotated[Text, Field(min_length=1, max_length=TITLE_LENGTH, description="In any letter case")]


class OwnerFilters(TaskFilters):
    """The filters of a list, and by owner."""

    user_id: Annotated[int | None, Field(ge=0, le=LARGEST_ID, description="The owner")] = None


class SampleTask(Answer):
    """The smallest task there is."""

    title: Annotated[str, Field(examples=["Sample Task"])]
    status: TaskStatus
