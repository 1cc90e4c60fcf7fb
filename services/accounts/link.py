"""The links that are mailed to owners: to reset a password, to confirm an email.

Of a link only the hash of its token is stored. It is good for one use, for a while, and for no longer than
the password and the email it was made for.
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
# The page of each kind of link; the token stands behind the `#`, which no browser sends to a server.
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
    """A new link for an account, to be sent to this email: its address, with the token, which is stored nowhere."""
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
    """The link with this token, and its account; none where it is none of ours, used or expired."""
    row = db.execute(_FIND, {"hashed": token_hash(token), "now": datetime.now(UTC)}).first()
    return row if row is not None and row.purpose in purposes else None


def use(db: Session, token: str, purposes: tuple[str, ...]) -> AnyRow:
    """Use a link up; of two at once one gets it. Raises BadRequest."""
    link = find(db, token, purposes)
    used = db.execute(_USE, {"hashed": token_hash(token)})
    if link is None or used.rowcount == 0:  # type: ignore[attr-defined]
        raise invalid()
    return link


def drop(db: Session, user_id: int) -> None:
    """Make every link of an account worthless."""
    db.execute(_DROP, {"of_user": user_id})


def refuse(db: Session) -> int:
    """Count a bad link; for how many seconds the caller is to wait."""
    audit_service.record(db, "link_refused")
    return attempt_service.count(db, attempt_service.address_keys("link"))


def invalid() -> BadRequest:
    """What is said of a link that is none of ours, used or expired, all the same."""
    return BadRequest("This link is not valid, or not any more: ask for a new one", code="invalid_link")
