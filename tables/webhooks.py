"""The tables of webhooks: where events are sent, and what became of each delivery."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    Integer,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import table_of
from storage.column_types import JsonText, RowId, UtcDateTime, one_of, where

URL_LENGTH = 2048
DESCRIPTION_LENGTH = 500
EVENT_TYPE_LENGTH = 30
DELIVERY_STATES = ("waiting", "delivered", "failed")
# Why the program switched a webhook off: its receiver answered 410, or failed for days.
DISABLED_REASONS = ("gone", "failing")


class FeedPosition(Base):
    """How far a reader of the feed has come: in one row, written together with what the reader made of the events."""

    __tablename__ = "feed_positions"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    # Everything up to this event is decided: no open transaction can add an event below it.
    event_id: Mapped[int] = mapped_column(BigInteger)


class Webhook(Base):
    """An address that is sent events, its secret, and how its receiver fares."""

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint(one_of("disabled_reason", DISABLED_REASONS), name="disabled_reason"),
        Index("ix_webhooks_user_id", "user_id", "id"),
        Index("ix_webhooks_project_id", "project_id", "id", **where("project_id IS NOT NULL")),
        # Senders look here for what is due.
        Index("ix_webhooks_due_at", "due_at", "id", **where("due_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    # None for the owner's own tasks.
    project_id: Mapped[int | None] = mapped_column(BigInteger)
    url: Mapped[str] = mapped_column(String(URL_LENGTH))
    types: Mapped[list[str]] = mapped_column(JsonText)
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(String(10))
    # Encrypted by a key that is not in the database.
    secret: Mapped[str] = mapped_column(Text)
    # After a rotation the secret before signs too, for a day.
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Counts the changes of what its owner sets; the ETag is made of it.
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Events up to this one happened before the webhook was there.
    starts_after: Mapped[int] = mapped_column(BigInteger)
    # Events behind the first and up to the second are to be delivered again.
    replay_after: Mapped[int | None] = mapped_column(BigInteger)
    replay_until: Mapped[int | None] = mapped_column(BigInteger)
    # When its next delivery is due; none when nothing waits.
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # While a process delivers to it: until when no other process may.
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Since when every attempt has failed.
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # How often in a row the receiver could not be reached or took too long.
    failures: Mapped[int] = mapped_column(Integer)
    # Whether the receiver took long the last time: it is then served beside the others.
    is_slow: Mapped[bool]


class WebhookDelivery(Base):
    """One event on its way to one webhook."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(one_of("state", DELIVERY_STATES), name="state"),
        # An event is delivered once to a webhook, whatever process dies: a second row is refused.
        UniqueConstraint("webhook_id", "event_id"),
        Index("ix_webhook_deliveries_webhook_id", "webhook_id", "id"),
        Index(
            "ix_webhook_deliveries_next_attempt_at",
            *("webhook_id", "next_attempt_at", "id"),
            **where("next_attempt_at IS NOT NULL"),
        ),
        Index("ix_webhook_deliveries_failed", "id", **where("state = 'failed'")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"), type_=BigInteger)
    # The row of the history; none for a ping.
    event_id: Mapped[int | None] = mapped_column(BigInteger)
    type: Mapped[str] = mapped_column(String(EVENT_TYPE_LENGTH))
    state: Mapped[str] = mapped_column(String(10))
    attempts: Mapped[int] = mapped_column(Integer)
    status_code: Mapped[int | None] = mapped_column(SmallInteger)
    error: Mapped[str | None] = mapped_column(Text)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


feed_positions = table_of(FeedPosition)
webhooks = table_of(Webhook)
webhook_deliveries = table_of(WebhookDelivery)
