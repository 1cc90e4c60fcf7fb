"""Reading many whole numbers as one text, because making a Python row of each would cost the most."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Select, Text, cast, select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.functions import FunctionElement

from services.flow.statistics import Integers


class _Joined(FunctionElement[str]):
    """SQL: the texts of all rows as one, separated by commas."""

    inherit_cache = True
    type = Text()
    name = "joined"


@compiles(_Joined, "sqlite")
def _joined_on_sqlite(element: Any, compiler: Any, **options: Any) -> str:
    return f"group_concat({compiler.process(element.clauses, **options)}, ',')"


@compiles(_Joined, "postgresql")
def _joined_on_postgres(element: Any, compiler: Any, **options: Any) -> str:
    return f"string_agg({compiler.process(element.clauses, **options)}, ',')"


def as_text(statement: Any) -> Select[Any]:
    """The statement whose rows of whole numbers come as one text, in which commas separate numbers and rows.

    Making rows in Python costs more than all other work: one text is five times as fast.
    """
    rows = statement.subquery()
    numbers: list[ColumnElement[str]] = [cast(column, Text) for column in rows.c]
    line = reduce(lambda left, right: left.concat(",").concat(right), numbers)
    return select(_Joined(line))


def read_numbers(db: Session, statement: Select[Any], values: Mapping[str, Any], columns: int) -> Integers:
    """Execute a statement made by `as_text`; the result is an array with a row for each column."""
    return numbers(db.execute(statement, values).scalar_one(), columns)


def numbers(text: str | None, columns: int) -> Integers:
    """Turn the text of a statement made by `as_text` into an array with a row for each column."""
    return np.fromstring(text or "", np.int64, sep=",").reshape(-1, columns).T
