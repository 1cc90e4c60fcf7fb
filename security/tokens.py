"""Tokens: signing access tokens, verifying them, and hashing the tokens that are stored."""

import hashlib
import threading
import time
import uuid
from collections import OrderedDict
from datetime import UTC, datetime, timedelta
from typing import Any

from config import settings
from errors import NotAuthenticated
from security import signing

ACCESS_TOKEN = "access"  # noqa: S105  # the name of a kind, not a secret
PROGRAM_TOKEN_PREFIX = "tp_"  # noqa: S105  # by which a leaked one is recognised
REMEMBERED_TOKENS = 4096


def create_access_token(data: dict[str, Any], expires_delta: timedelta | None = None) -> str:
    """Sign an access token; `data["sub"]` is the account's id as text, `data["sid"]` its session's where it has one."""
    now = datetime.now(UTC)
    lifetime = expires_delta or timedelta(minutes=settings.access_token_expire_minutes)
    claims = {"jti": uuid.uuid4().hex, **data, "kind": ACCESS_TOKEN, "iat": now, "exp": now + lifetime}
    claims["sub"] = str(claims["sub"])
    return signing.sign(claims)


def verify_token(token: str) -> dict[str, Any]:
    """The claims of an access token signed by us and not expired; raises NotAuthenticated."""
    return _verified.get(token)


def token_hash(token: str) -> str:
    """What is stored of a token that is random enough to need no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


class _VerifiedTokens:
    """The claims of the tokens seen last: checking a signature costs as much as the rest of a short request."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._claims: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, token: str) -> dict[str, Any]:
        claims = self._claims.get(token)
        if claims is None:
            try:
                claims = signing.verify(token, ACCESS_TOKEN)
            except signing.InvalidTokenError:
                raise NotAuthenticated from None
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
