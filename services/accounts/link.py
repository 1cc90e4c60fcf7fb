"""The links that are mailed to owners: to reset a password, to confirm an email.

The database stores only the hash of a link's token. A link works once and until it expires. A change of the
account's password or email ends it too.
"""

import secrets
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, delete, insert, select
from sqlalchemy.orm import Session

from account_models import account_links
from config import settings
from database import AnyRow
from errors import BadRequest
from models import users
from security.tokens import token_hash
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service

LIFETIMES = {"reset": timedelta(hours=1), "verify": timedelta(days=1), "change": timedelta(days=1)}
# The page of each kind of link. The token follows the `#`, because no browser sends that part to a server.
PAGES = {"reset": "reset-password", "verify": "verify-email", "change": "verify-email"}

_INSERT = insert(account_links)
_FIND = (
    select(
        account_links.c.purpose,
        account_links.c.email.label("link_email"),
        users.c.id,
        users.c.username,
        users.c.email,
    )
    .join_from(account_links, users, users.c.id == account_links.c.user_id)
    .where(
        account_links.c.token_hash == bindparam("hashed"),
        account_links.c.expires_at > bindparam("now"),
        users.c.is_active,
    )
)
_USE = delete(account_links).where(account_links.c.token_hash == bindparam("hashed"))
_DROP = delete(account_links).where(account_links.c.user_id == bindparam("of_user"))
_DROP_EXPIRED = _DROP.where(account_links.c.expires_at <= bindparam("now"))


def make(db: Session, user_id: int, purpose: str, email: str) -> str:
    """Make a link for an account, to be sent to this email; only the returned URL holds its token."""
    now, token = datetime.now(UTC), secrets.token_urlsafe(32)
    db.execute(_DROP_EXPIRED, {"of_user": user_id, "now": now})
    db.execute(
        _INSERT,
        {
            "token_hash": token_hash(token),
            "user_id": user_id,
            "purpose": purpose,
            "email": email,
            "created_at": now,
            "expires_at": now + LIFETIMES[purpose],
        },
    )
    return f"{settings.public_url}/{PAGES[purpose]}#token={token}"


def find(db: Session, token: str, purposes: tuple[str, ...]) -> AnyRow | None:
    """The link with this token, and its account; None if the link is unknown, used or expired."""
    row = db.execute(_FIND, {"hashed": token_hash(token), "now": datetime.now(UTC)}).first()
    return row if row is not None and row.purpose in purposes else None


def use(db: Session, token: str, purposes: tuple[str, ...]) -> AnyRow:
    """Use a link up; of two simultaneous requests only one succeeds. Raises BadRequest."""
    link = find(db, token, purposes)
    used = db.execute(_USE, {"hashed": token_hash(token)})
    if link is None or used.rowcount == 0:  # type: ignore[attr-defined]
        raise invalid()
    return link


def drop(db: Session, user_id: int) -> None:
    """Make every link of an account worthless."""
    db.execute(_DROP, {"of_user": user_id})


def refuse(db: Session) -> int:
    """Count a bad link; returns the seconds that the caller must wait."""
    audit_service.record(db, "link_refused")
    return attempt_service.count(db, attempt_service.address_keys("link"))


def invalid() -> BadRequest:
    """The error for an unknown, used or expired link: the same for all, so that callers learn no more."""
    return BadRequest("This link is not valid, or no longer valid: ask for a new one", code="invalid_link")
