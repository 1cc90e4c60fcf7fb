"""Sessions: a login starts a session, refresh tokens prolong it, and all its tokens end with it."""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import Session

from account_models import CLIENT_LENGTH, refresh_tokens, sessions
from config import settings
from errors import NotAuthenticated, NotFound
from models import Caller, users
from request_context import origin_var
from schemas.common import Page
from security import signing
from security.tokens import create_access_token, token_hash
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service
from services.paging import PageOf, keyset_by_id
from storage.conflicts import insert_missing

PREFIX = "tr_"
# The token in the cookie of a browser, which is not exchanged when it is used. Its prefix differs, so that nobody can use
# a copied refresh token as a cookie: that would give access for long, and no refresh of its owner would reveal it.
COOKIE_PREFIX = "tb_"
# Two tabs may refresh with the same token at once. A later second use means that the token was stolen.
GRACE = timedelta(seconds=10)
# The most sessions of an account; another login ends the session that was unused for longest.
MOST_SESSIONS = 100

_INSERT = insert(sessions).returning(sessions.c.id)
_INSERT_TOKEN = insert_missing(refresh_tokens)
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
_LIST = select(
    sessions.c.id,
    sessions.c.created_at,
    sessions.c.last_used_at,
    sessions.c.expires_at,
    sessions.c.address,
    sessions.c.client,
).where(sessions.c.user_id == bindparam("user_id"), sessions.c.expires_at > bindparam("now"))
_END = delete(sessions).where(
    sessions.c.user_id == bindparam("user_id"), sessions.c.id == bindparam("session_id")
)
# Ends all sessions but those used last.
_END_SURPLUS = delete(sessions).where(
    sessions.c.id.in_(
        select(sessions.c.id)
        .where(sessions.c.user_id == bindparam("user_id"))
        .order_by(sessions.c.last_used_at.desc(), sessions.c.id.desc())
        .offset(MOST_SESSIONS - 1)
    )
)
# Rows that refer to the account can be written meanwhile.
_HELD = (
    select(users.c.password_hash, users.c.credentials_version)
    .where(users.c.id == bindparam("user_id"))
    .with_for_update(key_share=True)
)
_IS_THERE = select(sessions.c.id).where(
    sessions.c.id == bindparam("session_id"), sessions.c.user_id == bindparam("user_id")
)
_USED_AT = select(refresh_tokens.c.used_at).where(refresh_tokens.c.token_hash == bindparam("hashed"))
_END_OTHERS = delete(sessions).where(
    sessions.c.user_id == bindparam("user_id"), sessions.c.id != bindparam("kept")
)


class Issued(NamedTuple):
    """The session and the refresh token that a login or a refresh hands out."""

    user_id: int
    session_id: int
    refresh_token: str
    expires_at: datetime


def start(db: Session, user_id: int, *, for_cookie: bool = False) -> Issued:
    """Start a session for an account, after its owner was authenticated: a program's, or one `for_cookie`."""
    now, origin = datetime.now(UTC), origin_var.get()
    db.execute(_EXPIRED, {"user_id": user_id, "now": now})
    db.execute(_END_SURPLUS, {"user_id": user_id})
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
    token = (COOKIE_PREFIX if for_cookie else PREFIX) + secrets.token_urlsafe(32)
    _keep(db, token, session_id, now)
    return Issued(user_id, session_id, token, expires_at)


def _keep(db: Session, token: str, session_id: int, now: datetime) -> None:
    db.execute(
        _INSERT_TOKEN.for_database_of(db),
        {"token_hash": token_hash(token), "session_id": session_id, "created_at": now, "used_at": None},
    )


def _newest_after(db: Session, token: str, session_id: int, now: datetime) -> str:
    """The successor of a used token, or the newest token of the chain that began with it.

    A successor is derived from its token and the secret key. Several refreshes within the grace time
    therefore return the same token, so that a session never branches.
    """
    while True:
        token = PREFIX + signing.derive("refresh", token)
        successor = db.execute(_USED_AT, {"hashed": token_hash(token)}).first()
        if successor is None:
            _keep(db, token, session_id, now)
            return token
        if successor.used_at is None:
            return token


