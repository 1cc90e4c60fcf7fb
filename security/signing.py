"""Signing and verifying tokens: by HS256 only, and with keys that are fit for it.

python-jose takes an empty key, a public key as a shared secret, and any algorithm if none is named; nothing
else in the program calls python-jose.
"""

import base64
import hmac
import time
from functools import lru_cache
from typing import Any

from jose import JWTError, jwt

from config import key_problem, settings

ALGORITHM = "HS256"


class InvalidTokenError(Exception):
    """The token is not signed by this program, is expired, or lacks a claim that every token has."""


@lru_cache(maxsize=8)
def _fit(key: str) -> str:
    """The key, if it is fit for signing; raises ValueError."""
    if problem := key_problem(key):
        raise ValueError(f"The key for signing tokens {problem}")
    return key


def sign(claims: dict[str, Any]) -> str:
    """A token with these claims, signed by the current key."""
    token: str = jwt.encode(claims, _fit(settings.signing_key()), algorithm=ALGORITHM)
    return token


def derive(purpose: str, text: str) -> str:
    """A text derived from this one for a purpose: always the same, and only the key can make it."""
    key = _fit(settings.signing_key()).encode()
    digest = hmac.digest(key, f"{purpose}:{text}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def verify(token: str, kind: str) -> dict[str, Any]:
    """The claims of a token of this kind, signed by the current or the previous key; raises InvalidTokenError."""
    keys = [settings.signing_key()]
    if settings.secret_key_previous is not None:
        keys.append(settings.secret_key_previous.get_secret_value())
    for key in map(_fit, keys):
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                options={"require_exp": True, "require_sub": True, "leeway": 0},
            )
        except JWTError:
            continue
        # python-jose takes a token for the whole second in which it expires.
        if claims.get("kind") != kind or float(claims["exp"]) <= time.time():
            break
        return claims
    raise InvalidTokenError
