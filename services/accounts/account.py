"""Changes that owners make to their accounts: passwords, emails, usernames, and asking for mailed links."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from database import AnyRow
from errors import BadRequest, Forbidden, NotAuthenticated, NotFound
from models import Caller, users
from schemas.accounts import name_or_email
from services.accounts import account_mail, given_out
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service
from services.accounts import link as link_service
from services.accounts import user as user_service
from services.accounts.user import USER_COLUMNS
from storage.column_types import LowerAscii
from storage.folding import fold

_ACCOUNT = (users.c.id, users.c.username, users.c.email, users.c.is_active, users.c.email_verified_at)
_BY_EMAIL = select(*_ACCOUNT).where(users.c.email_folded == bindparam("email"))
_BY_NAME = select(*_ACCOUNT).where(
    or_(LowerAscii(users.c.username) == bindparam("name"), users.c.email_folded == bindparam("email"))
)
_UPDATE = update(users).where(users.c.id == bindparam("of_user"))
_SET_PASSWORD = _UPDATE.values(password_hash=bindparam("hashed"))
_VERIFIED = _UPDATE.values(email_verified_at=bindparam("now"))


def ask_for_link(db: Session, email: str, purpose: str) -> int:
    """Mail a link to the account with this email, if any; returns the seconds to wait if asked too often.

    A known and an unknown email lead to the same statements, so that the time of the answer reveals neither.
    """
    account = db.execute(_BY_EMAIL, {"email": fold(email)}).first()
    if wait := _count(db, account, email):
        return wait
    _ask(db, account, purpose, email)
    return 0


def _ask(db: Session, account: AnyRow | None, purpose: str, email: str) -> None:
    user_id = account.id if account is not None else None
    kind = "password_reset_requested" if purpose == "reset" else "verification_requested"
    audit_service.record(db, kind, user_id=user_id)
    account_mail.put(db, purpose, user_id, account.email if account is not None else email)


def ask_to_verify(db: Session, account: AnyRow) -> None:
    """Have a new account mailed the link that confirms its email."""
    _ask(db, account, "verify", account.email)


def _count(db: Session, account: AnyRow | None, email: str) -> int:
    """Count a request for a mail; returns the seconds to wait if there were too many."""
    is_known = attempt_service.is_at_known_address(db, account.id if account is not None else None)
    keys = attempt_service.keys_for("mail", email, is_known=is_known)
    return attempt_service.count(db, keys)


def count_asking(db: Session, email: str) -> int:
    """Count a request for a mail to this address; returns the seconds to wait if there were too many."""
    return _count(db, db.execute(_BY_EMAIL, {"email": fold(email)}).first(), email)


def link_for_operator(db: Session, name: str) -> str:
    """A link to reset the password of the account with this username or email; raises NotFound, Forbidden."""
    given = {"name": name.lower(), "email": fold(name_or_email(name))}
    account = db.execute(_BY_NAME, given).first()
    if account is None:
        raise NotFound(f"There is no user {name}", code="user_not_found")
    if not account.is_active:
        raise Forbidden(f"{account.username} is not active: no link would work", code="account_inactive")
    audit_service.record(db, "reset_link_printed", user_id=account.id)
    # The link is mailed to no address, so its use confirms none.
    return link_service.make(db, account.id, "reset", "")


def reset_password(db: Session, token: str, hashed: str) -> None:
    """Set the password by a mailed link, and end all sessions, tokens and links; raises BadRequest."""
    link = link_service.use(db, token, ("reset",))
    db.execute(_SET_PASSWORD, {"of_user": link.id, "hashed": hashed})
    if link.link_email == link.email:
        # The link was mailed to this address, so its user reads the mail there.
        db.execute(_VERIFIED, {"of_user": link.id, "now": datetime.now(UTC)})
    # The owner is known at this address from now on: guesses from elsewhere don't block logins here.
    ended = given_out.end_everything_given_out(db, link.id)
    audit_service.record(db, "password_reset", actor_id=link.id, user_id=link.id, **ended)
    account_mail.put(db, "password_changed", link.id, link.email)


def change_password(db: Session, user: Caller, hashed: str) -> None:
    """Set the caller's password, and end all other sessions, tokens and links."""
    db.execute(_SET_PASSWORD, {"of_user": user.id, "hashed": hashed})
    ended = given_out.end_everything_given_out(db, user.id, but=user.session_id)
    audit_service.record(db, "password_changed", actor_id=user.id, user_id=user.id, **ended)
    account_mail.put(db, "password_changed", user.id, user.email)


def ask_for_email(db: Session, user: Caller, email: str) -> None:
    """Mail a link to this address that makes it the caller's email, unless another account has it."""
    audit_service.record(db, "email_change_requested", actor_id=user.id, user_id=user.id)
    account = db.execute(_BY_EMAIL, {"email": fold(email)}).first()
    # The caller's own address may get other letter cases.
    is_free = account is None or account.id == user.id
    account_mail.put(db, "change", user.id if is_free else None, email)


def confirm_email(db: Session, token: str) -> None:
    """Confirm the account's email, or a new one, by the link that was sent there; raises BadRequest."""
    link, now = link_service.use(db, token, ("verify", "change")), datetime.now(UTC)
    if link.purpose == "verify":
        if link.link_email != link.email:
            raise link_service.invalid()
        db.execute(_VERIFIED, {"of_user": link.id, "now": now})
        audit_service.record(db, "email_verified", actor_id=link.id, user_id=link.id)
        return
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
    account_mail.drop_links(db, link.id)
    audit_service.record(db, "email_changed", actor_id=link.id, user_id=link.id)
    account_mail.put(db, "email_changed", link.id, link.email)


def rename(db: Session, user: Caller, username: str) -> AnyRow:
    """Change the caller's username; raises BadRequest if it is taken."""
    if username.lower() != user.username.lower():
        user_service.check_username_free(db, username)
    statement = _UPDATE.values(username=username).returning(*USER_COLUMNS)
    try:
        with db.begin_nested():
            row = db.execute(statement, {"of_user": user.id}).first()
    except IntegrityError:
        raise BadRequest("Username already registered", code="username_taken") from None
    if row is None:
        raise NotAuthenticated("User not found", code="user_not_found")
    audit_service.record(db, "username_changed", actor_id=user.id, user_id=user.id)
    return row
