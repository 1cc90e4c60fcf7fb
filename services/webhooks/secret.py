"""The secrets that sign webhooks: made here, shown once, and stored encrypted.

The key is derived from `SECRET_KEY`, which is not in the database, so a stolen copy of the database reveals
no secret.
"""

import base64
import secrets
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from config import settings

PREFIX = "whsec_"
SECRET_BYTES = 32
# Distinguishes this use of the key from others.
_PURPOSE = b"task platform: secrets of webhooks"


class SecretUnreadableError(Exception):
    """The secret was encrypted by a key that is not set any more."""


def make() -> str:
    """A new secret, in the form that receivers use."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


@lru_cache(maxsize=8)
def _cipher(key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def _ciphers() -> MultiFernet:
    """The ciphers: the current key encrypts, and the previous key still decrypts."""
    ciphers = [_cipher(settings.signing_key())]
    if settings.secret_key_previous is not None:
        ciphers.append(_cipher(settings.secret_key_previous.get_secret_value()))
    return MultiFernet(ciphers)


def encrypt(secret: str) -> str:
    """The encrypted secret, for storing."""
    return _ciphers().encrypt(secret.encode()).decode()


@lru_cache(maxsize=1024)
def _decrypted(stored: str, _keys: tuple[str, ...]) -> str:
    try:
        return _ciphers().decrypt(stored.encode()).decode()
    except InvalidToken:
        raise SecretUnreadableError(
            "The secret can't be read, because SECRET_KEY was changed: rotate the secret"
        ) from None


def decrypt(stored: str) -> str:
    """The secret; raises SecretUnreadableError."""
    previous = settings.secret_key_previous
    keys = (settings.signing_key(), previous.get_secret_value() if previous else "")
    return _decrypted(stored, keys)


def is_of_current_key(stored: str) -> bool:
    """Whether the secret needs no key but the current one."""
    try:
        _cipher(settings.signing_key()).decrypt(stored.encode())
    except InvalidToken:
        return False
    return True
