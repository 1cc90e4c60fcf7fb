"""Passwords, tokens, and who is calling.

Endpoints say `user: CurrentUser` or `user: AdminUser`; `routing.Router` then checks the token before
it opens the transaction and reads the account within it.
"""

import threading
import time
import unicodedata
import uuid
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.security import OAuth2PasswordBearer
from jose import JWTError, jwt
from passlib.context import CryptContext
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from config import settings
from database import Threads, get_db
from errors import Forbidden, NotAuthenticated, ServiceUnavailable
from models import Caller, users

ALGORITHM = "HS256"
ACCESS_TOKEN = "access"  # noqa: S105  # the name of a kind, not a secret
REMEMBERED_TOKENS = 4096
# Half a minute's work for the hashing thread at the default cost.
LONGEST_HASHING_QUEUE = 64

passwords = CryptContext(
    schemes=["bcrypt_sha256", "bcrypt"],
    deprecated=["bcrypt"],
    bcrypt_sha256__rounds=settings.bcrypt_rounds,
    bcrypt__rounds=settings.bcrypt_rounds,
)
# bcrypt takes a quarter of a second of a core: with a thread of its own it can't take those that others need.
hashing = Threads(1, "hashing")
bearer = OAuth2PasswordBearer(tokenUrl="auth/login", auto_error=False)
CALLER_BY_ID = select(*(users.c[name] for name in Caller._fields)).where(users.c.id == bindparam("user_id"))


def hash_password(password: str) -> str:
    """Hash a password, every character of it significant, with a salt of its own."""
    hashed: str = passwords.hash(unicodedata.normalize("NFC", password))
    return hashed


def verify_password(password: str, hashed: str) -> bool:
    """Whether the password is the one that was hashed."""
    matches: bool = passwords.verify(unicodedata.normalize("NFC", password), hashed)
    return matches


_dummy_hash: list[str] = []


def verify_or_pretend(password: str, hashed: str | None) -> bool:
    """Verify; with no hash to compare with take as long and say no."""
    if hashed is not None:
        return verify_password(password, hashed)
    if not _dummy_hash:
        _dummy_hash.append(hash_password(uuid.uuid4().hex))
    verify_password(password, _dummy_hash[0])
    return False


async def hash_password_async(password: str) -> str:
    """`hash_password` in the hashing thread."""
    _refuse_when_busy()
    return await hashing.run(lambda: hash_password(password))


async def verify_password_async(password: str, hashed: str | None) -> bool:
    """`verify_or_pretend` in the hashing thread."""
    _refuse_when_busy()
    return await hashing.run(lambda: verify_or_pretend(password, hashed))


def _refuse_when_busy() -> None:
    if hashing.waiting() >= LONGEST_HASHING_QUEUE:
        raise ServiceUnavailable("Too many people are logging in at once: try again shortly", retry_after=5)


def create_access_token(data: dict[str, Any], expires_delta: timedelta | None = None) -> str:
    """Sign an access token; `data["sub"]` is the account's id as text."""
    now = datetime.now(UTC)
    lifetime = expires_delta or timedelta(minutes=settings.access_token_expire_minutes)
    claims = {"jti": uuid.uuid4().hex, **data, "kind": ACCESS_TOKEN, "iat": now, "exp": now + lifetime}
    claims["sub"] = str(claims["sub"])
    token: str = jwt.encode(claims, settings.signing_key(), algorithm=ALGORITHM)
    return token


def verify_token(token: str) -> dict[str, Any]:
    """The claims of an access token signed by us and not expired; raises NotAuthenticated."""
    return _verified.get(token)


def _decode(token: str) -> dict[str, Any]:
    try:
        claims: dict[str, Any] = jwt.decode(
            token,
            settings.signing_key(),
            algorithms=[ALGORITHM],
            options={"require_exp": True, "require_sub": True, "leeway": 0},
        )
    except JWTError:
        raise NotAuthenticated from None
    if claims.get("kind") != ACCESS_TOKEN:
        raise NotAuthenticated
    return claims


class _VerifiedTokens:
    """The claims of the tokens seen last: checking a signature costs as much as the rest of a short request."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._claims: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, token: str) -> dict[str, Any]:
        claims = self._claims.get(token)
        if claims is None:
            claims = _decode(token)
            with self._lock:
                self._claims[token] = claims
                if len(self._claims) > self._size:
                    self._claims.popitem(last=False)
        elif claims["exp"] <= time.time():
            with self._lock:
                self._claims.pop(token, None)
            raise NotAuthenticated
        return claims

    def clear(self) -> None:
        with self._lock:
            self._claims.clear()


_verified = _VerifiedTokens(REMEMBERED_TOKENS)


def forget_verified_tokens() -> None:
    """Check every signature anew, as the tests want it after they changed the key."""
    _verified.clear()


async def token_claims(token: Annotated[str | None, Depends(bearer)]) -> dict[str, Any]:
    """The verified claims of the request's bearer token, as a dependency."""
    return _claims(token)


def claims_of(request: Request) -> dict[str, Any]:
    """The verified claims of the request's bearer token; raises NotAuthenticated."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return _claims(token.strip() if scheme.lower() == "bearer" else None)


def _claims(token: str | None) -> dict[str, Any]:
    if not token:
        raise NotAuthenticated(
            "Not authenticated: send a token as `Authorization: Bearer ...`", code="not_authenticated"
        )
    return verify_token(token)


def load_caller(db: Session, claims: dict[str, Any]) -> Caller:
    """The account that a token was issued to, as it is now; raises NotAuthenticated."""
    subject = claims["sub"]
    row = db.execute(CALLER_BY_ID, {"user_id": int(subject)}).first() if subject.isdecimal() else None
    if row is None:
        raise NotAuthenticated("User not found", code="user_not_found")
    caller = Caller._make(row)
    if not caller.is_active:
        raise NotAuthenticated("Invalid token", code="account_inactive")
    return caller


def require_admin(caller: Caller) -> Caller:
    """The caller, who must be an admin; raises Forbidden."""
    if not caller.is_admin:
        raise Forbidden("Admin access required", code="admin_required")
    return caller


def get_current_user(
    claims: Annotated[dict[str, Any], Depends(token_claims)],
    db: Annotated[Session, Depends(get_db, scope="function")],
) -> Caller:
    """The caller as a FastAPI dependency, for programs that bring their own endpoints."""
    return load_caller(db, claims)


def get_admin_user(user: Annotated[Caller, Depends(get_current_user)]) -> Caller:
    """The caller, who must be an admin, as a FastAPI dependency."""
    return require_admin(user)


CurrentUser = Annotated[Caller, Depends(get_current_user)]
AdminUser = Annotated[Caller, Depends(get_admin_user)]
