"""Statements that are compiled once instead of at each execution.

`prepared(select(...))` is the statement itself, and any session executes it. The sessions of `database` recognise
it, and hand its text and its processed parameters straight to the driver, at a third of the cost.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from operator import is_
from typing import Any, Self, TypeVar

from sqlalchemy import BindParameter, Connection, Dialect, Result, Row, UpdateBase
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError, InvalidRequestError
from sqlalchemy.sql.compiler import SQLCompiler

S = TypeVar("S")
Processor = Callable[[Any], Any]

_KEPT_AT = "prepared_form"
# The numbers of rows that SQLite inserts by one statement, at half the cost of a statement for each row. Other threads
# run meanwhile, and need not be asked for the interpreter after each row.
ROWS_AT_ONCE = (100, 10)


def prepared(statement: S, *, plan_each_time: bool = False) -> S:
    """Mark a statement that is kept and executed often, so that it is compiled once.

    Lists of any length (`IN` with `expanding`) can't be prepared. Several rows at once, each with the same names, go to
    the driver in one call, unless the statement returns rows.

    After a few executions Postgres plans a statement once for all values. `plan_each_time` has it look at the values each
    time. A search needs this, because the best plan for a word depends on its frequency.
    """
    setattr(statement, _KEPT_AT, Prepared(statement, plan_each_time=plan_each_time))
    return statement


def prepared_form(statement: Any) -> "Prepared | _ForTheDriver | None":
    """The prepared form of a statement, if it has one."""
    form: Prepared | _ForTheDriver | None = getattr(statement, _KEPT_AT, None)
    # A statement made from a prepared one, by one more condition say, takes its attributes along.
    return form if form is not None and form.statement is statement else None


class Prepared:
    """A statement and its compiled forms, one for each database and each set of parameters."""

    __slots__ = ("_compiled", "_plan_each_time", "statement", "writes")

    def __init__(self, statement: Any, *, plan_each_time: bool) -> None:
        self.statement, self._plan_each_time = statement, plan_each_time
        self.writes = bool(getattr(statement, "is_dml", False))
        self._compiled: dict[tuple[str, ...], _Compiled] = {}

    def execute(self, connection: Connection, cursor: Any, values: Mapping[str, Any]) -> Result[Any]:
        """Execute the statement by the driver's cursor; raises the errors that SQLAlchemy would raise."""
        return self._compiled_for(connection.dialect, values).execute(connection.dialect, cursor, values)

    @property
    def takes_many(self) -> bool:
        """Whether the driver can execute the statement for many rows at once: it writes, and returns no rows."""
        return isinstance(self.statement, UpdateBase) and not self.statement.exported_columns

    def execute_many(
        self, connection: Connection, cursor: Any, rows: Sequence[Mapping[str, Any]]
    ) -> Result[Any]:
        """Execute the statement for each row, by one call of the driver; the result has no rows."""
        compiled = self._compiled_for(connection.dialect, rows[0])
        return compiled.execute_values(connection.dialect, cursor, compiled.values_of(rows))

    def bound(self, dialect: Dialect, rows: Sequence[Mapping[str, Any]]) -> "BoundRows":
        """The rows, converted for the driver ahead of the transaction that writes them."""
        return BoundRows(self._compiled_for(dialect, rows[0]), rows)

    def _compiled_for(self, dialect: Dialect, values: Mapping[str, Any]) -> "_Compiled":
        names = (dialect.name, *values)
        compiled = self._compiled.get(names)
        if compiled is None:
            # The names of the values decide which columns an INSERT fills.
            compiled = _Compiled(self.statement, dialect, list(values), plan_each_time=self._plan_each_time)
            self._compiled[names] = compiled
        return compiled


