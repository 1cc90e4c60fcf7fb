"""A cache of statements with filters, by shape: most filters have a shape of their own, so bytes count."""

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import Select
from sqlalchemy.orm import Session

from storage.bounded_cache import BoundedCache
from storage.direct_session import takes_text
from storage.prepared import TextOnly

MOST_BYTES = 2 * 1024 * 1024
# The memory of an entry's key, besides the statement.
_KEY_BYTES = 1000

kept: BoundedCache[tuple[Any, ...], TextOnly] = BoundedCache(
    MOST_BYTES, weigh=lambda statement: statement.bytes() + _KEY_BYTES
)


def execute(
    db: Session, key: tuple[Any, ...], build: Callable[[], Select[Any]], values: Mapping[str, Any]
) -> Any:
    """Execute the statement of a shape, which is built on first use; Postgres plans it for its values."""
    if not takes_text(db):
        return db.execute(build(), values)
    dialect = db.get_bind().dialect
    key = (dialect.name, *key)
    statement: Any = kept.get(key)
    if statement is None:
        statement = TextOnly(build(), dialect, list(values), plan_each_time=True)
        kept.put(key, statement)
    return db.execute(statement, values)
