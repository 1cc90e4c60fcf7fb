"""Sessions and used refresh tokens that can't matter any more are deleted.

A used token is kept to recognise a thief, who uses it again. That is over when the session has expired. A
client that refreshes much more often than it must would fill the table meanwhile, so a session keeps only its
newest tokens: an older one is refused like an unknown one.
"""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy.orm import Session

from account_models import refresh_tokens, sessions
from database import database

# A client that refreshes every five minutes makes fewer in thirty days.
MOST_TOKENS = 10_000
BATCH = 1000

_DROP_EXPIRED = delete(sessions).where(
    sessions.c.id.in_(
        select(sessions.c.id).where(sessions.c.expires_at <= bindparam("now")).limit(bindparam("batch"))
    )
)
_CROWDED = (
    select(refresh_tokens.c.session_id)
    .group_by(refresh_tokens.c.session_id)
    .having(func.count() > bindparam("most"))
)
_DROP_OLDEST = delete(refresh_tokens).where(
    refresh_tokens.c.token_hash.in_(
        select(refresh_tokens.c.token_hash)
        .where(refresh_tokens.c.session_id == bindparam("of_session"), refresh_tokens.c.used_at.is_not(None))
        .order_by(refresh_tokens.c.created_at.desc())
        .offset(bindparam("most"))
        .limit(bindparam("batch"))
    )
)


def delete_old_sessions() -> None:
    """Delete expired sessions with their tokens, and the oldest tokens of crowded ones, in short transactions."""
    now = datetime.now(UTC)
    while _write(_DROP_EXPIRED, now=now) == BATCH:
        pass
    crowded = database.read(lambda db: list(db.execute(_CROWDED, {"most": MOST_TOKENS}).scalars()))
    for session_id in crowded:
        while _write(_DROP_OLDEST, of_session=session_id, most=MOST_TOKENS) == BATCH:
            pass


def _write(statement: Any, **values: Any) -> int:
    def work(db: Session) -> int:
        result: Any = db.execute(statement, {**values, "batch": BATCH})
        return int(result.rowcount)

    return database.write(work)
