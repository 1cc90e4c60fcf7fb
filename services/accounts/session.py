"""Sessions: logging in starts one, its refresh tokens keep it going, and ending it ends all that was issued for it."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from account_models import CLIENT_LENGTH, refresh_tokens, sessions
from config import settings
from errors import NotFound
from models import Caller, users
from request_context import origin_var
from security.tokens import create_access_token, token_hash
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service

PREFIX = "tr_"
# Two tabs may refresh with the same token at once; who comes later than that has stolen it, or was stolen from.
GRACE = timedelta(seconds=10)

_INSERT = insert(sessions).returning(sessions.c.id)
_INSERT_TOKEN = insert(refresh_tokens)
_EXPIRED = delete(sessions).where(
    sessions.c.user_id == bindparam("user_id"), sessions.c.expires_at <= bindparam("now")
)
_USE = (
    update(refresh_tokens)
    .where(refresh_tokens.c.token_hash == bindparam("hashed"), refresh_tokens.c.used_at.is_(None))
    .values(used_at=bindparam("now"))
)
_TOKEN = (
    select(
        refresh_tokens.c.session_id,
        refresh_tokens.c.used_at,
        sessions.c.user_id,
        sessions.c.expires_at,
        users.c.is_active,
    )
    .join_from(refresh_tokens, sessions, sessions.c.id == refresh_tokens.c.session_id)
    .join(users, users.c.id == sessions.c.user_id)
    .where(refresh_tokens.c.token_hash == bindparam("hashed"))
)
_TOUCH = (
    update(sessions)
    .where(sessions.c.id == bindparam("session_id"))
    .values(last_used_at=bindparam("now"), address=bindparam("at"), client=bindparam("by"))
)
_LIST = (
    select(
        sessions.c.id,
        sessions.c.created_at,
        sessions.c.last_used_at,
        sessions.c.expires_at,
        sessions.c.address,
        sessions.c.client,
    )
    .where(sessions.c.user_id == bindparam("user_id"), sessions.c.expires_at > bindparam("now"))
    .order_by(sessions.c.id.desc())
)
_END = delete(sessions).where(
    sessions.c.user_id == bindparam("user_id"), sessions.c.id == bindparam("session_id")
)
_END_OTHERS = delete(sessions).where(
    sessions.c.user_id == bindparam("user_id"), sessions.c.id != bindparam("kept")
)


class Issued(NamedTuple):
    """What a login or a refresh hands out."""

    user_id: int
    session_id: int
    refresh_token: str
    expires_at: datetime


def start(db: Session, user_id: int) -> Issued:
    """Start a session for an account whose owner has just proved who they are."""
    now, origin = datetime.now(UTC), origin_var.get()
    db.execute(_EXPIRED, {"user_id": user_id, "now": now})
    expires_at = now + timedelta(days=settings.refresh_token_expire_days)
    values = {
        "user_id": user_id,
        "created_at": now,
        "last_used_at": now,
        "expires_at": expires_at,
        "address": origin.address,
        "client": origin.client[:CLIENT_LENGTH],
    }
    session_id: int = db.execute(_INSERT, values).scalar_one()
    return Issued(user_id, session_id, _issue(db, session_id, now), expires_at)


def _issue(db: Session, session_id: int, now: datetime) -> str:
    token = PREFIX + secrets.token_urlsafe(32)
    db.execute(
        _INSERT_TOKEN,
        {"token_hash": token_hash(token), "session_id": session_id, "created_at": now, "used_at": None},
    )
    return token


def refresh(db: Session, token: str) -> Issued | int:
    """Exchange a refresh token for the next one; for a bad one for how many seconds the caller is to wait.

    One that was used before, longer ago than the grace, ends the session: one of two who have it is a thief.
    That must be kept although the caller gets an error, so it is not raised here.
    """
    now, hashed = datetime.now(UTC), token_hash(token)
    # Marked first and read after it: of two at once on Postgres the second waits here for the first.
    first = db.execute(_USE, {"hashed": hashed, "now": now}).rowcount == 1  # type: ignore[attr-defined]
    row = db.execute(_TOKEN, {"hashed": hashed}).first()
    keys = attempt_service.address_keys("refresh")
    if row is not None and row.expires_at > now and row.is_active:
        if first or row.used_at > now - GRACE:
            origin = origin_var.get()
            values = {"session_id": row.session_id, "now": now, "at": origin.address}
            db.execute(_TOUCH, {**values, "by": origin.client[:CLIENT_LENGTH]})
            return Issued(row.user_id, row.session_id, _issue(db, row.session_id, now), row.expires_at)
        db.execute(_END, {"user_id": row.user_id, "session_id": row.session_id})
        audit_service.record(db, "refresh_token_replayed", user_id=row.user_id, session_id=row.session_id)
        keys.append(f"refresh:account:{row.user_id}")
    return attempt_service.count(db, keys)


def list_sessions(db: Session, user: Caller) -> list[dict[str, Any]]:
    """The caller's sessions, newest first, and which of them this is."""
    rows = db.execute(_LIST, {"user_id": user.id, "now": datetime.now(UTC)})
    return [{**row._asdict(), "current": row.id == user.session_id} for row in rows]


def end(db: Session, user: Caller, session_id: int) -> None:
    """End one of the caller's sessions; raises NotFound."""
    if db.execute(_END, {"user_id": user.id, "session_id": session_id}).rowcount == 0:  # type: ignore[attr-defined]
        raise NotFound("Session not found", code="session_not_found")
    audit_service.record(db, "session_ended", actor_id=user.id, user_id=user.id, session_id=session_id)


def end_all_of(db: Session, user: Caller) -> int:
    """End all of the caller's sessions; how many."""
    ended = end_all(db, user.id)
    audit_service.record(db, "sessions_ended", actor_id=user.id, user_id=user.id, sessions_ended=ended)
    return ended


def end_all(db: Session, user_id: int, *, but: int | None = None) -> int:
    """End an account's sessions, all or all but one; how many."""
    ended = db.execute(_END_OTHERS, {"user_id": user_id, "kept": but or -1})
    count: int = ended.rowcount  # type: ignore[attr-defined]
    return count


def as_tokens(issued: Issued) -> dict[str, Any]:
    """What a login and a refresh answer."""
    left = int((issued.expires_at - datetime.now(UTC)).total_seconds())
    lifetime = min(settings.access_token_expire_minutes * 60, max(left, 1))
    access = create_access_token(
        {"sub": str(issued.user_id), "sid": issued.session_id}, timedelta(seconds=lifetime)
    )
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": lifetime,
        "refresh_token": issued.refresh_token,
        "refresh_expires_in": left,
    }
