"""Notifications: reading them, choosing how they come by mail, and sending failed ones again."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, literal_column, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import NotFound
from models import LARGEST_ID, Caller, users
from schemas.common import Page
from schemas.notifications import NotificationPage, NotificationRead
from services import rights
from services.paging import (
    PageOf,
    check_cursor,
    decode_cursor,
    encode_cursor,
    first_of,
    invalid_cursor,
    keyset_by_id,
)
from storage.column_types import is_among, microseconds, moment
from storage.prepared import prepared
from tables.notification_kinds import DEFAULT_DELIVERIES
from tables.notifications import notification_preferences, notifications

COLUMNS = tuple(notifications.c[name] for name in NotificationRead.model_fields)

_IS_SHOWN = ~rights.is_hidden(notifications)
_OWN = select(*COLUMNS).where(notifications.c.user_id == bindparam("user_id"), _IS_SHOWN)
_ONE = _OWN.where(notifications.c.id == bindparam("notification_id"))
_PAGE = (
    _OWN.where(notifications.c.id < bindparam("before"))
    .order_by(notifications.c.id.desc())
    .limit(bindparam("limit"))
)
_UNREAD = _PAGE.where(notifications.c.read_at.is_(None))
_READ_SINCE = _PAGE.where(notifications.c.read_at.is_not(None), notifications.c.read_at > bindparam("at"))
_READ_BEFORE = _PAGE.where(notifications.c.read_at.is_not(None), notifications.c.read_at <= bindparam("at"))
_SKIPPING = (
    _OWN.order_by(notifications.c.read_at.is_not(None), notifications.c.id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("skip"))
)
_SKIPPING_UNREAD = _SKIPPING.where(notifications.c.read_at.is_(None))
_MARK = (
    update(notifications)
    .where(notifications.c.user_id == bindparam("owner_id"), notifications.c.read_at.is_(None), _IS_SHOWN)
    .values(read_at=bindparam("now"))
)
_MARK_ONE = _MARK.where(notifications.c.id == bindparam("notification_id"))


def get_notifications(db: Session, user: Caller, page: NotificationPage) -> PageOf[AnyRow]:
    """A page of the caller's notifications: the unread ones first, each group newest first.

    A notification that is read after the first page counts as unread on the following pages too. Reading in
    between therefore neither repeats nor skips any.
    """
    check_cursor(page)
    started, was_read, before = datetime.now(UTC), 0, LARGEST_ID
    limit = page.limit
    if page.cursor is not None:
        began, was_read, before = decode_cursor(page.cursor, int, int, int)
        try:
            started = moment(began)
        except OverflowError:
            raise invalid_cursor() from None
    values = {"user_id": user.id, "before": before, "at": started, "limit": limit + 1, "skip": page.skip}
    rows: list[tuple[int, AnyRow]] = []
    if page.skip:
        skipping = _SKIPPING_UNREAD if page.unread else _SKIPPING
        rows = [(int(row.read_at is not None), row) for row in db.execute(skipping, values)]
    elif not was_read:
        unread = list(db.execute(_UNREAD, values))
        if page.cursor is not None:
            # Notifications read since the first page still stand among the unread ones in this list.
            unread = sorted([*unread, *db.execute(_READ_SINCE, values)], key=lambda row: row.id, reverse=True)
        rows = [(0, row) for row in unread]
    if len(rows) <= limit and not page.unread and not page.skip:
        after = values if was_read else {**values, "before": LARGEST_ID}
        rows += [(1, row) for row in db.execute(_READ_BEFORE, after)]
    found = first_of(rows, limit, lambda last: encode_cursor(microseconds(started), last[0], last[1].id))
    return PageOf([row for _, row in found.rows], found.next_cursor)


def get_notification(db: Session, user: Caller, notification_id: int) -> AnyRow:
    """One of the caller's notifications; raises NotFound."""
    row = db.execute(_ONE, {"user_id": user.id, "notification_id": notification_id}).first()
    if row is None:
        raise NotFound("Notification not found", code="notification_not_found")
    return row


def mark_read(db: Session, user: Caller, notification_id: int) -> AnyRow:
    """Mark a notification as read; an earlier time of reading stays. Raises NotFound."""
    db.execute(_MARK_ONE, {"owner_id": user.id, "notification_id": notification_id, "now": datetime.now(UTC)})
    return get_notification(db, user, notification_id)


def mark_all_read(db: Session, user: Caller) -> int:
    """Mark the notifications that the caller sees as read; returns the number of those that were unread.

    Hidden ones stay unread, and are news if the caller comes to see their tasks again.
    """
    result: Any = db.execute(_MARK, {"owner_id": user.id, "now": datetime.now(UTC)})
    return int(result.rowcount)


