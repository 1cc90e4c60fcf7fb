"""Counting failed attempts, so that guessing gets slower and slower; docs/security.md says how slow.

The counts are rows, so that all workers share them and a restart keeps them. An attempt is counted before it
is checked, and taken back when it succeeds. A thousand attempts at once therefore count as a thousand.
"""

import hashlib
import math
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy import bindparam, delete, select, update
from sqlalchemy.orm import Session

from account_models import attempts, known_addresses
from database import AnyRow
from errors import TooManyRequests
from request_context import address_group, origin_var
from storage.conflicts import Insert, insert_missing
from storage.folding import fold

LONGEST_DELAY_SECONDS = 15 * 60
# The number of failures without a delay: of an account from one address, of an account, of an address.
# Attempts that are still being checked count too, so these are also the numbers of simultaneous logins.
FREE = {"both": 20, "account": 30, "address": 50}
# A count starts again at zero if there was no failure for this long.
FORGOTTEN_AFTER = timedelta(days=1)
KNOWN_FOR = timedelta(days=90)
HOUR = timedelta(hours=1)
# The clocks of servers that share a database may differ by this much.
CLOCKS_DIFFER = timedelta(minutes=1)

_LOCKED = (
    select(attempts)
    .where(attempts.c.key.in_(bindparam("keys", expanding=True)))
    .order_by(attempts.c.key)
    .with_for_update()
)
_UPDATE = update(attempts).where(attempts.c.key == bindparam("of_key"))
_COUNT = _UPDATE.values(
    failures=bindparam("count"), last_at=bindparam("at"), blocked_until=bindparam("until")
)
_TAKE_BACK = _UPDATE.where(attempts.c.failures > 0).values(
    failures=attempts.c.failures - 1, blocked_until=bindparam("until")
)
_GIVE_BACK = _UPDATE.where(attempts.c.failures > 0).values(failures=attempts.c.failures - 1)
_CLEAR = delete(attempts).where(attempts.c.key.in_(bindparam("keys", expanding=True)))
_FORGET = delete(attempts).where(attempts.c.last_at < bindparam("before"))
_KNOWN = select(known_addresses.c.last_seen_at).where(
    known_addresses.c.user_id == bindparam("user_id"), known_addresses.c.address == bindparam("address")
)


_INSERT_MISSING = insert_missing(attempts)
_KNOW = Insert(
    known_addresses,
    lambda insert: insert.on_conflict_do_update(
        index_elements=["user_id", "address"], set_={"last_seen_at": bindparam("now")}
    ),
)


def delay(failures: int, free: int) -> int:
    """The seconds during which no attempt is accepted after this number of failures."""
    return 0 if failures < free else min(LONGEST_DELAY_SECONDS, 2 ** min(failures - free, 20))


def is_at_known_address(db: Session, user_id: int | None) -> bool:
    """Whether the account was used from the caller's address; without an account the same query runs."""
    values = {
        "user_id": -1 if user_id is None else user_id,
        "address": address_group(origin_var.get().address),
    }
    seen = db.execute(_KNOWN, values).scalar()
    return seen is not None and seen > datetime.now(UTC) - KNOWN_FOR


def keys_for(what: str, name: str, *, is_known: bool) -> list[str]:
    """The keys that an attempt on an account is counted under: its name or email, the address, and both.

    At an address that the owner is known to use, only the key for both counts: the attempts of strangers
    elsewhere don't delay the owner there. The name and the email of one account have different counts, like
    those of two accounts. Otherwise a count would reveal which email belongs to which name.
    """
    address = address_group(origin_var.get().address)
    # Only a hash of the name is kept: people type passwords into the wrong field.
    account = hashlib.sha256(fold(name).encode("utf-8", "replace")).hexdigest()[:32]
    both = f"{what}:both:{account}:{address}"
    return [both] if is_known else [f"{what}:account:{account}", f"{what}:address:{address}", both]


def address_keys(what: str) -> list[str]:
    """The keys of an attempt that concerns no account."""
    return [f"{what}:address:{address_group(origin_var.get().address)}"]


