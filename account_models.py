"""The tables beside an account: sessions, tokens, links, failures, the audit trail, answers kept for retries."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import table_of
from storage.column_types import JsonText, RowId, UtcDateTime, one_of

TOKEN_NAME_LENGTH = 100
ADDRESS_LENGTH = 64
CLIENT_LENGTH = 200
LINK_PURPOSES = ("reset", "verify", "change")
ACCOUNT_MAIL_KINDS = (
    *LINK_PURPOSES,
    "password_changed",
    "email_changed",
    "token_created",
    "webhook_disabled",
)


class UserSession(Base):
    """A session, which begins with a login; the end of it deletes its row, and its tokens stop working."""

    __tablename__ = "sessions"
    __table_args__ = (Index("ix_sessions_user_id", "user_id", "id"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    client: Mapped[str] = mapped_column(String(CLIENT_LENGTH))


class RefreshToken(Base):
    """A refresh token by its hash; used tokens stay as long as their session, to recognise a replay."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), type_=BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ProgramToken(Base):
    """A token by which a program acts for an account, within scopes; stored by its hash."""

    __tablename__ = "program_tokens"
    __table_args__ = (
        UniqueConstraint("token_hash"),
        Index("ix_program_tokens_user_id", "user_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    name: Mapped[str] = mapped_column(String(TOKEN_NAME_LENGTH))
    token_hash: Mapped[str] = mapped_column(String(64))
    last_four: Mapped[str] = mapped_column(String(4))
    scopes: Mapped[list[str]] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class AccountLink(Base):
    """A mailed link, by the hash of its token; deleted by its use, and by a change of password or email."""

    __tablename__ = "account_links"
    __table_args__ = (
        CheckConstraint(one_of("purpose", LINK_PURPOSES), name="purpose"),
        Index("ix_account_links_user_id", "user_id"),
    )

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    purpose: Mapped[str] = mapped_column(String(10))
    # The address that the link was sent to, and that its use confirms; empty for a link that was not mailed.
    email: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AccountMail(Base):
    """A mail about an account, written in the transaction that caused it, and deleted when it is sent.

    The row holds no token: a link is made when its mail is sent.
    """

    __tablename__ = "account_mails"
    __table_args__ = (
        CheckConstraint(one_of("kind", ACCOUNT_MAIL_KINDS), name="kind"),
        Index("ix_account_mails_next_attempt_at", "next_attempt_at", "id"),
        Index("ix_account_mails_user_id", "user_id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    kind: Mapped[str] = mapped_column(String(20))
    email: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(default=0)
    # The time when the mail is due; while a process sends it, the end of that claim; NULL after it was given
    # up.
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)


class Attempt(Base):
    """A count of recent failed attempts, and the time until which further attempts are refused."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_last_at", "last_at"),)

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    blocked_until: Mapped[datetime] = mapped_column(UtcDateTime)


class KnownAddress(Base):
    """An address from which the owner has used the account: guesses elsewhere delay no login there."""

    __tablename__ = "known_addresses"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH), primary_key=True)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEvent(Base):
    """An event that matters for security; triggers refuse to change it, and to delete it before its time."""

    __tablename__ = "audit_events"
    __table_args__ = (
        Index("ix_audit_events_kind", "kind", "id"),
        Index("ix_audit_events_actor_id", "actor_id", "id"),
        Index("ix_audit_events_user_id", "user_id", "id"),
        Index("ix_audit_events_created_at", "created_at"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    kind: Mapped[str] = mapped_column(String(40))
    # The actor and the affected account, if known; without foreign keys, because the row outlives both.
    actor_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    request_id: Mapped[str] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class IdempotencyKey(Base):
    """The answer to a write, kept under the key that the client sent with it.

    The account has no foreign key, because the lock that it takes would make writes with a key wait for one
    another.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key_hash"),)

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger)
    # Hashes: of the key with method and path, and of the query with the body.
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    # The rights in projects that the write used, and that a replay needs again: `services.used_rights.Used`.
    used_rights: Mapped[list[list[Any]] | None] = mapped_column(JSON(none_as_null=True))


sessions = table_of(UserSession)
refresh_tokens = table_of(RefreshToken)
program_tokens = table_of(ProgramToken)
account_links = table_of(AccountLink)
account_mails = table_of(AccountMail)
attempts = table_of(Attempt)
known_addresses = table_of(KnownAddress)
audit_events = table_of(AuditEvent)
idempotency_keys = table_of(IdempotencyKey)
