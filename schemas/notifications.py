"""Notifications, and how they are delivered."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, create_model

from schemas.common import Answer, Body, Page
from tables.notification_kinds import NOTIFICATION_KINDS, NotificationKind
from tables.notifications import Delivery


class NotificationRead(Answer):
    """A notification about a task, a comment on a task, or a project."""

    id: int
    kind: NotificationKind
    task_id: int | None
    task_title: str | None = Field(description="At the time of the notification")
    actor_id: int = Field(description="The account that caused the notification; for a reminder, the owner")
    created_at: datetime
    due_at: datetime | None = Field(description="When the task is due, in a reminder")
    read_at: datetime | None
    project_id: int | None = Field(description="The project that the caller was added to")
    project_name: str | None = Field(description="At the time of the notification")
    comment_id: int | None


class NotificationPage(Page):
    """The notifications that are asked for."""

    unread: Annotated[bool, Field(description="Whether to leave out notifications that were read")] = False


class MarkedRead(Answer):
    """The number of notifications that were marked as read."""

    read: Annotated[int, Field(examples=[3])]


# A field for each kind, so that a new kind needs no line here.
_EVERY: Any = dict.fromkeys(NOTIFICATION_KINDS, (Delivery, ...))
_SOME: Any = dict.fromkeys(NOTIFICATION_KINDS, (Delivery | None, None))


class Preferences(create_model("Preferences", __base__=Answer, **_EVERY)):  # type: ignore[misc]  # it is made here
    """The delivery by mail of each kind of notification. `GET /notifications` lists all kinds in any case."""


class PreferencesUpdate(create_model("PreferencesUpdate", __base__=Body, **_SOME)):  # type: ignore[misc]  # as above
    """A new delivery for some kinds; the others stay. `null` restores the default."""


class FailedNotification(Answer):
    """A notification whose mail was given up after too many attempts."""

    id: int
    user_id: int
    kind: NotificationKind
    task_id: int | None
    created_at: datetime
    attempts: int
    last_error: str | None


class Retried(Answer):
    """The number of mails that are sent again."""

    retried: Annotated[int, Field(examples=[1])]
