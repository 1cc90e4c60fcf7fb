"""What people are told, and how they want to be told."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from schemas.common import Answer, Body
from tables.notifications import NotificationKind

Delivery = Literal["at_once", "daily", "never"]


class NotificationRead(Answer):
    """Something that the caller was told: of a task, of a comment on it, or of a project."""

    id: int
    kind: NotificationKind
    task_id: int | None
    task_title: str | None = Field(description="As it was then")
    actor_id: int = Field(description="Who did it; of a reminder the owner")
    created_at: datetime
    due_at: datetime | None = Field(description="Of a reminder: when the task is due")
    read_at: datetime | None
    project_id: int | None = Field(description="The project that the caller was added to")
    project_name: str | None = Field(description="As it was then")
    comment_id: int | None


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
    added_to_project: Delivery
    mentioned: Delivery
    commented: Delivery


class PreferencesUpdate(Body):
    """Which kinds are to come how from now on; null is the usual way."""

    created: Delivery | None = None
    completed: Delivery | None = None
    assigned: Delivery | None = None
    due_soon: Delivery | None = None
    overdue: Delivery | None = None
    added_to_project: Delivery | None = None
    mentioned: Delivery | None = None
    commented: Delivery | None = None


class FailedNotification(Answer):
    """A notification whose mail was given up."""

    id: int
    user_id: int
    kind: NotificationKind
    task_id: int | None
    created_at: datetime
    attempts: int
    last_error: str | None


class Retried(Answer):
    """How many are sent again."""

    retried: Annotated[int, Field(examples=[1])]
