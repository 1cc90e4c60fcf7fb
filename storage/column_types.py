"""Column types and SQL functions that both databases share."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from pydantic_core import to_json
from sqlalchemy import (
    ARRAY,
    JSON,
    BigInteger,
    Boolean,
    ColumnElement,
    DateTime,
    Dialect,
    Integer,
    String,
    Text,
    bindparam,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_PLACE = re.compile(r"\{(\d)\}")

T = TypeVar("T")


def microseconds(value: datetime) -> int:
    """A time as microseconds since 1970."""
    return (value - _EPOCH) // _MICROSECOND


def moment(value: int) -> datetime:
    """The time that `microseconds` gives this number for; raises OverflowError beyond the years 1 to 9999."""
    return _EPOCH + timedelta(microseconds=value)


def rfc3339(value: datetime) -> str:
    """A time in UTC as RFC 3339 writes it, with a `Z`."""
    return value.isoformat().replace("+00:00", "Z")


def _as_utc(value: datetime | None) -> datetime | None:
    return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


def _as_microseconds(value: datetime | None) -> int | None:
    if value is None:
        return None
    # As `microseconds` does, without another call: every write has several times.
    return ((value if value.tzinfo is not None else value.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC to the microsecond: `timestamptz` on Postgres, microseconds since 1970 on SQLite.

    SQLite has no type for times; as whole numbers they sort, subtract and compare exactly.
    """

    impl = DateTime(timezone=True)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type in this database."""
        return dialect.type_descriptor(BigInteger() if dialect.name == "sqlite" else DateTime(timezone=True))

    def bind_processor(self, dialect: Dialect) -> Any:
        """Convert a time for the driver; a naive time is taken as UTC."""
        return _as_microseconds if dialect.name == "sqlite" else _as_utc

    def result_processor(self, dialect: Dialect, coltype: Any) -> Any:  # noqa: ARG002  # as the base class has it
        """Convert a time from the driver."""
        if dialect.name != "sqlite":
            return None
        epoch, delta = _EPOCH, timedelta

        def as_datetime(value: int | None) -> datetime | None:
            return None if value is None else epoch + delta(0, 0, value)

        return as_datetime


class ValueList(TypeDecorator[list[Any]]):
    """A list of values as one parameter: an array on Postgres, JSON on SQLite."""

    impl = Text
    cache_ok = True

    def __init__(self, item: TypeEngine[Any]) -> None:
        super().__init__()
        self.item = item

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type in this database."""
        return dialect.type_descriptor(Text() if dialect.name == "sqlite" else ARRAY(self.item))

    def bind_processor(self, dialect: Dialect) -> Any:
        """Convert a list for the driver."""
        return (lambda values: to_json(values).decode()) if dialect.name == "sqlite" else None


class Written(FunctionElement[T]):
    """SQL that the databases write in different ways, by templates in which `{0}` stands for the first argument."""

    inherit_cache = False
    on_sqlite: str
    on_postgres: str


@compiles(Written, "sqlite")
def _on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return _filled(element.on_sqlite, element, compiler, options)


@compiles(Written, "postgresql")
def _on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    return _filled(element.on_postgres, element, compiler, options)


def _filled(template: str, element: Any, compiler: Any, options: dict[str, Any]) -> str:
    arguments = list(element.clauses)
    return _PLACE.sub(lambda place: compiler.process(arguments[int(place[1])], **options), template)


class Condition(Written[bool]):
    """SQL: a condition that stands as it is.

    SQLAlchemy would compare it with 1 on SQLite, which then uses no index for it.
    """

    inherit_cache = False
    type = Boolean()

    def self_group(self, against: Any = None) -> "Condition":  # noqa: ARG002  # the name is SQLAlchemy's
        """The same condition, whatever it is combined with."""
        return self


class IsOneOf(Condition):
    """SQL: whether a value is one of a list, which is a single parameter of the type `ValueList`."""

    inherit_cache = True
    name = "is_one_of"
    on_sqlite = "{0} IN (SELECT value FROM json_each({1}))"
    on_postgres = "{0} = ANY ({1})"


def is_among(column: ColumnElement[int], parameter: str) -> IsOneOf:
    """The condition that a column has one of the whole numbers of a parameter, a list.

    Unlike that of `in_`, its text is the same for lists of any length, so that the statement can be prepared.
    """
    return IsOneOf(column, bindparam(parameter, type_=ValueList(BigInteger())))


class MicrosecondsBetween(Written[int]):
    """SQL: the time between two times, the earlier one first, as a whole number of microseconds."""

    type = BigInteger()
    inherit_cache = True
    name = "microseconds_between"
    on_sqlite = "({1} - {0})"
    on_postgres = "CAST(extract(epoch FROM {1} - {0}) * 1000000 AS bigint)"


class LowerAscii(Written[str]):
    """SQL: a text with its capitals of ASCII in lower case, whatever the language of the database.

    In a Turkish database `lower('I')` is a dotless i, so that `IVAN` and `ivan` would be two names.
    """

    type = String()
    inherit_cache = True
    name = "lower_ascii"
    on_sqlite = "lower({0})"
    on_postgres = 'lower({0} COLLATE "C")'


PERIOD = timedelta(days=30)


class Period(Written[int]):
    """SQL: the number of the 30-day period that contains a time, counted from 1970, on SQLite.

    Before 1970 the number is one higher, because SQLite rounds towards zero.
    """

    type = BigInteger()
    inherit_cache = True
    name = "period"
    on_sqlite = "{0} / " + str(PERIOD // _MICROSECOND)


# `jsonb` on Postgres; text on SQLite, which has functions for JSON in texts.
JsonText = JSON().with_variant(JSONB(), "postgresql")
# SQLite numbers only a primary key of the type INTEGER.
RowId = BigInteger().with_variant(Integer(), "sqlite")


def one_of(column: str, values: tuple[str, ...]) -> str:
    """The condition that a column has one of these values.

    For `IN` SQLite would make a table of the values, again for each row that it checks.
    """
    return " OR ".join(f"{column} = {value!r}" for value in values)


def where(condition: str) -> dict[str, Any]:
    """Make an index partial: the arguments of `Index` for a condition on its rows."""
    return {"sqlite_where": text(condition), "postgresql_where": text(condition)}
