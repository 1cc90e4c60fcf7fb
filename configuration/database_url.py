"""Parsing database URLs."""

import re

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

# The parameters that SQLAlchemy passes to Python's driver. `uri` is left out: with it the driver opens another file than
# the URL names, and the program would protect the wrong file.
KNOWN_TO_SQLITE = frozenset(
    {"cached_statements", "check_same_thread", "detect_types", "isolation_level", "timeout"}
)


def database_url(value: str) -> URL:
    """Parse a database URL; a Postgres URL gets the driver psycopg. Raises ValueError."""
    try:
        url = make_url(value)
    except (ArgumentError, ValueError):
        raise ValueError(
            "is not a database URL such as sqlite:///./tasks.db or postgresql://user@host/name"
        ) from None
    if url.drivername in {"postgres", "postgresql", "postgresql+psycopg"}:
        url = url.set(drivername="postgresql+psycopg")
        _check_parameters(url, _known_to_postgres())
        return url
    if url.drivername in {"sqlite", "sqlite+pysqlite"}:
        if not url.database or url.database == ":memory:":
            raise ValueError("must name a file: a database in memory is not shared by the program's threads")
        _check_parameters(url, KNOWN_TO_SQLITE)
        return url.set(drivername="sqlite")
    raise ValueError("must begin with sqlite:///, postgres:// or postgresql://")


def _known_to_postgres() -> frozenset[str]:
    # A program on SQLite loads no library of Postgres.
    from psycopg.pq import Conninfo  # noqa: PLC0415

    return frozenset(option.keyword.decode() for option in Conninfo.get_defaults())


def _check_parameters(url: URL, known: frozenset[str]) -> None:
    """Raise ValueError for parameters that the driver does not take, which other programs put into such URLs."""
    for name in url.query:
        # Anything but a name may be the end of a password with a `?` or an `@` in it.
        if name not in known:
            shown = f"the parameter {name}" if re.fullmatch(r"[a-z_]{1,40}", name) else "a parameter"
            raise ValueError(f"has {shown} that this database does not take")
    try:
        url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        raise ValueError("has a parameter with an impossible value") from None
