"""What the caller was told, how they want to be told, and for admins what could not be delivered."""

from typing import Annotated

from fastapi import BackgroundTasks, Path, Query, Request, Response

from auth import AdminUser, CurrentUser
from database import AnyRow
from models import LARGEST_ID
from schemas.notifications import (
    CursorPage,
    FailedNotification,
    MarkedRead,
    NotificationPage,
    NotificationRead,
    Preferences,
    PreferencesUpdate,
    Retried,
)
from services import background_tasks, notification_service
from services.delivery import backlog as outbox_service
from web.routing import Router, link_next
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/notifications", tags=["notifications"], reads="tasks:read", writes="tasks:write")

NotificationId = Annotated[int, Path(ge=0, le=LARGEST_ID, examples=[1])]


@router.get("", response_model=list[NotificationRead], short=True)
def list_notifications(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[NotificationPage, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List what the caller was told, unread first, then newest first.

    What is marked as read meanwhile keeps its place in the pages that follow.
    """
    found = notification_service.get_notifications(
        db, user, limit=page.limit, cursor=page.cursor, unread_only=page.unread
    )
    return link_next(request, response, found)


@router.get("/preferences", response_model=Preferences, short=True)
def read_preferences(db: ReadSession, user: CurrentUser) -> dict[str, str]:
    """Tell how each kind of notification comes to the caller by mail."""
    return notification_service.get_preferences(db, user)


@router.put("/preferences", response_model=Preferences)
def update_preferences(db: WriteSession, user: CurrentUser, body: PreferencesUpdate) -> dict[str, str]:
    """Choose how kinds of notifications come by mail: `at_once`, in the `daily` digest, or `never`.

    Only the kinds that are sent change; `null` is the usual way.
    """
    return notification_service.set_preferences(db, user, body.model_dump(exclude_unset=True))


@router.post("/read-all", response_model=MarkedRead)
def read_all_notifications(db: WriteSession, user: CurrentUser) -> dict[str, int]:
    """Mark all of the caller's notifications as read."""
    return {"read": notification_service.mark_all_read(db, user)}


@router.get("/failed", response_model=list[FailedNotification])
def list_failed_notifications(
    db: ReadSession,
    user: AdminUser,
    page: Annotated[CursorPage, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List everybody's notifications whose mail was given up, newest first, with the last error (admins)."""
    return link_next(
        request, response, notification_service.get_failed(db, limit=page.limit, cursor=page.cursor)
    )


@router.post("/failed/retry", response_model=Retried)
def retry_failed_notifications(
    db: WriteSession,
    user: AdminUser,
    background: BackgroundTasks,
    notification_id: Annotated[
        int | None, Query(ge=0, le=LARGEST_ID, description="Only this notification", examples=[1])
    ] = None,
) -> dict[str, int]:
    """Send again what was given up, all or one (admins).

    All means mails about accounts too, which the list of failed notifications does not show.
    """
    background.add_task(background_tasks.send_mails)
    return {"retried": outbox_service.retry_failed(db, notification_id)}


@router.get("/{notification_id}", response_model=NotificationRead, errors=[404], short=True)
def read_notification(db: ReadSession, user: CurrentUser, notification_id: NotificationId) -> AnyRow:
    """Get one of the caller's notifications."""
    return notification_service.get_notification(db, user, notification_id)


@router.post("/{notification_id}/read", response_model=NotificationRead, errors=[404])
def mark_notification_read(db: WriteSession, user: CurrentUser, notification_id: NotificationId) -> AnyRow:
    """Mark one of the caller's notifications as read; again changes nothing."""
    return notification_service.mark_read(db, user, notification_id)