class _ForTheDriver(ABC):
    """A statement that only sessions that hand text to the driver execute: see `direct_session.takes_text`."""

    __slots__ = ()
    writes = False

    @property
    def prepared_form(self) -> Self:
        return self

    @property
    def statement(self) -> Self:
        return self

    @abstractmethod
    def execute(self, connection: Connection, cursor: Any, values: Mapping[str, Any]) -> Result[Any]:
        """Execute the statement by the driver's cursor; raises the errors that SQLAlchemy would raise."""


class BoundRows(_ForTheDriver):
    """Rows of a statement, converted for the driver.

    `execute` gets values for some columns. A negative number in such a column is not known yet: the value is added
    to it.
    """

    __slots__ = ("_compiled", "_values")
    writes = True

    def __init__(self, compiled: "_Compiled", rows: Sequence[Mapping[str, Any]]) -> None:
        self._compiled, self._values = compiled, compiled.values_of(rows)

    def execute(self, connection: Connection, cursor: Any, values: Mapping[str, Any]) -> Result[Any]:
        """Execute the statement for each row."""
        known, names = [*self._values], self._compiled.names
        for name in values.keys() & set(names):
            column, more = slice(names.index(name), None, len(names)), values[name]
            known[column] = [each + more if each is not None and each < 0 else each for each in known[column]]
        return self._compiled.execute_values(connection.dialect, cursor, known)


class TextOnly(_ForTheDriver):
    """A statement of which only the text and the converters of parameters and rows are kept.

    Statements that have very many shapes are kept in this form.
    """

    __slots__ = ("_compiled",)

    def __init__(self, statement: Any, dialect: Dialect, names: list[str], *, plan_each_time: bool) -> None:
        self._compiled = _Compiled(statement, dialect, names, plan_each_time=plan_each_time)

    def execute(self, connection: Connection, cursor: Any, values: Mapping[str, Any]) -> Result[Any]:
        """Execute the statement by the driver's cursor; raises the errors that SQLAlchemy would raise."""
        return self._compiled.execute(connection.dialect, cursor, values)

    def bytes(self) -> int:
        """An estimate of its memory."""
        return self._compiled.bytes()


class _Rows(IteratorResult[Any]):
    """The rows of a statement; the first row, which most reads of one thing ask for, takes a short cut."""

    def __init__(
        self, metadata: SimpleResultMetaData, make: Callable[[Any], Any], rows: Sequence[Any]
    ) -> None:
        super().__init__(metadata, iter(rows))
        self._make, self._read = make, rows

    def first(self) -> Any:
        """The first row, or None."""
        return self._make(self._read[0]) if self._read else None

    def scalar(self) -> Any:
        """The first column of the first row, or None."""
        return self._make(self._read[0])[0] if self._read else None


# The result of every statement that returns no rows.
_NO_ROWS: Result[Any] = IteratorResult(SimpleResultMetaData([]), iter(()))


