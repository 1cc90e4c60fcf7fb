"""Many whole numbers from the database as one text, because making a Python row of each is the largest cost."""

from collections.abc import Mapping
from functools import reduce
from typing import Any

import numpy as np
from sqlalchemy import ColumnElement, Select, Text, cast, func, select
from sqlalchemy.orm import Session

from services.flow.statistics import Integers


def as_text(statement: Any) -> Select[Any]:
    """The rows of whole numbers that a statement finds as one text, numbers and rows separated by commas.

    Making a row in Python costs more than all the rest: one text is five times as fast.
    """
    rows = statement.subquery()
    numbers: list[ColumnElement[str]] = [cast(column, Text) for column in rows.c]
    line = reduce(lambda left, right: left.concat(",").concat(right), numbers)
    return select(func.aggregate_strings(line, ","))


def read_numbers(db: Session, statement: Select[Any], values: Mapping[str, Any], columns: int) -> Integers:
    """Execute a statement made by `as_text`; the result is an array with a row for each column."""
    text = db.execute(statement, values).scalar_one()
    return np.fromstring(text or "", np.int64, sep=",").reshape(-1, columns).T
