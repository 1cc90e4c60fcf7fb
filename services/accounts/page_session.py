"""Sessions of browsers on the program's own pages, kept alive by a cookie that no script can read.

The token in the cookie is not exchanged at each use, unlike a program's refresh token. Several tabs use the
cookie at once, and a tab that is closed during an exchange would lose the new token. That would end the
session.
"""

from datetime import UTC, datetime

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from account_models import refresh_tokens, sessions
from database import AnyRow
from models import users
from security.tokens import token_hash
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service
from services.accounts import session as session_service
from services.accounts.session import COOKIE_PREFIX, Issued

_SESSION = (
    select(sessions.c.id, sessions.c.user_id, sessions.c.expires_at, users.c.is_active)
    .join_from(refresh_tokens, sessions, sessions.c.id == refresh_tokens.c.session_id)
    .join(users, users.c.id == sessions.c.user_id)
    .where(refresh_tokens.c.token_hash == bindparam("hashed"), refresh_tokens.c.used_at.is_(None))
)
_END = delete(sessions).where(sessions.c.id == bindparam("session_id"))


def _find(db: Session, token: str) -> AnyRow | None:
    """The session of the cookie's token, if there is one: refresh tokens of programs are no such tokens."""
    if not token.startswith(COOKIE_PREFIX):
        return None
    return db.execute(_SESSION, {"hashed": token_hash(token)}).first()


def renew(db: Session, token: str) -> Issued | int:
    """Renew the session of the cookie's token; a bad token returns the seconds that the caller must wait."""
    now, row = datetime.now(UTC), _find(db, token)
    if row is None or row.expires_at <= now or not row.is_active:
        return attempt_service.count(db, attempt_service.address_keys("refresh"))
    session_service.note_use(db, row.id, now)
    return Issued(row.user_id, row.id, token, row.expires_at)


def end(db: Session, token: str) -> None:
    """End the session of the cookie's token, if there is one."""
    row = _find(db, token)
    if row is not None:
        db.execute(_END, {"session_id": row.id})
        audit_service.record(
            db, "session_ended", actor_id=row.user_id, user_id=row.user_id, session_id=row.id
        )
