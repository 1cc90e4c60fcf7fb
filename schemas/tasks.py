"""Tasks, lists of them, and their history."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from models import TITLE_LENGTH, TaskStatus
from schemas.common import (
    ANY_OF,
    LONGEST_CURSOR,
    Answer,
    BlockedReason,
    Body,
    Choices,
    Description,
    Id,
    Moment,
    OfProject,
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
from tables.history import TaskHistoryKind
from tables.views import SortOrder

MOST_IMPORTED = 10_000
SortBy = Literal["created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id"]


def _without_default(schema: dict[str, Any]) -> None:
    """Leave out a default that depends on another field: generated clients would send it beside that field."""
    schema.pop("default", None)


InitialStatus = Annotated[
    TaskStatus, Field(description="`pending`, or by `state`", json_schema_extra=_without_default)
]
InitialProject = Annotated[
    Project, Field(description="`General`, or by `project_id`", json_schema_extra=_without_default)
]


class TaskCreate(Body):
    """A new task."""

    title: Title
    description: Description | None = None
    status: InitialStatus = "pending"
    priority: Priority = 0
    project: InitialProject = "General"
    tags: Annotated[Tags, Field(default_factory=list)]
    due_at: Time | None = None
    state: Annotated[
        StateKey | None, Field(description="A key of the project's states, which sets the status too")
    ] = None
    project_id: Annotated[
        Id | None, Field(description="The shared project that the task belongs to", examples=[None])
    ] = None
    user_id: Annotated[
        Id | None, Field(description="The member who gets the task, in a shared project", examples=[None])
    ] = None


class TaskUpdate(Body):
    """Fields that are not sent stay. `null` clears `description`, `due_at` and `project_id`, and no other field."""

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
    user_id: Annotated[Whole | None, Field(description="Read-only; see `PUT /tasks/{task_id}/assign`")] = None
    state: Annotated[
        StateKey | None, Field(description="A key of the project's states, which sets the status too")
    ] = None
    project_id: Annotated[
        Id | None,
        Field(description="The shared project to move the task into; `null` moves it out", examples=[None]),
    ] = None
    blocked_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    blocked_reason: Annotated[str | None, Field(description="Read-only")] = None


class TaskBlock(Body):
    """The reason why a task can't go on."""

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
            description="A key of the project's states; without a project the same as `status`",
            examples=["pending"],
        ),
    ]
    priority: Annotated[int, Field(examples=[2])]
    project: Annotated[
        str, Field(description="A label; in a shared project the name of the project", examples=["Research"])
    ]
    project_id: Annotated[int | None, Field(description="The shared project that the task belongs to")]
    tags: Annotated[list[str], Field(examples=[["writing"]])]
    due_at: datetime | None
    blocked_at: datetime | None
    blocked_reason: str | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    user_id: Annotated[int, Field(description="The owner", examples=[1])]


class TaskImport(Body):
    """A task with its past. `id`, `user_id` and `project_id` are accepted and not used, so that exports import."""

    title: Title
    description: Description | None = None
    status: InitialStatus = "pending"
    priority: Priority = 0
    project: InitialProject = "General"
    tags: Annotated[Tags, Field(default_factory=list)]
    due_at: Time | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    completed_at: Time | None = None
    blocked_at: Time | None = None
    blocked_reason: BlockedReason | None = None
    state: Annotated[
        StateKey | None,
        Field(
            description="A key of the project's states; an unknown key becomes the first state with the"
            " status"
        ),
    ] = None
    id: Any = None
    user_id: Any = None
    project_id: Any = None


class Imported(Answer):
    """The number of imported tasks, and their ids in the order of the file."""

    imported: Annotated[int, Field(examples=[2])]
    ids: Annotated[list[int], Field(examples=[[17, 18]])]


class HistoryEntry(Answer):
    """One change of a task."""

    id: Annotated[int, Field(examples=[1])]
    task_id: Annotated[int, Field(examples=[1])]
    kind: TaskHistoryKind
    created_at: datetime
    actor_id: Annotated[int, Field(description="The account that made the change", examples=[1])]
    changes: Annotated[
        dict[str, dict[str, Any]],
        Field(
            description="Each changed field with its old and new value",
            examples=[{"status": {"from": "pending", "to": "completed"}}],
        ),
    ]


class TaskConditions(BaseModel):
    """Filters of tasks, which combine with AND."""

    # The time zone stands before the times, because their days are days in this zone.
    tz: TimeZone = "UTC"
    status: Annotated[Choices[TaskStatus], Field(description=ANY_OF)] = Field(default_factory=list)
    state: StateChoices = Field(default_factory=list)
    project_id: OfProject = None
    blocked: Annotated[bool | None, Field(description="`true` finds blocked tasks, `false` the others")] = (
        None
    )
    title_contains: Annotated[
        Text | None,
        Field(min_length=1, max_length=TITLE_LENGTH, description="A text in the title, in any letter case"),
    ] = None
    project: ProjectChoices = Field(default_factory=list)
    tag: TagChoices = Field(default_factory=list)
    priority: PriorityChoices = Field(default_factory=list)
    updated_after: Annotated[Moment | None, Field(description="From this time on")] = None
    updated_before: Annotated[Moment | None, Field(description="Before this time")] = None
    created_after: Annotated[Moment | None, Field(description="From this time on")] = None
    created_before: Annotated[Moment | None, Field(description="Before this time")] = None
    due_before: Annotated[Moment | None, Field(description="Before this time")] = None
    due_after: Annotated[Moment | None, Field(description="From this time on")] = None
    completed_after: Annotated[Moment | None, Field(description="From this time on")] = None
    completed_before: Annotated[Moment | None, Field(description="Before this time")] = None
    filter: QueryFilter | None = None


class TaskFilters(TaskConditions, Page):
    """Filters and order of a list of tasks. Filters combine with AND."""

    view: ViewId | None = None
    total: Annotated[
        bool, Field(description="Whether `X-Total-Count` tells how many tasks the filters find")
    ] = False
    sort_by: Annotated[SortBy, Field(description="Nulls come last")] = "created_at"
    sort_order: Annotated[SortOrder, Field(description="Descending or ascending")] = "desc"


class ExportQuery(BaseModel):
    """The tasks to export, their largest number, and the place to go on."""

    model_config = ConfigDict(extra="forbid")

    tz: TimeZone = "UTC"
    project_id: OfProject = None
    filter: QueryFilter | None = None
    view: ViewId | None = None
    limit: Annotated[
        int | None,
        Field(
            ge=1, le=MOST_IMPORTED, description="The largest number of tasks; one import takes up to 10,000"
        ),
    ] = None
    cursor: Annotated[
        str | None,
        Field(max_length=LONGEST_CURSOR, description="The place of the next part, from the `Link` header"),
    ] = None


class TaskSearch(TaskFilters):
    """A search in titles, with all filters of a list."""

    query: Annotated[
        Text,
        Field(min_length=1, max_length=TITLE_LENGTH, description="A text in the title, in any letter case"),
    ]


class OwnerFilters(TaskFilters):
    """The filters of a list, and a filter by owner."""

    user_id: Annotated[Id | None, Field(description="The owner")] = None


class SampleTask(Answer):
    """The smallest task there is."""

    title: Annotated[str, Field(examples=["Sample Task"])]
    status: TaskStatus
