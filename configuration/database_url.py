"""Parsing database URLs."""

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError


def database_url(value: str) -> URL:
    """Parse a database URL; a Postgres URL gets the driver psycopg. Raises ValueError."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is not a database URL such as sqlite:///./tasks.db or postgresql://user@host/name"
        ) from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        return url.set(drivername="postgresql+psycopg")
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not url.database or url.database == ":memory:":
            raise ValueError("must name a file: a database in memory is not shared by the program's threads")
        return url.set(drivername="sqlite")
    raise ValueError("must begin with sqlite:///, postgres:// or postgresql://")
