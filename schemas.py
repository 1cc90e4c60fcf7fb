"""What goes in and out over HTTP."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, EmailStr, Field, WithJsonSchema

from models import DESCRIPTION_LENGTH, HIGHEST_PRIORITY, LARGEST_ID, PROJECT_LENGTH, TITLE_LENGTH

TaskStatus = Literal["pending", "in_progress", "completed"]
Role = Literal["admin", "member"]

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6}\d*)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def _parse_time(value: Any) -> Any:
    """A time as RFC 3339 writes it, a naive one taken as UTC; raises ValueError outside the years 1 to 9999."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and RFC_3339.fullmatch(value):
        # What is finer than a microsecond is cut off, as Postgres' and Python's times do.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper()))
    else:
        raise ValueError("Input should be a time such as 2026-11-22T09:30:00Z")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time between the years 1 and 9999 in UTC") from None


def _without_nul(value: str) -> str:
    if "\0" in value:
        raise ValueError("Input should be text without NUL characters")
    return value


def _not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("Input should not be blank")
    return value


Time = Annotated[
    datetime,
    BeforeValidator(_parse_time),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-22T09:30:00Z"]}),
]
Text = Annotated[str, AfterValidator(_without_nul)]
Title = Annotated[
    Text,
    Field(min_length=1, max_length=TITLE_LENGTH, examples=["Write the report"]),
    AfterValidator(_not_blank),
]
Description = Annotated[Text, Field(max_length=DESCRIPTION_LENGTH, examples=["Two pages, with figures"])]
Priority = Annotated[int, Field(ge=0, le=HIGHEST_PRIORITY, examples=[2])]
Project = Annotated[
    Text, Field(min_length=1, max_length=PROJECT_LENGTH, examples=["Research"]), AfterValidator(_not_blank)
]
Tag = Annotated[Text, Field(min_length=1, max_length=50, examples=["writing"]), AfterValidator(_not_blank)]
Tags = Annotated[list[Tag], Field(max_length=20)]
Id = Annotated[int, Field(ge=0, le=LARGEST_ID, examples=[1])]


class Body(BaseModel):
    """What a client sends: every field is known, and of the type it should be."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """What the API sends; a field is always there."""


class Message(Answer):
    """That something was done."""

    message: str


# -- accounts --------------------------------------------------------------------------------------

Username = Annotated[
    str,
    Field(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9._-]+$", examples=["ada"]),
]
Password = Annotated[str, Field(min_length=8, max_length=256, examples=["correct horse battery staple"])]


class RegisterRequest(Body):
    """A new account."""

    username: Username
    email: Annotated[EmailStr, Field(examples=["ada@example.com"])]
    password: Password


class UserRead(Answer):
    """An account."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]
    email: Annotated[str, Field(examples=["ada@example.com"])]
    is_active: bool
    role: Role
    created_at: datetime


class UserReference(Answer):
    """Who somebody is, for assigning a task to them."""

    id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]


class Token(Answer):
    """What a login answers."""

    access_token: Annotated[str, Field(examples=["eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.x"])]
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(description="Seconds until the access token expires", examples=[1800])]


# -- tasks -----------------------------------------------------------------------------------------


class TaskCreate(Body):
    """A new task; only the title is needed."""

    title: Title
    description: Description | None = None
    status: TaskStatus = "pending"
    priority: Priority = 0
    project: Project = "General"
    tags: Tags = []
    due_at: Time | None = None


class TaskUpdate(Body):
    """The fields to change; the others stay.

    `null` clears `description` and `due_at` and leaves the others as they are. The read-only fields may be
    sent back with the values they have.
    """

    title: Title | None = None
    description: Description | None = None
    status: TaskStatus | None = None
    priority: Priority | None = None
    project: Project | None = None
    tags: Tags | None = None
    due_at: Time | None = None
    id: Annotated[int | None, Field(description="Read-only")] = None
    created_at: Annotated[Time | None, Field(description="Read-only")] = None
    updated_at: Annotated[Time | None, Field(description="Read-only")] = None
    completed_at: Annotated[Time | None, Field(description="Read-only")] = None
    user_id: Annotated[int | None, Field(description="Read-only: see assign")] = None


class TaskRead(Answer):
    """A task."""

    id: Annotated[int, Field(examples=[1])]
    title: Annotated[str, Field(examples=["Write the report"])]
    description: Annotated[str | None, Field(examples=["Two pages, with figures"])]
    status: TaskStatus
    priority: Annotated[int, Field(examples=[2])]
    project: Annotated[str, Field(examples=["Research"])]
    tags: Annotated[list[str], Field(examples=[["writing"]])]
    due_at: datetime | None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None
    user_id: Annotated[int, Field(description="The owner", examples=[1])]


class TaskImport(Body):
    """A task with its past; `id` and `user_id` are taken, so that an export can be read, and not used."""

    title: Title
    description: Description | None = None
    status: TaskStatus = "pending"
    priority: Priority = 0
    project: Project = "General"
    tags: Tags = []
    due_at: Time | None = None
    created_at: Time | None = None
    updated_at: Time | None = None
    completed_at: Time | None = None
    id: Annotated[int | None, Field(description="Not used")] = None
    user_id: Annotated[int | None, Field(description="Not used")] = None


