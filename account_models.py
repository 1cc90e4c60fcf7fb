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
    """Somebody logged in somewhere; its row goes when it ends, and what was issued for it is worth nothing then."""

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
    """A refresh token by its hash; used ones stay as long as their session, so that a replayed one is known."""

    __tablename__ = "refresh_tokens"
    __table_args__ = (Index("ix_refresh_tokens_session_id", "session_id"),)

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    session_id: Mapped[int] = mapped_column(ForeignKey("sessions.id", ondelete="CASCADE"), type_=BigInteger)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ProgramToken(Base):
    """What a program acts for somebody with, within its scopes; by its hash."""

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
    """A link that was mailed, by the hash of its token; it goes when it is used, or the password or email changes."""

    __tablename__ = "account_links"
    __table_args__ = (
        CheckConstraint(one_of("purpose", LINK_PURPOSES), name="purpose"),
        Index("ix_account_links_user_id", "user_id"),
    )

    token_hash: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger)
    purpose: Mapped[str] = mapped_column(String(10))
    # The address it was sent to, and so the one that it confirms.
    email: Mapped[str] = mapped_column(String(254))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AccountMail(Base):
    """A mail about an account, written in the transaction that caused it; it goes when it is sent.

    No token stands in it: a link is made as its mail goes out.
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
    # When it is due; while somebody sends it, when their claim on it ends; none when it was given up.
    next_attempt_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_error: Mapped[str | None] = mapped_column(Text)


class Attempt(Base):
    """How often something was tried in vain of late, and until when it is not to be tried again."""

    __tablename__ = "attempts"
    __table_args__ = (Index("ix_attempts_last_at", "last_at"),)

    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    failures: Mapped[int]
    last_at: Mapped[datetime] = mapped_column(UtcDateTime)
    blocked_until: Mapped[datetime] = mapped_column(UtcDateTime)


class KnownAddress(Base):
    """An address that its owner has used an account from: a stranger's guessing does not count against it."""

    __tablename__ = "known_addresses"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH), primary_key=True)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEvent(Base):
    """Something that matters for security; triggers refuse to change it, or to delete it before its time."""

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
    # Who did it and whose account it was done to, where they are known; no foreign keys: it outlives both.
    actor_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    address: Mapped[str] = mapped_column(String(ADDRESS_LENGTH))
    request_id: Mapped[str] = mapped_column(String(128))
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class IdempotencyKey(Base):
    """The answer to a write, kept under the key that the client sent with it.

    The account has no foreign key: its lock would have writes with a key wait for one another.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (UniqueConstraint("user_id", "key_hash"),)

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(BigInteger)
    # The key with its method and path, and the query with the body.
    key_hash: Mapped[bytes] = mapped_column(LargeBinary)
    request_hash: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    status: Mapped[int] = mapped_column(SmallInteger)
    headers: Mapped[dict[str, str]] = mapped_column(JSON)
    body: Mapped[bytes] = mapped_column(LargeBinary)


sessions = table_of(UserSession)
refresh_tokens = table_of(RefreshToken)
program_tokens = table_of(ProgramToken)
account_links = table_of(AccountLink)
account_mails = table_of(AccountMail)
attempts = table_of(Attempt)
known_addresses = table_of(KnownAddress)
audit_events = table_of(AuditEvent)
idempotency_keys = table_of(IdempotencyKey)
