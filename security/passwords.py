"""Passwords: hashing and verifying, in a thread of their own with a bounded queue."""

import threading
import unicodedata
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from passlib.context import CryptContext

from config import settings
from errors import ServiceUnavailable
from storage.threads import Threads

# The hashing thread works off a full queue in eight seconds at the default cost.
LONGEST_HASHING_QUEUE = 32
password_context = CryptContext(
    schemes=["bcrypt_sha256", "bcrypt"],
    deprecated=["bcrypt"],
    bcrypt_sha256__rounds=settings.bcrypt_rounds,
    bcrypt__rounds=settings.bcrypt_rounds,
)
# bcrypt takes a quarter of a second of a core. A thread of its own keeps it from taking the threads of others.
hashing = Threads(1, "hashing")


def hash_password(password: str) -> str:
    """Hash a password, every character of it significant, with a salt of its own."""
    hashed: str = password_context.hash(unicodedata.normalize("NFC", password))
    return hashed


def verify_password(password: str, hashed: str) -> bool:
    """Whether the password is the one that was hashed."""
    try:
        matches: bool = password_context.verify(unicodedata.normalize("NFC", password), hashed)
    except ValueError:
        # No password has thousands of characters, or characters that bcrypt can't hash.
        return False
    return matches


_dummy_hash: list[str] = []


def verify_or_pretend(password: str, hashed: str | None) -> bool:
    """Verify a password; if there is no hash, take as long and answer False."""
    if not _dummy_hash:
        _dummy_hash.append(hash_password(uuid.uuid4().hex))
    return verify_password(password, hashed or _dummy_hash[0]) and hashed is not None


def verify_and_renew(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """Verify a password like `verify_or_pretend`, and make a new hash if the old one has another cost or scheme."""
    matches = verify_or_pretend(password, hashed)
    outdated = matches and password_context.needs_update(hashed or "")
    return matches, hash_password(password) if outdated else None


_hashing_places = threading.BoundedSemaphore(LONGEST_HASHING_QUEUE)


@contextmanager
def _hashing_place() -> Iterator[None]:
    """Hold a place in the queue of the hashing thread; raises ServiceUnavailable if all are taken."""
    if not _hashing_places.acquire(blocking=False):
        raise ServiceUnavailable(
            "Too many people are logging in at once: try again shortly", retry_after=5, code="hashing_busy"
        )
    try:
        yield
    finally:
        _hashing_places.release()


def refuse_when_busy() -> None:
    """Raise ServiceUnavailable if no place is left to hash a password, before any other work is done."""
    with _hashing_place():
        return


async def hash_password_async(password: str) -> str:
    """`hash_password` in the hashing thread."""
    with _hashing_place():
        return await hashing.run(lambda: hash_password(password))


async def verify_password_async(password: str, hashed: str | None) -> bool:
    """`verify_or_pretend` in the hashing thread."""
    with _hashing_place():
        return await hashing.run(lambda: verify_or_pretend(password, hashed))


async def verify_and_renew_async(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """`verify_and_renew` in the hashing thread."""
    with _hashing_place():
        return await hashing.run(lambda: verify_and_renew(password, hashed))
