"""Accounts: making them, finding them."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from database import AnyRow, Database
from errors import BadRequest, user_not_found
from models import users
from schemas.accounts import RegisterRequest, UserRead
from security.passwords import hash_password
from services import preconditions
from services.accounts import audit as audit_service
from services.accounts import password_rules
from storage.column_types import LowerAscii
from storage.folding import fold

USER_COLUMNS = tuple(users.c[name] for name in UserRead.model_fields)

_BY_NAME = select(users.c.id).where(LowerAscii(users.c.username) == bindparam("name"))
_BY_EMAIL = select(users.c.id).where(users.c.email_folded == bindparam("email"))
_AN_ADMIN = select(users.c.id).where(users.c.role == "admin").limit(1)
_REFERENCE = select(users.c.id, users.c.username).where(LowerAscii(users.c.username) == bindparam("name"))


def check_username_free(db: Session, username: str) -> None:
    """Raise BadRequest if the username is taken, in any letter case."""
    if db.execute(_BY_NAME, {"name": username.lower()}).first() is not None:
        raise BadRequest("Username already registered", code="username_taken")


def check_free(db: Session, username: str, email: str) -> None:
    """Raise BadRequest if the username or the email is taken, in any letter case."""
    check_username_free(db, username)
    if db.execute(_BY_EMAIL, {"email": fold(email)}).first() is not None:
        raise BadRequest("Email already registered", code="email_taken")


def has_admin(db: Session) -> bool:
    """Whether there is an admin."""
    return db.execute(_AN_ADMIN).first() is not None


def create_user(
    db: Session,
    username: str,
    email: str,
    password_hash: str,
    role: str = "member",
    *,
    verified: bool = False,
) -> AnyRow:
    """Make an account; raises BadRequest if its username or email is taken."""
    check_free(db, username, email)
    now = datetime.now(UTC)
    values = {
        "username": username,
        "email": email,
        "email_folded": fold(email),
        "password_hash": password_hash,
        "is_active": True,
        "role": role,
        "created_at": now,
        "email_verified_at": now if verified else None,
    }
    try:
        with db.begin_nested():
            row = db.execute(insert(users).values(values).returning(*USER_COLUMNS)).one()
    except IntegrityError:
        # Another request registered the name or email between the look and the insert.
        check_free(db, username, email)
        raise
    audit_service.record(db, "user_created", user_id=row.id, role=role)
    return row


def changes(account: Any, values: Mapping[str, Any], writable: Collection[str]) -> dict[str, Any]:
    """The values that change an account; raises InvalidInput for a read-only field with another value."""
    differing = {name: value for name, value in values.items() if value != getattr(account, name)}
    if refused := [name for name in differing if name not in writable]:
        raise preconditions.read_only_fields(refused)
    return {name: value for name, value in differing.items() if value is not None}


def look_up(db: Session, username: str) -> AnyRow:
    """The id and name of the account with exactly this name, in any letter case; raises NotFound."""
    row = db.execute(_REFERENCE, {"name": username.lower()}).first()
    if row is None:
        raise user_not_found()
    return row


def create_first_admin(db: Database, username: str, email: str, password: str) -> bool:
    """Make an admin's account unless the username exists already; returns whether the account was made."""
    # The rules of every registration apply; raises ValueError.
    wanted = RegisterRequest(username=username, email=email, password=password)

    def is_there(session: Session) -> bool:
        return session.execute(_BY_NAME, {"name": username.lower()}).first() is not None

    if db.read(is_there):
        return False
    password_rules.check(password, username, email)
    password_hash = hash_password(password)

    def work(session: Session) -> bool:
        if is_there(session):
            return False
        create_user(session, wanted.username, wanted.email, password_hash, role="admin", verified=True)
        return True

    try:
        return db.write(work)
    except BadRequest:
        # Another process may have made the account between the look and the insert.
        if db.read(is_there):
            return False
        raise
