"""The tables of webhooks: the addresses that events are sent to, and the state of each delivery."""

from datetime import datetime
from typing import Literal, get_args

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
DeliveryState = Literal["waiting", "delivered", "failed"]
DELIVERY_STATES: tuple[DeliveryState, ...] = get_args(DeliveryState)
# Why the program switched a webhook off: its receiver answered 410, or failed for days.
DisabledReason = Literal["gone", "failing"]
DISABLED_REASONS: tuple[DisabledReason, ...] = get_args(DisabledReason)


class FeedPosition(Base):
    """The position of a reader in the feed, written together with what the reader made of the events."""

    __tablename__ = "feed_positions"

    name: Mapped[str] = mapped_column(String(20), primary_key=True)
    # Everything up to this event is decided: no open transaction can add an event below it.
    event_id: Mapped[int] = mapped_column(BigInteger)


class Webhook(Base):
    """An address that events are sent to, its secret, and the health of its receiver."""

    __tablename__ = "webhooks"
    __table_args__ = (
        CheckConstraint(one_of("disabled_reason", DISABLED_REASONS), name="disabled_reason"),
        Index("ix_webhooks_user_id", "user_id", "id"),
        Index("ix_webhooks_project_id", "project_id", "id", **where("project_id IS NOT NULL")),
        # Senders find due webhooks by this index.
        Index("ix_webhooks_due_at", "due_at", "id", **where("due_at IS NOT NULL")),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    # NULL for the owner's own tasks.
    project_id: Mapped[int | None] = mapped_column(BigInteger)
    url: Mapped[str] = mapped_column(String(URL_LENGTH))
    types: Mapped[list[str]] = mapped_column(JsonText)
    description: Mapped[str | None] = mapped_column(String(DESCRIPTION_LENGTH))
    enabled: Mapped[bool]
    disabled_reason: Mapped[str | None] = mapped_column(String(10))
    # Encrypted by a key that is not in the database.
    secret: Mapped[str] = mapped_column(Text)
    # For a day after a rotation the previous secret signs too.
    previous_secret: Mapped[str | None] = mapped_column(Text)
    previous_secret_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The number of changes by its owner, from which the ETag is made.
    version: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # Events up to this one are older than the webhook, and are not delivered.
    starts_after: Mapped[int] = mapped_column(BigInteger)
    # Events after the first and up to the second are to be delivered again.
    replay_after: Mapped[int | None] = mapped_column(BigInteger)
    replay_until: Mapped[int | None] = mapped_column(BigInteger)
    # The time when the next delivery is due; NULL if no delivery waits.
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The time until which only the process that holds the claim may deliver.
    claimed_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The time since which every attempt has failed.
    failing_since: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The number of times in a row that the receiver could not be reached or took too long.
    failures: Mapped[int] = mapped_column(Integer)
    # Whether the receiver took long the last time: slow receivers are served apart from the others.
    is_slow: Mapped[bool]


class WebhookDelivery(Base):
    """One event on its way to one webhook."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        CheckConstraint(one_of("state", DELIVERY_STATES), name="state"),
        # A second row for the same event is refused, so that each event has one delivery, whatever process
        # dies.
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
    # The row of the history; NULL for a ping.
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
