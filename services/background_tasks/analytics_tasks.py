"""The analytics cache: an account's figures as a file, or in Redis, for other programs to read.

The API itself never reads it: the counts kept in the database cost less than a file, and are always right.
"""

import os
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_core import to_json

from config import settings
from database import database
from errors import fault_of
from logging_config import logger
from services import analytics_service

# Importing it takes a twelfth of the start, and few programs use it.
if TYPE_CHECKING:
    import redis

# The entry of an account whose tasks change all the time is written once in this time.
INTERVAL_SECONDS = 1.0
# The pause after the cache could not be written.
PAUSE_SECONDS = 5.0
ATTEMPTS = 3
REDIS_TIMEOUT_SECONDS = 1.0


class CacheUnavailable(OSError):
    """The cache can't be written just now."""


def cache_name(user_id: int) -> str:
    """The name of an account's entry, without its ending."""
    return f"cache_user_{user_id}"


def update_analytics_cache(user_id: int) -> None:
    """Write an account's figures; a failure is only logged, because the API never reads them there."""
    try:
        _refresh(user_id)
    except Exception as error:  # noqa: BLE001  # a cache that can't be written must not stop what comes after it
        logger.warning(
            "The analytics cache of user %s was not refreshed: %s", user_id, error, exc_info=fault_of(error)
        )


class Refresher:
    """Refreshes the entries of changed accounts, each at most once in a while, and all in the end."""

    def __init__(self) -> None:
        self._changed: set[int] = set()
        self._refreshed: dict[int, float] = {}
        # The times when entries could not be written. Perhaps only one of them can't be written.
        self._failed: dict[int, float] = {}
        self._paused_until = 0.0

    def forget(self) -> None:
        """Forget everything, as a new process would."""
        self._changed.clear()
        self._refreshed.clear()
        self._failed.clear()
        self._paused_until = 0.0

    def add(self, user_ids: set[int]) -> None:
        """Remember that these accounts' entries are out of date."""
        self._changed |= user_ids

    def refresh(self, *, at_once: bool) -> float | None:
        """Refresh the entries that may be refreshed now; returns the seconds until the next call, if more are left.

        If no one would call again, `at_once` refreshes all entries. Raises the database's errors.
        """
        now = time.monotonic()
        if not self._changed:
            return None
        if now < self._paused_until:
            return self._paused_until - now
        # An entry that failed goes behind the others, so that it holds up none of them for good.
        for user_id in sorted(self._changed, key=lambda each: (self._failed.get(each, 0.0), each)):
            if not at_once and now - self._refreshed.get(user_id, -INTERVAL_SECONDS) < INTERVAL_SECONDS:
                continue
            try:
                _refresh(user_id)
            except CacheUnavailable as error:
                if not self._paused_until:
                    logger.warning("The analytics cache can't be written, and is tried again: %s", error)
                self._failed[user_id] = time.monotonic()
                self._paused_until = self._failed[user_id] + PAUSE_SECONDS
                return PAUSE_SECONDS
            self._changed.discard(user_id)
            self._failed.pop(user_id, None)
            self._refreshed[user_id] = now
        if self._paused_until:
            logger.info("The analytics cache can be written again")
            self._paused_until = 0.0
        self._refreshed = {each: at for each, at in self._refreshed.items() if now - at < INTERVAL_SECONDS}
        return INTERVAL_SECONDS if self._changed else None


def _refresh(user_id: int) -> None:
    """Write the entry until it is of the database's version; raises CacheUnavailable.

    Another process may have read newer figures, and written them before we wrote ours. The entry of a deleted
    account is removed by the same steps, so that a refresh which began before does not restore it.
    """
    written: int | None = None
    for _ in range(ATTEMPTS):
        found = database.read(lambda db: analytics_service.get_versioned_stats(db, user_id))
        try:
            if found is None:
                _forget(user_id)
                return
            version, stats = found
            if written == version:
                return
            _keep(user_id, stats)
        except OSError as error:
            raise CacheUnavailable(str(error)) from error
        written = version


def _keep(user_id: int, stats: dict[str, Any]) -> None:
    content = to_json({"user_id": user_id, "stats": stats, "updated_at": datetime.now(UTC)})
    if settings.redis_url:
        ask_redis(settings.redis_url, lambda client: client.set(cache_name(user_id), content))
    else:
        _write_whole(_file_of(user_id), content)


def _forget(user_id: int) -> None:
    if settings.redis_url:
        ask_redis(settings.redis_url, lambda client: client.delete(cache_name(user_id)))
    else:
        _file_of(user_id).unlink(missing_ok=True)


def _file_of(user_id: int) -> Path:
    return settings.cache_dir / f"{cache_name(user_id)}.json"


def ask_redis(url: str, ask: Callable[["redis.Redis"], object]) -> None:
    """Call `ask` with a client; raises OSError if Redis does not do it."""
    from redis import RedisError  # noqa: PLC0415

    try:
        ask(_redis_client(url))
    except RedisError as error:
        raise OSError(str(error)) from error


@lru_cache(maxsize=4)
def _redis_client(url: str) -> "redis.Redis":
    """A client with short timeouts; one more attempt covers a connection that died while idle."""
    from redis import Redis  # noqa: PLC0415
    from redis.backoff import NoBackoff  # noqa: PLC0415
    from redis.retry import Retry  # noqa: PLC0415

    return Redis.from_url(
        url,
        socket_timeout=REDIS_TIMEOUT_SECONDS,
        socket_connect_timeout=REDIS_TIMEOUT_SECONDS,
        retry=Retry(NoBackoff(), 1),
    )


def _write_whole(path: Path, content: bytes) -> None:
    """Replace the file in one step, so that readers see the old file or the new one."""
    # The temporary name is this thread's, so that a file left by a crash is overwritten some day.
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    try:
        try:
            descriptor = os.open(temporary, flags, 0o640)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(temporary, flags, 0o640)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
