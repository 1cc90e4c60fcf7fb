"""Logging in: one transaction counts the attempt, and another follows the check of the password."""

from typing import NamedTuple

from sqlalchemy import bindparam, or_, select, update
from sqlalchemy.orm import Session

from config import settings
from database import AnyRow
from errors import Forbidden
from models import Caller, users
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service
from services.accounts import session as session_service
from services.accounts.session import Issued
from storage.column_types import LowerAscii
from storage.folding import fold

_FOR_LOGIN = select(users.c.id, users.c.password_hash).where(
    or_(LowerAscii(users.c.username) == bindparam("name"), users.c.email_folded == bindparam("email"))
)
_OF_CALLER = select(users.c.password_hash).where(users.c.id == bindparam("user_id"))
_STATE = (
    select(users.c.is_active, users.c.email_verified_at)
    .where(users.c.id == bindparam("user_id"), users.c.password_hash == bindparam("hashed"))
    .with_for_update()
)
_RENEW = (
    update(users)
    .where(users.c.id == bindparam("of_user"), users.c.password_hash == bindparam("hashed"))
    .values(password_hash=bindparam("renewed"))
)


class Attempt(NamedTuple):
    """An attempt to log in whose password is not checked yet; `wait` is positive if it comes too soon."""

    user_id: int | None
    password_hash: str | None
    keys: list[str]
    wait: int
    # Whether the owner has used the account from this address.
    is_known: bool


def _find(db: Session, username: str) -> AnyRow | None:
    """The account with this username or email, in any letter case."""
    # A username may not hold an "@", so no username equals another account's email.
    return db.execute(_FOR_LOGIN, {"name": username.lower(), "email": fold(username)}).first()


def begin(db: Session, username: str) -> Attempt:
    """Count an attempt to log in with a username, or else an email, in any letter case."""
    account = _find(db, username)
    user_id, hashed = (account.id, account.password_hash) if account is not None else (None, None)
    is_known = attempt_service.is_at_known_address(db, user_id)
    keys = attempt_service.keys_for("login", username, is_known=is_known)
    return Attempt(user_id, hashed, keys, attempt_service.count(db, keys), is_known)


def is_at_known_address(db: Session, username: str) -> bool:
    """Whether the owner of this name or email has used the account from the caller's address."""
    account = _find(db, username)
    return account is not None and attempt_service.is_at_known_address(db, account.id)


def begin_for(db: Session, user: Caller) -> Attempt:
    """Count an attempt of a logged-in caller to confirm the password."""
    hashed = db.execute(_OF_CALLER, {"user_id": user.id}).scalar()
    is_known = attempt_service.is_at_known_address(db, user.id)
    keys = attempt_service.keys_for("login", user.username, is_known=is_known)
    return Attempt(user.id, hashed, keys, attempt_service.count(db, keys), is_known)


def check_still_confirmed(db: Session, user: Caller, confirmed_hash: str | None) -> None:
    """Lock the account until the commit; raises NotAuthenticated, Forbidden.

    Checking a password takes a while. The owner may meanwhile have reset the password, to shut this caller
    out. So the action that the check allows needs the same password and the same session afterwards.
    """
    if session_service.hold(db, user) != confirmed_hash:
        raise wrong_password()


def wrong_password() -> Forbidden:
    """The error for a caller who gave another password than their own."""
    return Forbidden("The password is wrong", code="wrong_password")


def fail(db: Session, attempt: Attempt, kind: str = "login_failed") -> None:
    """Write into the trail that the password was wrong; the attempt stays counted."""
    audit_service.record(db, kind, user_id=attempt.user_id)


def forgive(db: Session, attempt: Attempt) -> None:
    """Take the attempt back, because the password was right or was never checked."""
    attempt_service.take_back(db, attempt.keys)


def succeed(db: Session, attempt: Attempt, renewed: str | None, *, for_cookie: bool) -> Issued | str:
    """Start a session after the right password; returns an error code if the account may not log in."""
    user_id = attempt.user_id
    attempt_service.take_back(db, attempt.keys, clear=True)
    state = db.execute(_STATE, {"user_id": user_id, "hashed": attempt.password_hash}).first()
    if state is None:
        return "invalid_credentials"  # The password was changed, or the account deleted, in the meantime.
    refused = None
    if not state.is_active:
        refused = "account_inactive"
    elif settings.require_verified_email and state.email_verified_at is None:
        refused = "email_not_verified"
    if refused is not None:
        audit_service.record(db, "login_refused", user_id=user_id, reason=refused)
        return refused
    if renewed is not None:
        db.execute(_RENEW, {"of_user": user_id, "hashed": attempt.password_hash, "renewed": renewed})
    assert user_id is not None
    attempt_service.know_address(db, user_id)
    issued = session_service.start(db, user_id, for_cookie=for_cookie)
    audit_service.record(db, "login", actor_id=user_id, user_id=user_id, session_id=issued.session_id)
    return issued
