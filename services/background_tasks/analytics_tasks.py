"""The analytics cache: an account's figures as a file, or in Redis, for other programs to read."""

import os
import tempfile
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import redis
from pydantic_core import to_json
from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from config import settings
from database import database
from logging_config import logger
from models import users
from services import analytics_service

_NAME = select(users.c.username).where(users.c.id == bindparam("user_id"))


def cache_name(user_id: int) -> str:
    """The name of an account's entry, without its ending."""
    return f"cache_user_{user_id}"


def update_analytics_cache(user_id: int) -> None:
    """Write an account's figures anew; what goes wrong is logged, for the figures are never read from there."""
    try:
        stats = database.read(lambda db: _stats(db, user_id))
        if stats is None:
            return
        entry = to_json({"user_id": user_id, "stats": stats, "updated_at": datetime.now(UTC)})
        if settings.redis_url:
            _redis(settings.redis_url).set(cache_name(user_id), entry)
        else:
            _write_whole(settings.cache_dir / f"{cache_name(user_id)}.json", entry)
    except Exception as error:  # noqa: BLE001  # a cache that can't be written must not stop what comes after it
        logger.warning("The analytics cache of user %s was not refreshed: %s", user_id, error)


def _stats(db: Session, user_id: int) -> dict[str, Any] | None:
    username = db.execute(_NAME, {"user_id": user_id}).scalar()
    return None if username is None else analytics_service.get_user_stats(db, user_id, username)


@lru_cache(maxsize=4)
def _redis(url: str) -> "redis.Redis":
    return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)


def _write_whole(path: Path, content: bytes) -> None:
    """Put the file there in one step: whoever reads it sees the old one or the new one."""
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