class Imported(Answer):
    """How many tasks were taken."""

    imported: Annotated[int, Field(examples=[2256])]


class HistoryEntry(Answer):
    """One change of a task."""

    id: Annotated[int, Field(examples=[1])]
    task_id: Annotated[int, Field(examples=[1])]
    kind: Literal["created", "updated", "status_changed", "assigned", "deleted", "imported"]
    created_at: Annotated[datetime, Field(description="When it was changed")]
    actor_id: Annotated[int, Field(description="Who changed it", examples=[1])]
    changes: Annotated[
        dict[str, dict[str, Any]],
        Field(
            description="Each field that changed, from what to what",
            examples=[{"status": {"from": "pending", "to": "completed"}}],
        ),
    ]


class Page(BaseModel):
    """How much of a list is asked for, and from where."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 100
    skip: Annotated[int, Field(ge=0, le=LARGEST_ID, description="How many to leave out at the beginning")] = 0
    cursor: Annotated[
        str | None,
        Field(max_length=2000, description="Where to go on, from the `Link` header of the page before; not with `skip`"),
    ] = None


class TaskFilters(Page):
    """Which tasks, in which order; filters combine with AND."""

    status: Annotated[list[TaskStatus], Field(description="May be given several times: any of them")] = []
    title_contains: Annotated[
        Text | None, Field(min_length=1, max_length=TITLE_LENGTH, description="In any letter case")
    ] = None
    project: Annotated[Text | None, Field(max_length=PROJECT_LENGTH)] = None
    tag: Annotated[Text | None, Field(max_length=50)] = None
    priority: Annotated[int | None, Field(ge=0, le=HIGHEST_PRIORITY)] = None
    created_after: Annotated[Time | None, Field(description="Then or later")] = None
    created_before: Annotated[Time | None, Field(description="Earlier")] = None
    due_before: Annotated[Time | None, Field(description="Earlier")] = None
    due_after: Annotated[Time | None, Field(description="Then or later")] = None
    completed_after: Annotated[Time | None, Field(description="Then or later")] = None
    completed_before: Annotated[Time | None, Field(description="Earlier")] = None
    sort_by: Literal["created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id"] = "created_at"
    sort_order: Literal["desc", "asc"] = "desc"


class TaskSearch(TaskFilters):
    """A search within titles, with all the filters of a list."""

    query: Annotated[Text, Field(min_length=1, max_length=TITLE_LENGTH, description="In any letter case")]


class OwnerFilters(TaskFilters):
    """The filters of a list, and by owner."""

    user_id: Annotated[int | None, Field(ge=0, le=LARGEST_ID, description="The owner")] = None


# -- analytics -------------------------------------------------------------------------------------

Percentage = Annotated[float, Field(description="0 to 100", examples=[66.67])]
Hours = Annotated[float, Field(examples=[26.5])]


class UserStats(Answer):
    """An account's tasks by status."""

    user_id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]
    total_tasks: Annotated[int, Field(examples=[3])]
    completed_tasks: Annotated[int, Field(examples=[2])]
    pending_tasks: Annotated[int, Field(examples=[1])]
    in_progress_tasks: Annotated[int, Field(examples=[0])]
    completion_rate: Percentage


class ProjectStats(Answer):
    """A project's tasks by status."""

    project: Annotated[str, Field(examples=["Research"])]
    total_tasks: Annotated[int, Field(examples=[3])]
    completed_tasks: Annotated[int, Field(examples=[2])]
    pending_tasks: Annotated[int, Field(examples=[1])]
    in_progress_tasks: Annotated[int, Field(examples=[0])]
    completion_rate: Percentage


class CompletionTimeStats(Answer):
    """How long completed tasks took from being created to being completed, in hours; null with none."""

    total_completed_tasks: Annotated[int, Field(examples=[2])]
    average_completion_time_hours: Hours | None
    fastest_completion_hours: Hours | None
    slowest_completion_hours: Hours | None
    median_completion_time_hours: Hours | None
    p85_completion_time_hours: Hours | None
    p95_completion_time_hours: Hours | None
    message: Annotated[str | None, Field(description="Says so where no task is completed", examples=[None])]


class SystemSummary(Answer):
    """Everybody's tasks together."""

    total_users: Annotated[int, Field(examples=[4])]
    active_users: Annotated[int, Field(description="Accounts that may log in", examples=[4])]
    total_tasks: Annotated[int, Field(examples=[3])]
    completed_tasks: Annotated[int, Field(examples=[2])]
    pending_tasks: Annotated[int, Field(examples=[1])]
    in_progress_tasks: Annotated[int, Field(examples=[0])]
    avg_tasks_per_user: Annotated[float, Field(examples=[0.75])]
    overall_completion_rate: Percentage
    recent_tasks_7_days: Annotated[int, Field(description="Created in the last 7 days", examples=[3])]
    generated_at: datetime


class SampleTask(Answer):
    """The smallest task there is."""

    title: Annotated[str, Field(examples=["Sample Task"])]
    status: TaskStatus
