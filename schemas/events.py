"""Events in the form in which the feed, the stream and webhooks send them."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.common import Answer, Extent, Id

EventType = Literal[
    "task.created",
    "task.updated",
    "task.status_changed",
    "task.state_changed",
    "task.assigned",
    "task.moved",
    "task.blocked",
    "task.unblocked",
    "task.deleted",
    "task.imported",
    "comment.created",
    "comment.updated",
    "comment.deleted",
    "project.created",
    "project.updated",
    "project.deleted",
    "member.added",
    "member.updated",
    "member.removed",
]
# A pattern is a type, all types that begin with the same word, or all types.
EventPattern = Literal[EventType, "task.*", "comment.*", "project.*", "member.*", "*"]


def _split(value: Any) -> Any:
    """Split the types: each value of the parameter may hold several, separated by commas."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return value
    return [part.strip() for each in value for part in each.split(",")]


Types = Annotated[
    list[EventPattern],
    BeforeValidator(_split),
    Field(
        max_length=30,
        description="Only these types, in one value with commas or in several; `task.*` is all types of"
        " tasks, `*` is all types",
        examples=[["task.*"]],
    ),
]


class EventFilters(BaseModel):
    """Filters of events, and the event to begin after."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        str | None,
        Field(max_length=100, description="The `id` of the last event that was received", examples=[None]),
    ] = None
    types: Types = Field(default_factory=list)
    project_id: Annotated[Id | None, Field(description="Only events of this project")] = None
    task_id: Annotated[Id | None, Field(description="Only events of this task")] = None
    scope: Annotated[Extent, Field(description="`all` covers all accounts (admins)")] = "own"


class EventPageFilters(EventFilters):
    """Filters of events, the size of a page, and the time to wait for a first event."""

    limit: Annotated[int, Field(ge=1, le=500, description="The largest number of items")] = 100
    wait: Annotated[float, Field(ge=0, le=30, description="Seconds to wait if there is no event yet")] = 0


class EventData(BaseModel):
    """The subject of an event; `comment`, `project` and `member` only if the event is about them."""

    model_config = ConfigDict(extra="forbid")

    task_id: Annotated[int | None, Field(examples=[1])]
    project_id: Annotated[int | None, Field(examples=[None])]
    changes: Annotated[
        dict[str, Any],
        Field(
            description="Each changed field with its old and new value",
            examples=[{"status": {"from": "pending", "to": "completed"}}],
        ),
    ]
    task: Annotated[
        dict[str, Any] | None,
        Field(
            description="The task after the event, or before it was deleted; `null` in events about"
            " something else, of an older version of the program, or whose texts went with their account"
        ),
    ]
    comment: dict[str, Any] | None = None
    project: dict[str, Any] | None = None
    member: dict[str, Any] | None = None


class Event(Answer):
    """A change that was made."""

    id: Annotated[
        str,
        Field(
            description="An opaque text; ids sort in the order of the feed", examples=["evt_000000000000002a"]
        ),
    ]
    type: Annotated[EventType, Field(examples=["task.status_changed"])]
    timestamp: datetime
    actor_id: Annotated[int, Field(description="The account that made the change", examples=[1])]
    request_id: Annotated[
        str | None,
        Field(
            description="`X-Request-ID` of the request that made the change", examples=["5f0c6a0de1f44c4c"]
        ),
    ]
    data: EventData


class PingData(Answer):
    """The webhook that the ping tests."""

    webhook_id: Annotated[int, Field(examples=[1])]


class Ping(Answer):
    """The test event that `POST /webhooks/{id}/ping` sends."""

    id: Annotated[str, Field(examples=["ping_7"])]
    type: Literal["webhook.ping"]
    timestamp: datetime
    data: PingData
