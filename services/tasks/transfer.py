"""Tasks in and out in bulk, as JSON and CSV: what is exported is read back unchanged."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import JSON, Table, bindparam, insert, text
from sqlalchemy.orm import Session

from database import AnyRow
from errors import AppError, input_problems, invalid_input
from models import Caller, task_history, tasks
from schemas.tasks import TaskImport, TaskRead
from services.task_service import history_values
from services.tasks.json_stream import NotJson, array_elements
from services.tasks.task_query import visible_tasks
from storage.folding import fold

MOST_IMPORTED = 10_000
MOST_PROBLEMS_TOLD = 100
EXPORT_CHUNK = 1000
# More than any task needs, however it is written; what is longer is not even read.
LONGEST_ROW = 1024 * 1024
IMPORTED_FIELDS = tuple(TaskImport.model_fields)
CSV_COLUMNS = tuple(TaskRead.model_fields)
NUMBERS = ("id", "priority", "user_id")

_TASK = TypeAdapter(TaskImport)
_EXPORTED = TypeAdapter(list[dict[str, Any]])

# A spreadsheet takes a cell that begins so for a formula; the full-width signs too.
_FORMULA = re.compile(r"'*(?:[=+\-@\t\r\n＝＋－＠]|$)")
_ESCAPED = re.compile(r"'+(?:[=+\-@\t\r\n＝＋－＠]|$)")


# -- reading ---------------------------------------------------------------------------------------


def parse_json(body: bytes) -> list[TaskImport]:
    """The tasks in a JSON array; raises InvalidInput that names each bad row by its index."""
    try:
        return _checked(array_elements(body, LONGEST_ROW))
    except NotJson as error:
        raise _problem("#", f"Not valid JSON {error}") from None


def parse_csv(body: bytes) -> list[TaskImport]:
    """The tasks in a CSV file whose first line names the columns; raises InvalidInput."""
    try:
        return _checked(_read_rows(_Lines(body)))
    except UnicodeDecodeError:
        raise _problem("#", "CSV must be UTF-8") from None
    except csv.Error as error:
        raise _problem("#", f"Not valid CSV: {error}") from None


class _Lines:
    """The lines of a CSV file, none of whose rows may be endless: a cell may go on over many lines."""

    def __init__(self, body: bytes) -> None:
        self._stream = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
        self.of_this_row = 0

    def __iter__(self) -> Iterator[str]:
        while line := self._stream.readline(LONGEST_ROW + 1):
            self.of_this_row += len(line)
            if self.of_this_row > LONGEST_ROW:
                raise csv.Error(f"a row is longer than {LONGEST_ROW:,} characters")
            yield line


def _read_rows(lines: _Lines) -> Iterator[dict[str, Any]]:
    rows = csv.reader(lines, strict=True)
    header = next(rows, None)
    if header is None:
        raise _problem("#", "The first line must name the columns: an empty file has none")
    unknown = [name for name in header if name not in IMPORTED_FIELDS]
    if unknown or "title" not in header or len(set(header)) != len(header):
        what = f"Unknown column {unknown[0]!r}" if unknown else "Each column once, and `title` among them"
        raise _problem("#", f"{what}; allowed: {', '.join(IMPORTED_FIELDS)}")
    for index, line in enumerate(line for line in rows if line):
        lines.of_this_row = 0
        if len(line) != len(header):
            raise _problem(f"#/{index}", f"Has {len(line)} cells where the first line has {len(header)}")
        yield {name: _from_cell(name, cell) for name, cell in zip(header, line, strict=True) if cell != ""}


def _from_cell(name: str, cell: str) -> Any:
    if _ESCAPED.match(cell):
        cell = cell[1:]
    if name in NUMBERS and re.fullmatch(r"-?\d{1,19}", cell, re.ASCII):
        return int(cell)
    if name == "tags":
        if cell.startswith("["):
            try:
                return json.loads(cell)
            except (ValueError, RecursionError):
                return cell
        return [tag.strip() for tag in cell.split(",")]
    return cell


def _checked(rows: Iterable[Any]) -> list[TaskImport]:
    """The rows as tasks; raises InvalidInput for those that are none, and no later than it knows enough."""
    taken: list[TaskImport] = []
    problems: list[dict[str, str]] = []
    for index, row in enumerate(rows):
        if index == MOST_IMPORTED:
            raise _problem("#", f"More than {MOST_IMPORTED:,} tasks: import them in several calls")
        try:
            task = _TASK.validate_python(row)
        except ValidationError as error:
            found = [
                {**each, "loc": ("body", index, *each["loc"])}
                for each in error.errors(include_input=False, include_url=False)
            ]
            problems += input_problems(found[:MOST_PROBLEMS_TOLD], IMPORTED_FIELDS)
        else:
            problems += _contradictions(index, task)
            taken.append(task)
        if len(problems) >= MOST_PROBLEMS_TOLD:
            break
    if problems:
        raise invalid_input(problems[:MOST_PROBLEMS_TOLD])
    return taken


def _contradictions(index: int, task: TaskImport) -> Iterator[dict[str, str]]:
    """What no single field can tell."""
    if task.completed_at is None:
        return
    if task.status != "completed":
        detail = f"The task is {task.status}: only completed ones have it"
    elif task.created_at is not None and task.completed_at < task.created_at:
        detail = "Is earlier than created_at"
    else:
        return
    yield {"pointer": f"#/{index}/completed_at", "detail": detail}


def _problem(pointer: str, detail: str) -> AppError:
    return invalid_input([{"pointer": pointer, "detail": detail}])


def import_tasks(db: Session, user: Caller, rows: Sequence[TaskImport]) -> int:
    """Put the tasks into the caller's account, in their order, each with a row of history; how many."""
    if not rows:
        return 0
    now = datetime.now(UTC)
    ids = _take_ids(db, len(rows))
    values = [{"id": task_id, **_columns(row, user, now)} for task_id, row in zip(ids, rows, strict=True)]
    events = [history_values(user, now, "imported", None, _Imported(each)) for each in values]
    _insert_many(db, tasks, values)
    _insert_many(db, task_history, events)
    return len(ids)


