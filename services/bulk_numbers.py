"""Reading many whole numbers as one value for each column, because making Python rows of them would cost the most.

SQLite's driver also hands the interpreter to other threads for each row. Where these are busy, a thousand rows take a tenth
of a second, which is too long for a transaction that keeps others from writing.

SQLite sends them as text with commas. Postgres sends eight bytes for each, which takes it a third of the time of writing
digits.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import BigInteger, Select, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from storage.column_types import Written

Integers = NDArray[np.int64]
# Stands for no time, in few digits: no task was completed in the last microsecond of 1969.
NONE = -1


class _InBytes(BigInteger):
    """The type of a number that Postgres has as eight bytes already."""


class Moment(Written[int]):
    """SQL: a time as whole microseconds since 1970, `NONE` if it is missing; for statements made by `in_bulk`."""

    inherit_cache = True
    type = _InBytes()
    name = "moment"
    on_sqlite = f"coalesce({{0}}, {NONE})"
    # Postgres counts from 2000, so it is asked for a time thirty years later. To extract the seconds takes longer.
    on_postgres = f"coalesce(timestamptz_send({{0}} + INTERVAL '946684800 seconds'), int8send({NONE}))"


class _Joined(FunctionElement[Any]):
    """SQL: the numbers of a column in all rows as one value."""

    inherit_cache = True
    name = "joined"


@compiles(_Joined, "sqlite")
def _joined_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)}, ',')"


@compiles(_Joined, "postgresql")
def _joined_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    (number,) = element.clauses
    text = compiler.process(number, **options)
    sent = text if isinstance(number.type, _InBytes) else f"int8send(CAST({text} AS BIGINT))"
    return f"string_agg({sent}, ''::bytea)"


def in_bulk(statement: Any) -> Select[Any]:
    """The statement with one row, which has the whole numbers of each column as one value, in the same order.

    Making rows in Python costs more than all other work. No number may be missing, because the databases would leave
    it out.
    """
    return select(*map(_Joined, statement.subquery().c))


def read_numbers(db: Session, statement: Select[Any], values: Mapping[str, Any]) -> Integers:
    """Execute a statement made by `in_bulk`; the result is an array with a row for each column."""
    return numbers(db.execute(statement, values).one())


def numbers(row: Sequence[str | bytes | None]) -> Integers:
    """Turn the row of a statement made by `in_bulk` into an array with a row for each column."""
    return np.array([_column(found) for found in row])


def _column(found: str | bytes | None) -> Integers:
    if isinstance(found, bytes):
        return np.frombuffer(found, ">i8").astype(np.int64)
    return np.fromstring(found or "", np.int64, sep=",")
