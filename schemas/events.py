"""Events: what happened, as the feed, the stream and webhooks tell it."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from models import LARGEST_ID
from schemas.common import Answer

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
# A type, or all that begin with the same word, or all.
EventPattern = Literal[EventType, "task.*", "comment.*", "project.*", "member.*", "*"]


def _split(value: Any) -> Any:
    """Types that stand behind one another, each in a parameter of its own or separated by commas."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        return value
    return [part.strip() for each in value for part in each.split(",")]


Types = Annotated[
    list[EventPattern],
    BeforeValidator(_split),
    Field(
        max_length=30,
        description="Only these: types, all of a kind such as `task.*`, or `*` for all. May be given several times,"
        " or separated by commas",
        examples=[["task.*"]],
    ),
]


class EventFilters(BaseModel):
    """Which events, and behind which."""

    model_config = ConfigDict(extra="forbid")

    after: Annotated[
        str | None,
        Field(max_length=100, description="The `id` of the last event that was had", examples=[None]),
    ] = None
    types: Types = Field(default_factory=list)
    project_id: Annotated[int | None, Field(ge=0, le=LARGEST_ID, description="Only of this project")] = None
    task_id: Annotated[int | None, Field(ge=0, le=LARGEST_ID, description="Only of this task")] = None
    scope: Annotated[Literal["all"] | None, Field(description="`all`: everybody's events (admins)")] = None


class EventPageFilters(EventFilters):
    """Which events, behind which, how many, and how long to wait for the first."""

    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 100
    wait: Annotated[
        float, Field(ge=0, le=30, description="Seconds to wait for an event where there is none yet")
    ] = 0


class EventData(BaseModel):
    """What an event is about; `comment`, `project` or `member` where it is about one."""

    model_config = ConfigDict(extra="forbid")

    task_id: Annotated[int | None, Field(examples=[1])]
    project_id: Annotated[int | None, Field(examples=[None])]
    changes: Annotated[
        dict[str, Any],
        Field(
            description="Each field that changed, from what to what, as in the history",
            examples=[{"status": {"from": "pending", "to": "completed"}}],
        ),
    ]
    task: Annotated[
        dict[str, Any] | None,
        Field(
            description="The task after the event, of a deleted one before it. `null` where the event is not about a"
            " task, or is older than the program that keeps it"
        ),
    ]
    comment: Annotated[dict[str, Any] | None, Field(description="The comment, of `comment.*`")] = None
    project: Annotated[dict[str, Any] | None, Field(description="The project, of `project.*`")] = None
    member: Annotated[dict[str, Any] | None, Field(description="The member, of `member.*`")] = None


class Event(Answer):
    """Something that happened."""

    id: Annotated[str, Field(description="Sorts by the order of the feed", examples=["evt_000000000000002a"])]
    type: Annotated[EventType, Field(examples=["task.status_changed"])]
    timestamp: datetime
    actor_id: Annotated[int, Field(description="The account that did it", examples=[1])]
    request_id: Annotated[
        str | None,
        Field(description="`X-Request-ID` of the request that did it", examples=["5f0c6a0de1f44c4c"]),
    ]
    data: EventData


class PingData(Answer):
    """Which webhook is tried out."""

    webhook_id: Annotated[int, Field(examples=[1])]


class Ping(Answer):
    """What a webhook is sent to try it out."""

    id: Annotated[str, Field(examples=["ping_7"])]
    type: Literal["webhook.ping"]
    timestamp: datetime
    data: PingData