# -- preferences ---------------------------------------------------------------------------------------

_DELIVERIES = prepared(
    select(notification_preferences).where(is_among(notification_preferences.c.user_id, "user_ids"))
)
_FORGET = delete(notification_preferences).where(
    notification_preferences.c.user_id == bindparam("owner_id"),
    notification_preferences.c.kind.in_(bindparam("kinds", expanding=True)),
)
_LOCK_ACCOUNT = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()


def deliveries(db: Session, user_ids: Iterable[int]) -> dict[tuple[int, str], str]:
    """The deliveries that these accounts chose, by account and kind, where they differ from the default."""
    rows = db.execute(_DELIVERIES, {"user_ids": sorted(user_ids)})
    return {(row.user_id, row.kind): row.delivery for row in rows}


def get_preferences(db: Session, user: Caller) -> dict[str, str]:
    """The delivery of each kind of notification to the caller by mail."""
    chosen = deliveries(db, [user.id])
    return {kind: chosen.get((user.id, kind), default) for kind, default in DEFAULT_DELIVERIES.items()}


def set_preferences(db: Session, user: Caller, wanted: Mapping[str, str | None]) -> dict[str, str]:
    """Choose the delivery of the given kinds from now on; None is the default delivery."""
    # Without the lock two requests at once would insert the same row.
    db.execute(_LOCK_ACCOUNT, {"user_id": user.id})
    if wanted:
        db.execute(_FORGET, {"owner_id": user.id, "kinds": sorted(wanted)})
    chosen = [
        {"user_id": user.id, "kind": kind, "delivery": delivery}
        for kind, delivery in wanted.items()
        if delivery is not None and delivery != DEFAULT_DELIVERIES[kind]
    ]
    if chosen:
        db.execute(insert(notification_preferences), chosen)
    return get_preferences(db, user)


# -- failed deliveries ---------------------------------------------------------------------------------

_IS_FAILED = notifications.c.state == literal_column("'failed'")
_FAILED = select(
    notifications.c.id,
    notifications.c.user_id,
    notifications.c.kind,
    notifications.c.task_id,
    notifications.c.created_at,
    notifications.c.attempts,
    notifications.c.last_error,
).where(_IS_FAILED)
_RETRY = (
    update(notifications).where(_IS_FAILED).values(state="mail", attempts=0, next_attempt_at=bindparam("now"))
)
_RETRY_ONE = _RETRY.where(notifications.c.id == bindparam("notification_id"))
_HAVE_SEVERAL = select(notifications.c.user_id).where(_IS_FAILED).group_by(notifications.c.user_id)
# One mail for each recipient: a digest that failed would otherwise become hundreds of mails.
_RETRY_TOGETHER = _RETRY.where(
    notifications.c.user_id.in_(_HAVE_SEVERAL.having(func.count() > literal_column("1")))
).values(state="digest")
_BACKLOG = (
    select(
        notifications.c.state,
        func.count().label("waiting"),
        func.min(notifications.c.next_attempt_at).label("due_at"),
    )
    .where(notifications.c.next_attempt_at.is_not(None))
    .group_by(notifications.c.state)
)
_FAILED_COUNT = select(func.count()).select_from(notifications).where(_IS_FAILED)


def get_failed(db: Session, page: Page) -> PageOf[AnyRow]:
    """A page of the notifications that were given up, newest first, each with its last error."""
    return keyset_by_id(db, _FAILED, notifications.c.id, page, {})


def retry_failed(db: Session, notification_id: int | None = None) -> int:
    """Have notifications that were given up sent again, all or one; returns their number.

    Several of one recipient are sent as one mail.
    """
    now = datetime.now(UTC)
    if notification_id is not None:
        one: Any = db.execute(_RETRY_ONE, {"now": now, "notification_id": notification_id})
        return int(one.rowcount)
    results: list[Any] = [db.execute(statement, {"now": now}) for statement in (_RETRY_TOGETHER, _RETRY)]
    return sum(result.rowcount for result in results)


# For each state: the number of waiting notifications, and the time when the first of them is due.
Backlog = dict[str, tuple[int, datetime | None]]


def backlog(db: Session) -> Backlog:
    """Count the undelivered notifications by state.

    Apart from `failed`, a state in which no notification waits is left out.
    """
    waiting: Backlog = {row.state: (row.waiting, row.due_at) for row in db.execute(_BACKLOG)}
    waiting["failed"] = (int(db.execute(_FAILED_COUNT).scalar_one()), None)
    return waiting
