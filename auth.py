"""The caller of a request: the dependencies that endpoints declare, and what each of them checks.

Endpoints declare `user: CurrentUser` or `user: AdminUser`. `web.routing.Router` then checks the token before
it reads anything else of the request, and reads the account within the endpoint's transaction. Endpoints that
make several transactions are `async` and declare `user: SignedIn`.

Passwords are in `security/passwords.py` and tokens in `security/tokens.py`. This module hands on the names that
other programs import from it.
"""

import time
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import and_, bindparam, or_, select, update
from sqlalchemy.orm import Session

from account_models import program_tokens, sessions
from database import database, get_db
from errors import AppError, Forbidden, NotAuthenticated
from logging_config import logger
from models import Caller, users
from security.passwords import hash_password, verify_password
from security.tokens import (
    PROGRAM_TOKEN_PREFIX,
    REMEMBERED_TOKENS,
    create_access_token,
    token_hash,
    verify_token,
)
from storage.prepared import prepared

__all__ = [
    "AdminUser",
    "Claims",
    "CurrentUser",
    "SignedIn",
    "authorize",
    "bearer",
    "claims_of",
    "create_access_token",
    "get_admin_user",
    "get_current_user",
    "hash_password",
    "note_use",
    "require_admin",
    "verify_password",
    "verify_token",
]

ADMIN_SCOPE = "admin"
SCOPES = ("tasks:read", "tasks:write", "analytics:read", ADMIN_SCOPE)
# The use of a program's token is written down once in this time.
USE_WRITTEN_SECONDS = 60

bearer = OAuth2PasswordBearer(tokenUrl="auth/login", auto_error=False)

_ACCOUNT = tuple(users.c[name] for name in ("id", "username", "email", "is_active", "role", "created_at"))
# One statement each, for every request makes one of them.
CALLER_BY_ID = prepared(select(*_ACCOUNT).where(users.c.id == bindparam("user_id")))
CALLER_BY_SESSION = prepared(
    select(*_ACCOUNT, sessions.c.id.label("session_id"))
    .join_from(
        users,
        sessions,
        and_(sessions.c.id == bindparam("session_id"), sessions.c.user_id == users.c.id),
        isouter=True,
    )
    .where(users.c.id == bindparam("user_id"))
)
CALLER_BY_PROGRAM_TOKEN = prepared(
    select(*_ACCOUNT, program_tokens.c.scopes, program_tokens.c.expires_at)
    .join_from(program_tokens, users, users.c.id == program_tokens.c.user_id)
    .where(program_tokens.c.token_hash == bindparam("token_hash"))
)
_USE_TOKEN = update(program_tokens).where(
    program_tokens.c.token_hash == bindparam("of_token"),
    or_(program_tokens.c.last_used_at.is_(None), program_tokens.c.last_used_at <= bindparam("a_while_ago")),
)


async def token_claims(token: Annotated[str | None, Depends(bearer)]) -> dict[str, Any]:
    """The verified claims of the request's bearer token, as a dependency."""
    return _claims(token)


def claims_of(request: Request) -> dict[str, Any]:
    """The verified claims of the request's bearer token; raises NotAuthenticated."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return _claims(token.strip() if scheme.lower() == "bearer" else None)


def _claims(token: str | None) -> dict[str, Any]:
    """A token's claims; of a program's token its hash, by which the transaction finds it."""
    if not token:
        raise NotAuthenticated(
            "Not authenticated: send a token as `Authorization: Bearer ...`", code="not_authenticated"
        )
    if token.startswith(PROGRAM_TOKEN_PREFIX):
        return {"program": token_hash(token)}
    return verify_token(token)


Claims = Annotated[dict[str, Any], Depends(token_claims)]

# -- callers -----------------------------------------------------------------------------------------


def load_caller(db: Session, claims: dict[str, Any]) -> Caller:
    """The account that a token was issued to, as it is now; raises NotAuthenticated."""
    if "program" in claims:
        caller = _caller_of_program(db, claims["program"])
    else:
        subject, session_id = claims["sub"], claims.get("sid")
        # No account has a number of more digits, and no database takes one.
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
    caller = Caller(*row[: len(_ACCOUNT)])._replace(scopes=tuple(row.scopes))
    # Without the scope for it even an admin's program does no more than a member's.
    return caller if ADMIN_SCOPE in row.scopes else caller._replace(role="member")


def authorize(db: Session, claims: dict[str, Any], *, admin: bool, scope: str | None) -> Caller:
    """The caller of an endpoint, who may call it; raises NotAuthenticated, Forbidden.

    A program's token needs the endpoint's scope, for an admin's endpoint that of admins; where there is
    none, only somebody who logged in may call it.
    """
    caller = load_caller(db, claims)
    if caller.scopes is not None:
        needed = ADMIN_SCOPE if admin else scope
        if needed is None:
            raise Forbidden("A program's token does not do here: log in", code="session_required")
        if needed not in caller.scopes:
            raise Forbidden(f"The token lacks the scope `{needed}`", code="missing_scope")
    return require_admin(caller) if admin else caller


def require_admin(caller: Caller) -> Caller:
    """The caller, who must be an admin; raises Forbidden."""
    if not caller.is_admin:
        raise Forbidden("Admin access required", code="admin_required")
    return caller


_uses_written: OrderedDict[str, float] = OrderedDict()


async def note_use(claims: dict[str, Any]) -> None:
    """Write down that a program's token was used, unless that was done a moment ago, here or by another process."""
    hashed, now = claims["program"], time.monotonic()
    if now - _uses_written.get(hashed, -USE_WRITTEN_SECONDS) < USE_WRITTEN_SECONDS:
        return
    _uses_written[hashed] = now
    if len(_uses_written) > REMEMBERED_TOKENS:
        _uses_written.popitem(last=False)
    used = datetime.now(UTC)
    values = {"of_token": hashed, "a_while_ago": used - timedelta(seconds=USE_WRITTEN_SECONDS)}
    try:
        await database.write_async(lambda db: db.execute(_USE_TOKEN.values(last_used_at=used), values))
    except AppError as error:
        # What was asked for is done: that its use is not written must not fail it.
        logger.warning("The use of a program's token was not written: %s", error)


async def signed_in(claims: Claims) -> Caller:
    """The caller, who must have logged in, as the dependency of an endpoint with transactions of its own."""
    return await database.read_async(lambda db: authorize(db, claims, admin=False, scope=None), short=True)


def get_current_user(claims: Claims, db: Annotated[Session, Depends(get_db, scope="function")]) -> Caller:
    """The caller as a FastAPI dependency, for programs that bring their own endpoints."""
    return authorize(db, claims, admin=False, scope=None)


def get_admin_user(user: Annotated[Caller, Depends(get_current_user)]) -> Caller:
    """The caller, who must be an admin, as a FastAPI dependency."""
    return require_admin(user)


CurrentUser = Annotated[Caller, Depends(get_current_user)]
AdminUser = Annotated[Caller, Depends(get_admin_user)]
SignedIn = Annotated[Caller, Depends(signed_in)]
