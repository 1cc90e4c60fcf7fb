"""The caller's notifications, preferences for mail, and, for admins, mails that could not be delivered."""

from typing import Annotated

from fastapi import BackgroundTasks, Query, Request, Response

from auth import AdminUser, CurrentUser
from database import AnyRow
from routers.parameters import PathId
from schemas.common import Id, Page
from schemas.notifications import (
    FailedNotification,
    MarkedRead,
    NotificationPage,
    NotificationRead,
    Preferences,
    PreferencesUpdate,
    Retried,
)
from services import background_tasks, notification_service
from services.delivery import backlog
from web.routing import Router, is_short, link_next
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/notifications", tags=["notifications"], reads="tasks:read", writes="tasks:write")


@router.get("", response_model=list[NotificationRead], on_loop=is_short)
def list_notifications(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[NotificationPage, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the caller's notifications, unread first, then newest first.

    A notification that is marked as read meanwhile keeps its place in the pages that follow.
    """
    return link_next(request, response, notification_service.get_notifications(db, user, page))


@router.get("/preferences", response_model=Preferences, on_loop=True)
def read_preferences(db: ReadSession, user: CurrentUser) -> dict[str, str]:
    """Get how each kind of notification is delivered by mail."""
    return notification_service.get_preferences(db, user)


@router.put("/preferences", response_model=Preferences)
def update_preferences(db: WriteSession, user: CurrentUser, body: PreferencesUpdate) -> dict[str, str]:
    """Set how kinds of notifications are delivered by mail: `at_once`, in the `daily` digest, or `never`."""
    return notification_service.set_preferences(db, user, body.sent())


@router.post("/read-all", response_model=MarkedRead)
def read_all_notifications(db: WriteSession, user: CurrentUser) -> dict[str, int]:
    """Mark all of the caller's notifications as read."""
    return {"read": notification_service.mark_all_read(db, user)}


@router.get("/failed", response_model=list[FailedNotification])
def list_failed_notifications(
    db: ReadSession,
    user: AdminUser,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List notifications whose mail was given up, of all accounts, newest first (admins)."""
    return link_next(request, response, notification_service.get_failed(db, page))


@router.post("/failed/retry", response_model=Retried)
def retry_failed_notifications(
    db: WriteSession,
    user: AdminUser,
    background: BackgroundTasks,
    notification_id: Annotated[
        Id | None, Query(description="The only notification to send again", examples=[1])
    ] = None,
) -> dict[str, int]:
    """Send mails again that were given up, all or one (admins).

    Without `notification_id` this includes mails about accounts, which `GET /notifications/failed` does not
    list.
    """
    background.add_task(background_tasks.send_mails)
    return {"retried": backlog.retry_failed(db, notification_id)}


@router.get("/{notification_id}", response_model=NotificationRead, errors=[404], on_loop=True)
def read_notification(db: ReadSession, user: CurrentUser, notification_id: PathId) -> AnyRow:
    """Get one of the caller's notifications."""
    return notification_service.get_notification(db, user, notification_id)


@router.post("/{notification_id}/read", response_model=NotificationRead, errors=[404])
def mark_notification_read(db: WriteSession, user: CurrentUser, notification_id: PathId) -> AnyRow:
    """Mark one of the caller's notifications as read; repeating this changes nothing."""
    return notification_service.mark_read(db, user, notification_id)