class _Compiled:
    """The text of a statement for one database, with the converters of its parameters and rows."""

    def __init__(self, statement: Any, dialect: Dialect, names: list[str], *, plan_each_time: bool) -> None:
        compiled = statement.compile(dialect=dialect, column_keys=names)
        assert isinstance(compiled, SQLCompiler)
        if compiled.post_compile_params or compiled.literal_execute_params:
            raise TypeError(f"its text depends on its values, so it can't be prepared: {compiled}")
        self._text = compiled.string
        # psycopg prepares on the server, which plans once for all values, unless told not to.
        self._options = {"prepare": False} if plan_each_time and dialect.name == "postgresql" else {}
        self._parameters: list[tuple[str, Processor | None]] = []
        # These values are part of the statement itself.
        self._fixed: dict[str, Any] = {}
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            self._parameters.append((name, _processor(bind, dialect)))
            if name not in names:
                if bind.required:
                    raise InvalidRequestError(f"A value is required for bind parameter {name!r}")
                self._fixed[name] = bind.effective_value
        row = f"({', '.join('?' * len(self._parameters))})"
        # Statements that insert several rows, by the number of rows.
        self._several: dict[int, str] = {}
        if dialect.name == "sqlite" and self._text.endswith(f" VALUES {row}"):
            self._several = {count: self._text + f", {row}" * (count - 1) for count in ROWS_AT_ONCE}
        self._columns = [(entry.keyname, entry.type) for entry in compiled._result_columns]  # noqa: SLF001  # as its own results read it
        self._rows: SimpleResultMetaData | None = None
        self._make: Callable[[Any], Any] = tuple

    def execute(self, dialect: Dialect, cursor: Any, values: Mapping[str, Any]) -> Result[Any]:
        try:
            cursor.execute(self._text, self._values(values), **self._options)
            if not self._columns:
                return _NO_ROWS
            rows = cursor.fetchall()
        except dialect.loaded_dbapi.Error as error:
            raise self._error(dialect, error) from error
        if self._rows is None:
            described = self._describe(dialect, cursor)
            self._make = partial(Row, described, described._effective_processors, described._key_to_index)  # noqa: SLF001  # as its own results do
            self._rows = described
        return _Rows(self._rows, self._make, rows)

    @property
    def names(self) -> list[str]:
        """The names of the parameters, in their order."""
        return [name for name, _ in self._parameters]

    def values_of(self, rows: Sequence[Mapping[str, Any]]) -> list[Any]:
        """The converted values of all rows, one row after the other."""
        width = len(self._parameters)
        values: list[Any] = [None] * (width * len(rows))
        # The last column of each converter, and the same converted.
        last: dict[Processor, tuple[list[Any], list[Any]]] = {}
        for place, (name, process) in enumerate(self._parameters):
            is_fixed = name in self._fixed
            column = [self._fixed[name]] * len(rows) if is_fixed else [row[name] for row in rows]
            if process is not None:
                # A change has the same time in several columns.
                if process not in last or not all(map(is_, column, last[process][0])):
                    last[process] = column, list(map(process, column))
                column = last[process][1]
            values[place::width] = column
        return values

    def execute_values(self, dialect: Dialect, cursor: Any, values: list[Any]) -> Result[Any]:
        """Execute the statement for each row of `values_of`."""
        width, at = len(self._parameters), 0
        try:
            for count, text in self._several.items():
                while len(values) - at >= count * width:
                    cursor.execute(text, values[at : at + count * width])
                    at += count * width
            if at < len(values):
                cursor.executemany(
                    self._text, [values[start : start + width] for start in range(at, len(values), width)]
                )
        except dialect.loaded_dbapi.Error as error:
            raise self._error(dialect, error) from error
        return _NO_ROWS

    def _values(self, values: Mapping[str, Any]) -> list[Any]:
        if self._fixed:
            values = {**self._fixed, **values}
        return [
            values[name] if process is None else process(values[name]) for name, process in self._parameters
        ]

    def _error(self, dialect: Dialect, error: Exception) -> Exception:
        # The parameters are left out, because their values belong in no log.
        return DBAPIError.instance(
            self._text, None, error, dialect.loaded_dbapi.Error, hide_parameters=True, dialect=dialect
        )

    def bytes(self) -> int:
        """An estimate of its memory: the text, and for each parameter and column a name, a pair and a function."""
        return 1000 + sys.getsizeof(self._text) + 300 * (len(self._parameters) + len(self._columns))

    def _describe(self, dialect: Dialect, cursor: Any) -> SimpleResultMetaData:
        kinds = [column[1] for column in cursor.description or ()]
        processors = [
            type_.dialect_impl(dialect).result_processor(dialect, kind)
            for (_, type_), kind in zip(self._columns, kinds, strict=True)
        ]
        return SimpleResultMetaData(
            [name for name, _ in self._columns], _processors=processors if any(processors) else None
        )


def _processor(bind: BindParameter[Any], dialect: Dialect) -> Processor | None:
    return bind.type.dialect_impl(dialect).bind_processor(dialect)
