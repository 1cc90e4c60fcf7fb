"""What people are told, and how they want to be told."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.common import Answer, Body

Kind = Literal["created", "completed", "assigned", "due_soon", "overdue"]
Delivery = Literal["at_once", "daily", "never"]


class NotificationRead(Answer):
    """Something that happened to one of the caller's tasks."""

    id: int
    kind: Kind
    task_id: int
    task_title: str = Field(description="As it was then")
    actor_id: int = Field(description="Who did it; of a reminder the owner")
    created_at: datetime
    due_at: datetime | None = Field(description="Of a reminder: when the task is due")
    read_at: datetime | None


class CursorPage(BaseModel):
    """How much of a list is asked for, and from where; pages go by cursor only."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 100
    cursor: Annotated[
        str | None,
        Field(max_length=2000, description="Where to go on, from the `Link` header of the page before"),
    ] = None


class NotificationPage(CursorPage):
    """Which notifications are asked for."""

    unread: Annotated[bool, Field(description="Only those that are not read")] = False


class MarkedRead(Answer):
    """How many were marked as read."""

    read: Annotated[int, Field(examples=[3])]


class Preferences(Answer):
    """How each kind of notification comes by mail; all of them stand in `GET /notifications`."""

    created: Delivery
    completed: Delivery
    assigned: Delivery
    due_soon: Delivery
    overdue: Delivery


class PreferencesUpdate(Body):
    """Which kinds are to come how from now on; null is the usual way."""

    created: Delivery | None = None
    completed: Delivery | None = None
    assigned: Delivery | None = None
    due_soon: Delivery | None = None
    overdue: Delivery | None = None


class FailedNotification(Answer):
    """A notification whose mail was given up."""

    id: int
    user_id: int
    kind: Kind
    task_id: int
    created_at: datetime
    attempts: int
    last_error: str | None


class Retried(Answer):
    """How many are sent again."""

    retried: Annotated[int, Field(examples=[1])]
