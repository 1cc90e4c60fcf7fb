"""The caller of a request: dependencies that endpoints declare, and the checks behind them.

Endpoints declare `user: CurrentUser` or `user: AdminUser`. `web.routing.Router` then checks the token before
it reads anything else of the request, and reads the account within the endpoint's transaction. Endpoints with
several transactions are `async` and declare `user: SignedIn`.

Passwords are in `security/passwords.py` and tokens in `security/tokens.py`. This module also exports the
names that other programs import from it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.security import OAuth2PasswordBearer
from sqlalchemy import bindparam, or_, update

from account_models import program_tokens
from database import database
from errors import AppError, NotAuthenticated
from logging_config import logger
from models import Caller
from security.callers import authorize, require_admin
from security.passwords import hash_password, verify_password
from security.tokens import (
    PROGRAM_TOKEN_PREFIX,
    REMEMBERED_TOKENS,
    create_access_token,
    token_hash,
    verify_token,
)
from storage.bounded_cache import BoundedCache

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

# The use of a program's token is written at most once in this many seconds.
USE_WRITTEN_SECONDS = 60

bearer = OAuth2PasswordBearer(tokenUrl="auth/login", scheme_name="Login", auto_error=False)

_USE_TOKEN = update(program_tokens).where(
    program_tokens.c.token_hash == bindparam("of_token"),
    or_(program_tokens.c.last_used_at.is_(None), program_tokens.c.last_used_at <= bindparam("a_while_ago")),
)


async def token_claims(token: Annotated[str | None, Depends(bearer)]) -> dict[str, Any]:
    """The verified claims of the request's bearer token, as a dependency."""
    return _claims(token)


def claims_of(request: Request) -> dict[str, Any]:
    """The verified claims of the request's bearer token; raises NotAuthenticated."""
    return _claims(bearer_token(request))


def bearer_token(request: Request) -> str | None:
    """The text of the request's bearer token, if it has one."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _claims(token: str | None) -> dict[str, Any]:
    """The claims of a token; for a program's token its hash, by which the account is found."""
    if not token:
        # Programs tell a missing token from a bad one by the code: the sentence is the same.
        raise NotAuthenticated(code="not_authenticated")
    if token.startswith(PROGRAM_TOKEN_PREFIX):
        return {"program": token_hash(token)}
    return verify_token(token)


Claims = Annotated[dict[str, Any], Depends(token_claims)]

# -- callers -----------------------------------------------------------------------------------------


_uses_written: BoundedCache[str, float] = BoundedCache(REMEMBERED_TOKENS)


async def note_use(claims: dict[str, Any]) -> None:
    """Write that a program's token was used, unless any process did so a moment ago."""
    hashed, now = claims["program"], time.monotonic()
    written = _uses_written.get(hashed)
    if written is not None and now - written < USE_WRITTEN_SECONDS:
        return
    _uses_written.put(hashed, now)
    used = datetime.now(UTC)
    values = {"of_token": hashed, "a_while_ago": used - timedelta(seconds=USE_WRITTEN_SECONDS)}
    try:
        await database.write_async(lambda db: db.execute(_USE_TOKEN.values(last_used_at=used), values))
    except AppError as error:
        # The request itself succeeded, so this failure is only logged.
        logger.warning("The use of a program's token was not written: %s", error)


async def check_caller(claims: dict[str, Any], *, admin: bool, scope: str | None) -> Caller:
    """The caller, in a transaction of its own; raises NotAuthenticated or Forbidden as `authorize` does."""
    return await database.read_async(lambda db: authorize(db, claims, admin=admin, scope=scope), on_loop=True)


async def signed_in(claims: Claims) -> Caller:
    """The caller, who must have logged in: a dependency for endpoints with several transactions."""
    return await check_caller(claims, admin=False, scope=None)


@contextmanager
def _refused_anywhere() -> Iterator[None]:
    """Refuse as every FastAPI application understands it: another program has no handler for our errors."""
    try:
        yield
    except AppError as error:
        raise HTTPException(error.status, error.detail, error.headers) from error


def get_current_user(token: Annotated[str | None, Depends(bearer)]) -> Caller:
    """The caller, as a FastAPI dependency for programs with endpoints of their own.

    The account is read apart from the session of the endpoint, which may be writing: SQLite has one writer.
    """
    with _refused_anywhere():
        claims = _claims(token)
        return database.read(lambda db: authorize(db, claims, admin=False, scope=None))


def get_admin_user(user: Annotated[Caller, Depends(get_current_user)]) -> Caller:
    """The caller, who must be an admin, as a FastAPI dependency."""
    with _refused_anywhere():
        return require_admin(user)


CurrentUser = Annotated[Caller, Depends(get_current_user)]
AdminUser = Annotated[Caller, Depends(get_admin_user)]
SignedIn = Annotated[Caller, Depends(signed_in)]