def _locked(db: Session, keys: Sequence[str], now: datetime) -> Sequence[AnyRow]:
    """The rows of these keys, which are made if they are missing, locked until the commit."""
    fresh = [{"key": key, "failures": 0, "last_at": now, "blocked_until": now} for key in keys]
    while True:
        db.execute(_INSERT_MISSING.for_database_of(db), fresh)
        rows = db.execute(_LOCKED, {"keys": keys}).all()
        # A login that succeeds may delete a row between these two statements.
        if len(rows) == len(keys):
            return rows


def count(db: Session, keys: Sequence[str]) -> int:
    """Count an attempt under each key; if a key is blocked, count nothing and return the seconds to wait."""
    now = datetime.now(UTC)
    if secrets.randbelow(100) == 0:
        db.execute(_FORGET, {"before": now - FORGOTTEN_AFTER})
    keys = sorted(keys)
    rows = _locked(db, keys, now)
    # Read the clock again after waiting for the rows, so that no time that others wrote meanwhile is in the
    # future.
    now = datetime.now(UTC)
    # A pause that ends later was written while the clock was ahead.
    latest = now + timedelta(seconds=LONGEST_DELAY_SECONDS) + CLOCKS_DIFFER
    ends = (row.blocked_until for row in rows if row.blocked_until <= latest)
    wait = max(((end - now).total_seconds() for end in ends), default=0)
    if wait > 0:
        return math.ceil(wait)
    for row in rows:
        failures = 1 + (row.failures if row.last_at > now - FORGOTTEN_AFTER else 0)
        until = now + timedelta(seconds=delay(failures, FREE[row.key.split(":")[1]]))
        db.execute(_COUNT, {"of_key": row.key, "count": failures, "at": now, "until": until})
    return 0


def take_back(db: Session, keys: Iterable[str], *, clear: bool = False) -> None:
    """Undo `count`, because the attempt succeeded or never took place; `clear` forgets failures too.

    `clear` forgets the failures on this account from this address only. Otherwise an attacker could start
    guessing again whenever the owner logs in.
    """
    now = datetime.now(UTC)
    keys = sorted(keys)
    for key in keys:
        db.execute(_TAKE_BACK, {"of_key": key, "until": now})
    if clear:
        db.execute(_CLEAR, {"keys": [key for key in keys if ":both:" in key]})


def take(db: Session, key: str, *, limit: int, wanted: int = 1) -> tuple[int, datetime]:
    """Take up to `wanted` of a key's hourly `limit`; returns the number taken, and when this hour ends.

    The hour begins with the first take.
    """
    now = datetime.now(UTC)
    [row] = _locked(db, [key], now)
    now = datetime.now(UTC)
    is_going_on = now < row.blocked_until <= now + HOUR + CLOCKS_DIFFER
    taken, until = (row.failures, row.blocked_until) if is_going_on else (0, now + HOUR)
    had = min(wanted, max(0, limit - taken))
    db.execute(_COUNT, {"of_key": key, "count": taken + had, "at": now, "until": until})
    return had, until


def recipient_key(email: str) -> str:
    """The key that mails to an address are counted under; hashed, so that the table shows no addresses."""
    return f"mail:hour:{hashlib.sha256(fold(email).encode()).hexdigest()[:32]}"


def give_back(db: Session, key: str) -> None:
    """Undo a `take` whose purpose did not come about."""
    db.execute(_GIVE_BACK, {"of_key": key})


def too_many(wait: int) -> TooManyRequests:
    """The error for a caller who must wait."""
    return TooManyRequests(
        f"Too many attempts: wait {wait} seconds before the next one",
        retry_after=wait,
        code="too_many_attempts",
    )


def know_address(db: Session, user_id: int) -> None:
    """Remember that an account's owner was at the address that the request comes from."""
    now = datetime.now(UTC)
    address = address_group(origin_var.get().address)
    values = {"user_id": user_id, "address": address, "last_seen_at": now, "now": now}
    db.execute(_KNOW.for_database_of(db), values)
