"""What owners do with their accounts: passwords, emails, and the links that are mailed for both.

Of a link only the hash of its token is stored. It is good for one use, for a while, and for no longer than
the password and the email it was made for.
"""

import secrets
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import auth
from account_models import account_links
from config import settings
from database import AnyRow
from errors import BadRequest, NotFound
from models import Caller, users
from services import attempt_service, audit_service, session_service, user_service
from services.user_service import USER_COLUMNS
from text import fold

LIFETIMES = {"reset": timedelta(hours=1), "verify": timedelta(days=1), "change": timedelta(days=1)}
# The page of each kind of link; the token stands behind the `#`, which no browser sends to a server.
PAGES = {"reset": "reset-password", "verify": "verify-email", "change": "verify-email"}

_ACCOUNT = (users.c.id, users.c.username, users.c.email, users.c.is_active, users.c.email_verified_at)
_BY_EMAIL = select(*_ACCOUNT).where(users.c.email_folded == bindparam("email"))
_BY_NAME = select(*_ACCOUNT).where(
    or_(func.lower(users.c.username) == bindparam("name"), users.c.email_folded == bindparam("email"))
)
_INSERT_LINK = insert(account_links)
_LINK = (
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
_USE_LINK = delete(account_links).where(account_links.c.token_hash == bindparam("hashed"))
_DROP_LINKS = delete(account_links).where(account_links.c.user_id == bindparam("of_user"))
_UPDATE = update(users).where(users.c.id == bindparam("of_user"))
_SET_PASSWORD = _UPDATE.values(password_hash=bindparam("hashed"))
_VERIFIED = _UPDATE.values(email_verified_at=bindparam("now"))


def make_link(db: Session, account: AnyRow | Caller, purpose: str, email: str) -> str:
    """A new link for an account: its address, with the token, which is stored nowhere."""
    now, token = datetime.now(UTC), secrets.token_urlsafe(32)
    db.execute(
        _INSERT_LINK,
        {
            "token_hash": auth.token_hash(token),
            "user_id": account.id,
            "purpose": purpose,
            "email": email,
            "created_at": now,
            "expires_at": now + LIFETIMES[purpose],
        },
    )
    return f"{settings.public_url}/{PAGES[purpose]}#token={token}"


def ask(db: Session, email: str) -> int:
    """Count somebody's asking for a mail; for how many seconds they are to wait instead."""
    account = db.execute(_BY_EMAIL, {"email": fold(email)}).first()
    keys = attempt_service.keys_for(db, "mail", account.id if account is not None else None, email)
    return attempt_service.count(db, keys)


def link_for_email(db: Session, email: str, purpose: str) -> tuple[AnyRow, str] | None:
    """The account with this email and a link for it; none where there is no such account, or no need for one.

    The trail gets its line either way, so that both take as long.
    """
    account = db.execute(_BY_EMAIL, {"email": fold(email)}).first()
    wanted = (
        account is not None
        and account.is_active
        and (purpose != "verify" or account.email_verified_at is None)
    )
    kind = "password_reset_requested" if purpose == "reset" else "verification_requested"
    audit_service.record(db, kind, user_id=account.id if account is not None else None)
    if account is None or not wanted:
        return None
    return account, make_link(db, account, purpose, account.email)


def link_for_operator(db: Session, name: str) -> str:
    """A link to reset the password of the account with this username or email; raises NotFound."""
    account = db.execute(_BY_NAME, {"name": name.lower(), "email": fold(name)}).first()
    if account is None:
        raise NotFound(f"There is no user {name}", code="user_not_found")
    audit_service.record(db, "reset_link_printed", user_id=account.id)
    return make_link(db, account, "reset", account.email)


def find_link(db: Session, token: str, purposes: tuple[str, ...]) -> AnyRow | None:
    """The link with this token, and its account; none where it is none of ours, used or expired."""
    row = db.execute(_LINK, {"hashed": auth.token_hash(token), "now": datetime.now(UTC)}).first()
    return row if row is not None and row.purpose in purposes else None


def refuse_link(db: Session) -> int:
    """Count a bad link; for how many seconds the caller is to wait."""
    audit_service.record(db, "link_refused")
    return attempt_service.count(db, attempt_service.address_keys("link"))


def invalid_link() -> BadRequest:
    """What is said of a link that is none of ours, used or expired, all the same."""
    return BadRequest("This link is not valid, or not any more: ask for a new one", code="invalid_link")


def _take_link(db: Session, token: str, purposes: tuple[str, ...]) -> AnyRow:
    """Use a link up; of two at once one gets it. Raises BadRequest."""
    link = find_link(db, token, purposes)
    used = db.execute(_USE_LINK, {"hashed": auth.token_hash(token)})
    if link is None or used.rowcount == 0:  # type: ignore[attr-defined]
        raise invalid_link()
    return link


def reset_password(db: Session, token: str, hashed: str) -> AnyRow:
    """Set the password by a link that was mailed, and end every session; raises BadRequest."""
    link = _take_link(db, token, ("reset",))
    db.execute(_SET_PASSWORD, {"of_user": link.id, "hashed": hashed})
    if link.link_email == link.email:
        # Whoever has the link reads the mail of this address.
        db.execute(_VERIFIED, {"of_user": link.id, "now": datetime.now(UTC)})
    db.execute(_DROP_LINKS, {"of_user": link.id})
    ended = session_service.end_all(db, link.id)
    # They have shown who they are: however much others guess, from here they can log in.
    attempt_service.know_address(db, link.id)
    audit_service.record(db, "password_reset", actor_id=link.id, user_id=link.id, sessions_ended=ended)
    return link


def change_password(db: Session, user: Caller, hashed: str) -> None:
    """Set the caller's password, and end the other sessions."""
    db.execute(_SET_PASSWORD, {"of_user": user.id, "hashed": hashed})
    db.execute(_DROP_LINKS, {"of_user": user.id})
    ended = session_service.end_all(db, user.id, but=user.session_id)
    audit_service.record(db, "password_changed", actor_id=user.id, user_id=user.id, sessions_ended=ended)


def ask_for_email(db: Session, user: Caller, email: str) -> str | None:
    """A link that makes this the caller's email, to be sent there; none where it is somebody's already."""
    audit_service.record(db, "email_change_requested", actor_id=user.id, user_id=user.id)
    if db.execute(_BY_EMAIL, {"email": fold(email)}).first() is not None:
        return None
    return make_link(db, user, "change", email)


def confirm_email(db: Session, token: str) -> AnyRow:
    """Confirm an email by the link that was sent there, the account's or a new one; raises BadRequest."""
    link, now = _take_link(db, token, ("verify", "change")), datetime.now(UTC)
    if link.purpose == "verify":
        if link.link_email != link.email:
            raise invalid_link()
        db.execute(_VERIFIED, {"of_user": link.id, "now": now})
        audit_service.record(db, "email_verified", actor_id=link.id, user_id=link.id)
        return link
    values: dict[str, Any] = {
        "email": link.link_email,
        "email_folded": fold(link.link_email),
        "email_verified_at": now,
    }
    try:
        with db.begin_nested():
            db.execute(_UPDATE.values(values), {"of_user": link.id})
    except IntegrityError:
        raise BadRequest("Email already registered", code="email_taken") from None
    db.execute(_DROP_LINKS, {"of_user": link.id})
    audit_service.record(db, "email_changed", actor_id=link.id, user_id=link.id)
    return link


def rename(db: Session, user: Caller, username: str) -> AnyRow:
    """Change the caller's username; raises BadRequest where it is taken."""
    if username.lower() != user.username.lower():
        user_service.check_username_free(db, username)
    statement = _UPDATE.values(username=username).returning(*USER_COLUMNS)
    try:
        with db.begin_nested():
            row = db.execute(statement, {"of_user": user.id}).one()
    except IntegrityError:
        raise BadRequest("Username already registered", code="username_taken") from None
    audit_service.record(db, "username_changed", actor_id=user.id, user_id=user.id)
    return row
