"""Accounts: making them, finding them."""

from datetime import UTC, datetime

from sqlalchemy import bindparam, func, insert, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

import auth
from database import AnyRow, Database
from errors import BadRequest, NotFound
from models import users
from schemas.accounts import RegisterRequest, UserRead
from text import fold

USER_COLUMNS = tuple(users.c[name] for name in UserRead.model_fields)

_BY_NAME = select(users.c.id).where(func.lower(users.c.username) == bindparam("name"))
_BY_EMAIL = select(users.c.id).where(users.c.email_folded == bindparam("email"))
_REFERENCE = select(users.c.id, users.c.username).where(func.lower(users.c.username) == bindparam("name"))
_FOR_LOGIN = select(users.c.id, users.c.username, users.c.password_hash, users.c.is_active).where(
    or_(func.lower(users.c.username) == bindparam("name"), users.c.email_folded == bindparam("email"))
)


def check_free(db: Session, username: str, email: str) -> None:
    """Raise BadRequest where the username or the email is taken, in any letter case."""
    if db.execute(_BY_NAME, {"name": username.lower()}).first() is not None:
        raise BadRequest("Username already registered", code="username_taken")
    if db.execute(_BY_EMAIL, {"email": fold(email)}).first() is not None:
        raise BadRequest("Email already registered", code="email_taken")


def create_user(db: Session, username: str, email: str, password_hash: str, role: str = "member") -> AnyRow:
    """Make an account; raises BadRequest where its name or email is taken."""
    check_free(db, username, email)
    values = {
        "username": username,
        "email": email,
        "email_folded": fold(email),
        "password_hash": password_hash,
        "is_active": True,
        "role": role,
        "created_at": datetime.now(UTC),
    }
    try:
        with db.begin_nested():
            return db.execute(insert(users).values(values).returning(*USER_COLUMNS)).one()
    except IntegrityError:
        # Somebody else registered it between the look and the insert.
        check_free(db, username, email)
        raise


def find_for_login(db: Session, username: str) -> AnyRow | None:
    """The account with this username, or else this email, in any letter case."""
    found = db.execute(_FOR_LOGIN, {"name": username.lower(), "email": fold(username)}).all()
    # A username may not hold an "@", so that no name is another's email.
    return found[0] if found else None


def look_up(db: Session, username: str) -> AnyRow:
    """Id and name of exactly this account, in any letter case; raises NotFound."""
    row = db.execute(_REFERENCE, {"name": username.lower()}).first()
    if row is None:
        raise NotFound("User not found", code="user_not_found")
    return row


def create_first_admin(db: Database, username: str, email: str, password: str) -> bool:
    """Make an admin's account unless one of that name is there already; whether it was made."""
    # The same rules as for everybody; raises ValueError.
    wanted = RegisterRequest(username=username, email=email, password=password)
    if db.read(lambda session: session.execute(_BY_NAME, {"name": username.lower()}).first()) is not None:
        return False
    password_hash = auth.hash_password(password)

    def work(session: Session) -> bool:
        if session.execute(_BY_NAME, {"name": username.lower()}).first() is not None:
            return False
        create_user(session, wanted.username, wanted.email, password_hash, role="admin")
        return True

    return db.write(work)