def hold(db: Session, user: Caller) -> str:
    """Lock the caller's account until the commit, and return its password's hash; raises NotAuthenticated.

    New tokens are made, and webhooks switched on, under this lock. An owner who ends all sessions and tokens then
    either ends the new token too, or has ended the session or the token that asks for it.
    """
    held = db.execute(_HELD, {"user_id": user.id}).first()
    values = {"session_id": user.session_id, "user_id": user.id}
    if held is None:
        raise NotAuthenticated("User not found", code="user_not_found")
    if user.session_id is not None and db.execute(_IS_THERE, values).first() is None:
        raise NotAuthenticated(code="session_ended")
    # A new password ends all tokens of programs, by a new version of the account.
    if user.scopes is not None and held.credentials_version != user.credentials_version:
        raise NotAuthenticated
    hashed: str = held.password_hash
    return hashed


def refresh(db: Session, token: str) -> Issued | int:
    """Exchange a refresh token for the next one; a bad token returns the seconds that the caller must wait.

    A token that was used before, longer ago than the grace time, ends the session, because one of its two
    holders is a thief. No error is raised here: raising would undo the end of the session.
    """
    keys = attempt_service.address_keys("refresh")
    if not token.startswith(PREFIX):
        return attempt_service.count(db, keys)
    now, hashed = datetime.now(UTC), token_hash(token)
    # The token is marked before it is read: of two simultaneous requests on Postgres the second waits here.
    first = db.execute(_USE, {"hashed": hashed, "now": now}).rowcount == 1  # type: ignore[attr-defined]
    row = db.execute(_TOKEN, {"hashed": hashed}).first()
    if row is not None and row.expires_at > now and row.is_active:
        if first or row.used_at > now - GRACE:
            note_use(db, row.session_id, now)
            successor = _newest_after(db, token, row.session_id, now)
            return Issued(row.user_id, row.session_id, successor, row.expires_at)
        db.execute(_END, {"user_id": row.user_id, "session_id": row.session_id})
        audit_service.record(db, "refresh_token_replayed", user_id=row.user_id, session_id=row.session_id)
        keys.append(f"refresh:account:{row.user_id}")
    return attempt_service.count(db, keys)


def note_use(db: Session, session_id: int, now: datetime) -> None:
    """Write that a session was used now, from the address and by the client of the request."""
    origin = origin_var.get()
    values = {"session_id": session_id, "now": now, "at": origin.address}
    db.execute(_TOUCH, {**values, "by": origin.client[:CLIENT_LENGTH]})


def list_sessions(db: Session, user: Caller, page: Page) -> PageOf[dict[str, Any]]:
    """A page of the caller's sessions, newest first; the current session is marked."""
    values = {"user_id": user.id, "now": datetime.now(UTC)}
    found = keyset_by_id(db, _LIST, sessions.c.id, page, values)
    marked = [{**row._asdict(), "current": row.id == user.session_id} for row in found.rows]
    return PageOf(marked, found.next_cursor)


def end(db: Session, user: Caller, session_id: int) -> None:
    """End one of the caller's sessions; raises NotFound."""
    if db.execute(_END, {"user_id": user.id, "session_id": session_id}).rowcount == 0:  # type: ignore[attr-defined]
        raise NotFound("Session not found", code="session_not_found")
    audit_service.record(db, "session_ended", actor_id=user.id, user_id=user.id, session_id=session_id)


def end_all_of(db: Session, user: Caller) -> int:
    """End all of the caller's sessions; returns their number."""
    ended = end_all(db, user.id)
    audit_service.record(db, "sessions_ended", actor_id=user.id, user_id=user.id, sessions_ended=ended)
    return ended


def end_all(db: Session, user_id: int, *, but: int | None = None) -> int:
    """End an account's sessions, all or all `but` one; returns their number."""
    ended = db.execute(_END_OTHERS, {"user_id": user_id, "kept": but or -1})
    count: int = ended.rowcount  # type: ignore[attr-defined]
    return count


def as_tokens(issued: Issued) -> dict[str, Any]:
    """The tokens of an issued session, as a login and a refresh answer them."""
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
