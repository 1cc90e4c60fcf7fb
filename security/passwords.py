"""Passwords: hashing and verifying, in a thread of their own with a bounded queue."""

import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from passlib.context import CryptContext

from config import settings
from errors import ServiceUnavailable
from request_context import address_group, origin_var
from storage.folding import normal_form
from storage.threads import Threads

# The hashing thread works off a full queue in eight seconds at the default cost.
LONGEST_HASHING_QUEUE = 32
# Further places for owners at an address that is known for their account.
PLACES_OF_KNOWN = 16
password_context = CryptContext(
    schemes=["bcrypt_sha256", "bcrypt"],
    deprecated=["bcrypt"],
    bcrypt_sha256__rounds=settings.bcrypt_rounds,
    bcrypt__rounds=settings.bcrypt_rounds,
)
# bcrypt takes a quarter of a second of a core, so it has a thread of its own, and the other threads stay free.
hashing = Threads(1, "hashing")


def hash_password(password: str) -> str:
    """Hash a password with a salt of its own; every character of the password counts."""
    hashed: str = password_context.hash(normal_form(password))
    return hashed


def verify_password(password: str, hashed: str) -> bool:
    """Whether the password is the one that was hashed."""
    try:
        matches: bool = password_context.verify(normal_form(password), hashed)
    except ValueError:
        # No password has thousands of characters, or characters that bcrypt can't hash.
        return False
    return matches


_dummy_hash: list[str] = []


def verify_or_pretend(password: str, hashed: str | None) -> bool:
    """Verify a password; without a hash, answer False after the same time."""
    if not _dummy_hash:
        _dummy_hash.append(hash_password(uuid.uuid4().hex))
    return verify_password(password, hashed or _dummy_hash[0]) and hashed is not None


def verify_and_renew(password: str, hashed: str | None) -> tuple[bool, str | None]:
    """Verify a password like `verify_or_pretend`, and make a new hash if the old one has another cost or scheme."""
    matches = verify_or_pretend(password, hashed)
    outdated = matches and password_context.needs_update(hashed or "")
    return matches, hash_password(password) if outdated else None


class _Places:
    """Places in the queue for the hashing thread; one address holds half of them at most."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._held: Counter[str] = Counter()
        self._lock = threading.Lock()

    def _is_free(self, address: str) -> bool:
        return self._held.total() < self._number and self._held[address] < self._number // 2

    def is_free(self) -> bool:
        """Whether the caller would get a place."""
        with self._lock:
            return self._is_free(address_group(origin_var.get().address))

    @contextmanager
    def hold(self) -> Iterator[None]:
        """A place for the caller; raises ServiceUnavailable if there is none."""
        address = address_group(origin_var.get().address)
        with self._lock:
            if not self._is_free(address):
                raise hashing_busy()
            self._held[address] += 1
        try:
            yield
        finally:
            with self._lock:
                self._held[address] -= 1
                if not self._held[address]:
                    del self._held[address]


_for_all, _for_known = _Places(LONGEST_HASHING_QUEUE), _Places(PLACES_OF_KNOWN)


def hashing_busy() -> ServiceUnavailable:
    """The error for a caller whose password can't be hashed soon."""
    return ServiceUnavailable(
        "Too many people are logging in at once: try again shortly", retry_after=5, code="hashing_busy"
    )


def may_hash(*, known: bool = False) -> bool:
    """Whether the queue has a place for the caller: one of those for all or, if `known`, one of those for owners."""
    return (_for_known if known else _for_all).is_free()


def _hashing_place(*, known: bool) -> AbstractContextManager[None]:
    """Hold a place for all or else, for an owner at a known address, one of theirs; raises ServiceUnavailable."""
    return (_for_known if known and not _for_all.is_free() else _for_all).hold()


async def hash_password_async(password: str) -> str:
    """`hash_password` in the hashing thread; raises ServiceUnavailable if its queue is full."""
    with _for_all.hold():
        return await hashing.run(lambda: hash_password(password))


async def verify_password_async(password: str, hashed: str | None, *, known: bool) -> bool:
    """`verify_or_pretend` in the hashing thread; raises ServiceUnavailable if its queue is full."""
    with _hashing_place(known=known):
        return await hashing.run(lambda: verify_or_pretend(password, hashed))


async def verify_and_renew_async(
    password: str, hashed: str | None, *, known: bool
) -> tuple[bool, str | None]:
    """`verify_and_renew` in the hashing thread; raises ServiceUnavailable if its queue is full."""
    with _hashing_place(known=known):
        return await hashing.run(lambda: verify_and_renew(password, hashed))
