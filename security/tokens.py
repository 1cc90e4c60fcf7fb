"""Tokens: signing access tokens, verifying them, and hashing the tokens that are stored."""

import hashlib
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from config import settings
from errors import NotAuthenticated
from security import signing
from storage.bounded_cache import BoundedCache

ACCESS_TOKEN = "access"  # noqa: S105  # the name of a kind, not a secret
PROGRAM_TOKEN_PREFIX = "tp_"  # noqa: S105  # by which a leaked one is recognised
REMEMBERED_TOKENS = 4096


def create_access_token(data: dict[str, Any], expires_delta: timedelta | None = None) -> str:
    """Sign an access token; `data["sub"]` is the account's id as text, `data["sid"]` the id of its session, if any."""
    now = datetime.now(UTC)
    lifetime = (
        timedelta(minutes=settings.access_token_expire_minutes) if expires_delta is None else expires_delta
    )
    # A whole second would end the token up to a second before the time that its receiver was told.
    ends_at = (now + lifetime).timestamp()
    claims = {"jti": uuid.uuid4().hex, **data, "kind": ACCESS_TOKEN, "iat": now, "exp": ends_at}
    if "sub" in claims:
        claims["sub"] = str(claims["sub"])
    return signing.sign(claims)


def verify_token(token: str) -> dict[str, Any]:
    """The claims of an access token that this program signed and that is not expired; raises NotAuthenticated."""
    claims = _verified.get(token)
    if claims is None:
        try:
            claims = signing.verify(token, ACCESS_TOKEN)
        except signing.InvalidTokenError:
            raise NotAuthenticated from None
        _verified.put(token, claims)
    elif claims["exp"] <= time.time():
        _verified.drop(token)
        raise NotAuthenticated
    return claims


def token_hash(token: str) -> str:
    """The hash that is stored in place of a token. Tokens are random, so the hash needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


# Verified tokens are kept, because checking a signature costs as much as the rest of a short request.
_verified: BoundedCache[str, dict[str, Any]] = BoundedCache(REMEMBERED_TOKENS)


def forget_verified_tokens() -> None:
    """Forget all verified tokens: the tests call this after they change the key."""
    _verified.clear()
