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

# Eight seconds' work for the hashing thread at the default cost.
LONGEST_HASHING_QUEUE = 32
password_context = CryptContext(
    schemes=["bcrypt_sha256", "bcrypt"],
    deprecated=["bcrypt"],
    bcrypt_sha256__rounds=settings.bcrypt_rounds,
    bcrypt__rounds=settings.bcrypt_rounds,
)
# bcrypt takes a quarter of a second of a core: with a thread of its own it can't take those that others need.
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
        # What no password may be: thousands of characters, or such as bcrypt can't hash.
        return False
    return matches


_dummy_hash: list[str] = []


def verify_or_pretend(password: str, hashed: str | None) -> bool:
    """Verify; with no hash to compare with take as long and say no."""
    if not _dummy_hash:
        _dummy_hash.append(hash_password(uuid.uuid4().hex))
    return verify_password(password, hashed or _dummy_hash[0]) and hashed is not None


def verify_and_renew(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """`verify_or_pretend`, and a new hash where the old one was made at another cost or by an older scheme."""
    matches = verify_or_pretend(password, hashed)
    outdated = matches and password_context.needs_update(hashed or "")
    return matches, hash_password(password) if outdated else None


_hashing_places = threading.BoundedSemaphore(LONGEST_HASHING_QUEUE)


@contextmanager
def _hashing_place() -> Iterator[None]:
    """A place in the queue for the hashing thread; raises ServiceUnavailable where all are taken."""
    if not _hashing_places.acquire(blocking=False):
        raise ServiceUnavailable(
            "Too many people are logging in at once: try again shortly", retry_after=5, code="hashing_busy"
        )
    try:
        yield
    finally:
        _hashing_places.release()


def refuse_when_busy() -> None:
    """Raise ServiceUnavailable where no place is left to hash a password, before anything is done for it."""
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