def _take_ids(db: Session, count: int) -> Sequence[int]:
    """Numbers for new tasks, in order: the history needs them, and reading them back costs as much as inserting."""
    if db.get_bind().dialect.name == "sqlite":
        # There is one writer at a time; AUTOINCREMENT goes on behind the highest number that was ever used.
        last = db.execute(_LAST_ID).scalar() or 0
        return range(last + 1, last + 1 + count)
    return db.execute(_NEXT_IDS, {"count": count}).scalars().all()


_LAST_ID = text("SELECT seq FROM sqlite_sequence WHERE name = 'tasks'")
_NEXT_IDS = text("SELECT nextval(pg_get_serial_sequence('tasks', 'id')) FROM generate_series(1, :count)")


def _insert_many(db: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    """Insert the rows at once: with one statement on Postgres, which fires the triggers once a statement."""
    dialect = db.get_bind().dialect
    if dialect.name == "sqlite":
        db.execute(insert(table), rows)
        return
    # As one parameter: psycopg takes seconds to read a statement with a hundred thousand of them.
    columns = [table.c[name] for name in rows[0]]
    names = ", ".join(column.name for column in columns)
    types = ", ".join(f"{column.name} {column.type.compile(dialect)}" for column in columns)
    statement = (
        f"INSERT INTO {table.name} ({names}) SELECT {names} FROM json_to_recordset(:rows) AS row({types})"
    )
    db.execute(text(statement).bindparams(bindparam("rows", type_=JSON)), {"rows": rows})


class _Imported:
    """A task just imported, as `history_values` reads it."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.__dict__ = values


def _columns(row: TaskImport, user: Caller, now: datetime) -> dict[str, Any]:
    created_at = row.created_at or min(
        each for each in (row.completed_at, row.updated_at, now) if each is not None
    )
    completed_at = None
    if row.status == "completed":
        # Not told when: as far as is known it was then that it was changed last.
        completed_at = row.completed_at or max(row.updated_at or created_at, created_at)
    return {
        "user_id": user.id,
        "title": row.title,
        "title_folded": fold(row.title),
        "description": row.description,
        "status": row.status,
        "priority": row.priority,
        "project": row.project,
        "tags": row.tags,
        "due_at": row.due_at,
        "created_at": created_at,
        "updated_at": row.updated_at or completed_at or created_at,
        "completed_at": completed_at,
        "version": 1,
    }


# -- writing ---------------------------------------------------------------------------------------

_CHUNK = visible_tasks().where(tasks.c.id > bindparam("after_id")).order_by(tasks.c.id).limit(EXPORT_CHUNK)


def export_chunk(db: Session, user: Caller, after_id: int) -> list[AnyRow]:
    """The next of the caller's tasks behind an id, in the order they were made."""
    return list(db.execute(_CHUNK, {"owner_id": user.id, "after_id": after_id}).all())


def json_part(rows: Iterable[AnyRow], *, first: bool) -> bytes:
    """Rows as a part of a JSON array, without its brackets."""
    plain = [dict(zip(CSV_COLUMNS, row, strict=False)) for row in rows]
    array = _EXPORTED.dump_json(plain)[1:-1]
    return array if first or not array else b"," + array


def csv_part(rows: Iterable[AnyRow], *, first: bool) -> bytes:
    """Rows as lines of CSV, after the line that names the columns where they are the first."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    if first:
        writer.writerow(CSV_COLUMNS)
    for row in rows:
        writer.writerow([_to_cell(name, value) for name, value in zip(CSV_COLUMNS, row, strict=False)])
    return out.getvalue().encode()


def _to_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if name == "tags":
        return json.dumps(value, ensure_ascii=False)
    # Numbers and times can't be formulas; an empty text must differ from none.
    return formula_free(value) if isinstance(value, str) else str(value)


def formula_free(value: str) -> str:
    """The text as a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if _FORMULA.match(value) else value
