"""Callers: the accounts that tokens were issued to, and their right to call an endpoint."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, get_args

from sqlalchemy import and_, bindparam, literal_column, select
from sqlalchemy.orm import Session

from account_models import program_tokens, sessions
from errors import Forbidden, NotAuthenticated, admin_required
from models import Caller, users
from storage.column_types import UtcDateTime
from storage.prepared import prepared

Scope = Literal["tasks:read", "tasks:write", "analytics:read", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
ADMIN_SCOPE = "admin"
_ACCOUNT = tuple(users.c[name] for name in ("id", "username", "email", "is_active", "role", "created_at"))
_NO_SESSION: Any = literal_column("NULL").label("session_id")
# Each kind of token takes only one statement, because every request executes it.
CALLER_BY_ID: Any = prepared(
    select(*_ACCOUNT, _NO_SESSION, users.c.credentials_version).where(users.c.id == bindparam("user_id"))
)
CALLER_BY_SESSION: Any = prepared(
    select(*_ACCOUNT, sessions.c.id.label("session_id"), users.c.credentials_version)
    .join_from(
        users,
        sessions,
        and_(sessions.c.id == bindparam("session_id"), sessions.c.user_id == users.c.id),
        isouter=True,
    )
    .where(users.c.id == bindparam("user_id"))
)
CALLER_BY_PROGRAM_TOKEN: Any = prepared(
    select(
        *_ACCOUNT,
        _NO_SESSION,
        users.c.credentials_version,
        program_tokens.c.scopes,
        program_tokens.c.expires_at,
    )
    .join_from(program_tokens, users, users.c.id == program_tokens.c.user_id)
    .where(program_tokens.c.token_hash == bindparam("token_hash"))
)


def load_caller(db: Session, claims: dict[str, Any]) -> Caller:
    """The current state of the account that a token was issued to; raises NotAuthenticated."""
    if "program" in claims:
        caller = _caller_of_program(db, claims["program"])
    else:
        subject, session_id = claims["sub"], claims.get("sid")
        # Ids have fewer than 19 digits; a database would refuse a longer number.
        user_id = int(subject) if subject.isdecimal() and len(subject) < 19 else -1
        if session_id is None:
            row = db.execute(CALLER_BY_ID, {"user_id": user_id}).first()
        else:
            row = db.execute(CALLER_BY_SESSION, {"user_id": user_id, "session_id": session_id}).first()
        if row is None:
            raise NotAuthenticated("User not found", code="user_not_found")
        caller = Caller(*row)
        if session_id != caller.session_id:
            raise NotAuthenticated(code="session_ended")
    if not caller.is_active:
        raise NotAuthenticated(code="account_inactive")
    return caller


def _caller_of_program(db: Session, hashed: str) -> Caller:
    row = db.execute(CALLER_BY_PROGRAM_TOKEN, {"token_hash": hashed}).first()
    if row is None or (row.expires_at is not None and row.expires_at <= datetime.now(UTC)):
        raise NotAuthenticated
    caller = Caller(*row[:-1])._replace(scopes=tuple(row.scopes))
    # Without the scope `admin` an admin's program has only a member's rights.
    return caller if ADMIN_SCOPE in row.scopes else caller._replace(role="member")


_ACTIVE = select(users.c.id).where(users.c.is_active, users.c.id.in_(bindparam("ids", expanding=True)))
_OPEN_SESSIONS = (
    select(sessions.c.id)
    .join_from(sessions, users, users.c.id == sessions.c.user_id)
    .where(users.c.is_active, sessions.c.id.in_(bindparam("ids", expanding=True)))
)
_GOOD_TOKENS = (
    select(program_tokens.c.token_hash)
    .join_from(program_tokens, users, users.c.id == program_tokens.c.user_id)
    .where(
        users.c.is_active,
        program_tokens.c.token_hash.in_(bindparam("ids", expanding=True)),
        program_tokens.c.expires_at.is_(None)
        | (program_tokens.c.expires_at > bindparam("now", type_=UtcDateTime())),
    )
)


_ADMINS = _ACTIVE.where(users.c.role == "admin")


def ended(db: Session, claims: Mapping[int, Mapping[str, Any]]) -> set[int]:
    """The keys of those tokens that are no longer valid, found by three queries for any number of tokens."""
    groups: dict[str, dict[int, Any]] = {"program": {}, "sid": {}, "sub": {}}
    for key, each in claims.items():
        name = next(name for name in groups if each.get(name) is not None)
        groups[name][key] = int(each["sub"]) if name == "sub" else each[name]
    found: set[int] = set()
    for name, statement in (("program", _GOOD_TOKENS), ("sid", _OPEN_SESSIONS), ("sub", _ACTIVE)):
        if groups[name]:
            values: dict[str, Any] = {"ids": sorted(set(groups[name].values()))}
            if name == "program":
                values["now"] = datetime.now(UTC)
            good = set(db.execute(statement, values).scalars())
            found |= {key for key, value in groups[name].items() if value not in good}
    return found


def admins_among(db: Session, user_ids: Collection[int]) -> set[int]:
    """The accounts among these that are active admins."""
    return set(db.execute(_ADMINS, {"ids": sorted(user_ids)}).scalars()) if user_ids else set()


def authorize(db: Session, claims: dict[str, Any], *, admin: bool, scope: str | None) -> Caller:
    """The caller, if the caller may call the endpoint; raises NotAuthenticated, Forbidden.

    A program's token needs the scope of the endpoint, and for an admin's endpoint the scope `admin`. An
    endpoint without a scope is open only to callers who logged in.
    """
    caller = load_caller(db, claims)
    if caller.scopes is not None:
        needed = ADMIN_SCOPE if admin else scope
        if needed is None:
            raise Forbidden("A program's token is not accepted here: log in", code="session_required")
        if needed not in caller.scopes:
            raise Forbidden(f"The token lacks the scope `{needed}`", code="missing_scope")
    return require_admin(caller) if admin else caller


def require_admin(caller: Caller) -> Caller:
    """The caller, if the caller is an admin; raises Forbidden."""
    if not caller.is_admin:
        raise admin_required()
    return caller
