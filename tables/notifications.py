"""The tables of notifications, and of the ways in which accounts want them by mail."""

from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import PROJECT_LENGTH, TITLE_LENGTH, table_of
from storage.column_types import RowId, UtcDateTime, one_of, where
from tables.notification_kinds import NOTIFICATION_KINDS

NOTIFICATION_STATES = ("waiting", "mail", "digest", "delivered", "failed")
# Ways of getting mails: each at once, all of a day in one, or none.
Delivery = Literal["at_once", "daily", "never"]
DELIVERIES: tuple[Delivery, ...] = get_args(Delivery)


class Notification(Base):
    """A notification of an account, written in the transaction that caused it and delivered after the commit.

    Its state is `waiting` until it is in the log, then `mail` or `digest` until its mail is sent, and in the
    end `delivered` or `failed`.
    """

    __tablename__ = "notifications"
    __table_args__ = (
        CheckConstraint(one_of("kind", NOTIFICATION_KINDS), name="kind"),
        CheckConstraint(one_of("state", NOTIFICATION_STATES), name="state"),
        Index(
            "ix_notifications_due",
            "state",
            "next_attempt_at",
            "id",
            **where("next_attempt_at IS NOT NULL"),
        ),
        Index("ix_notifications_failed", "id", **where("state = 'failed'")),
        Index("ix_notifications_unread", "user_id", "id", **where("read_at IS NULL")),
        Index("ix_notifications_read", "user_id", "id", **where("read_at IS NOT NULL")),
        # A second row is refused, so that only one of several processes sends a reminder.
        Index(
            "uq_notifications_reminder",
            "task_id",
            "user_id",
            "kind",
            "due_at",
            unique=True,
            **where("due_at IS NOT NULL"),
        ),
        Index(
            "uq_notifications_comment",
            *("comment_id", "user_id"),
            unique=True,
            **where("comment_id IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    kind: Mapped[str] = mapped_column(String(20))
    # NULL for a notification that is not about a task.
    task_id: Mapped[int | None] = mapped_column(BigInteger)
    task_title: Mapped[str | None] = mapped_column(String(TITLE_LENGTH))
    actor_id: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # The time when the task is due, in a reminder only.
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    read_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    state: Mapped[str] = mapped_column(String(10), default="waiting")
    # The number of attempts to send its mail.
    attempts: Mapped[int] = mapped_column(default=0)
    # The time when its delivery is due; while a process delivers it, the end of that claim; NULL when it is
    # finished.
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    delivered_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)
    # The project that the account was added to, with its name at that time.
    project_id: Mapped[int | None] = mapped_column(BigInteger)
    project_name: Mapped[str | None] = mapped_column(String(PROJECT_LENGTH))
    comment_id: Mapped[int | None] = mapped_column(BigInteger)


class NotificationPreference(Base):
    """The way in which an account wants one kind of notification by mail, if not the usual way."""

    __tablename__ = "notification_preferences"
    __table_args__ = (
        CheckConstraint(one_of("kind", NOTIFICATION_KINDS), name="kind"),
        CheckConstraint(one_of("delivery", DELIVERIES), name="delivery"),
    )

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    kind: Mapped[str] = mapped_column(String(20), primary_key=True)
    delivery: Mapped[str] = mapped_column(String(10))


notifications = table_of(Notification)
notification_preferences = table_of(NotificationPreference)
