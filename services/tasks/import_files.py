"""Reading files of tasks as people and programs write them: JSON, NDJSON, and CSV in its many forms."""

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from errors import MOST_PROBLEMS, input_problems, invalid_at, invalid_input
from schemas.tasks import MOST_IMPORTED, TaskImport
from services.tasks import csv_cells, fields
from services.tasks.json_stream import JsonText, NotJson, OtherJson, elements
from storage.json_objects import MOST_ELEMENTS, MOST_FIELDS, Repeat

# No task needs more characters than this, in any notation; reading stops at longer rows.
LONGEST_ROW = 1024 * 1024
# A spreadsheet has no more rows than this, and fills the empty ones with separators at most.
MOST_ROWS = 1_048_576
IMPORTED_FIELDS = tuple(TaskImport.model_fields)
CSV_COLUMNS = fields.NAMES
SEPARATORS = ",;\t|"
NOT_UTF_8 = "CSV must be UTF-8: in a spreadsheet, choose it when saving"
NOT_CSV = (
    "This is JSON, not CSV: send it as application/json, or as application/x-ndjson if each line is an object"
)
# The characters of a row that a spreadsheet filled with empty cells.
EMPTY_ROW = f'{SEPARATORS} "\r\n'

_TASK = TypeAdapter(TaskImport)
_NUMBER = re.compile(r"(-?\d{1,19})(?:\.0+)?", re.ASCII)
# Excel writes such a line before the names of the columns.
_SEPARATOR_LINE = re.compile(r'"?sep=([^"\r\n])"?\r?\n', re.IGNORECASE)
_WRAPPED_LIST = re.compile(rb'\s*\{\s*"(\w{1,50})"\s*:\s*\[')
# A file with all these columns was written by an export of this program, of any version.
_EXPORTED = frozenset({"id", "user_id", "created_at", "updated_at", "completed_at", "due_at", "tags"})

# A function that names the place of the current row in the file, as people count rows.
Where = Callable[[], str]


def parse_json(body: bytes, *, lines: bool = False) -> list[TaskImport]:
    """The tasks in a JSON array, or in NDJSON; raises InvalidInput that names each bad row by its index."""
    text = JsonText(body, LONGEST_ROW)
    begin = body[:LONGEST_ROW].lstrip(b"\xef\xbb\xbf \t\r\n")

    def where() -> str:
        return "" if begin.startswith(b"[") else f" (line {text.line()} of the file)"

    try:
        return _checked(elements(text, lines=lines), where, text.repeats)
    except OtherJson as error:
        raise invalid_at("#", _known_object(body) or str(error)) from None
    except NotJson as error:
        if begin.startswith(b"{"):
            detail = _known_object(body) or f"Not valid JSON {error}{where()}"
        else:
            detail = f"Not valid JSON {error}{'. CSV is sent as text/csv' if _names_columns(begin) else ''}"
        raise invalid_at("#", detail) from None


def parse_ndjson(body: bytes) -> list[TaskImport]:
    """The tasks of a file with a JSON object on each line; raises InvalidInput."""
    return parse_json(body, lines=True)


def _known_object(body: bytes) -> str:
    """Explain a JSON object that was sent in place of an array, if its form is known; else an empty text."""
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return ""
    if b'"idBoard"' in body or (b'"cards"' in body and b'"lists"' in body):
        return (
            "This is a Trello board. A JSON array of tasks is expected: make a task of each of its `cards`, with "
            "`title` from `name` and `description` from `desc`"
        )
    if wrapped := _WRAPPED_LIST.match(body.removeprefix(b"\xef\xbb\xbf")):
        name = wrapped[1].decode()
        return f"This is a JSON object with a list in `{name}`. A JSON array is expected: send the list alone"
    return ""


def _names_columns(begin: bytes) -> bool:
    """Whether the first line of a file names the columns of CSV."""
    line = begin.splitlines()[0].decode(errors="replace") if begin else ""
    return any(_column(name.strip('"')) == "title" for name in re.split(f"[{re.escape(SEPARATORS)}]", line))


def parse_csv(body: bytes) -> list[TaskImport]:
    """The tasks in a CSV file whose first line names the columns; raises InvalidInput."""
    lines = _Lines(body)
    try:
        return _checked(_csv_rows(lines), lambda: f" (row {lines.row} of the file)")
    except UnicodeDecodeError:
        raise invalid_at("#", NOT_UTF_8) from None
    except csv.Error as error:
        raise invalid_at("#", f"Not valid CSV: {error}{lines.where_it_broke()}") from None


class _Lines:
    """The lines of a CSV file. Rows have a longest length, because a cell may continue over many lines."""

    def __init__(self, body: bytes) -> None:
        self._stream = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
        self._kept: list[str] = []
        self.of_this_row = 0
        # The number of the row that was read last, as a spreadsheet counts rows.
        self.row = 0

    def first(self) -> str:
        """The first line, which iteration then returns again."""
        line = self._stream.readline(LONGEST_ROW + 1)
        self._kept.append(line)
        return line

    def skip_first(self) -> None:
        """Leave the first line out of the iteration."""
        self._kept.clear()
        self.count_row()

    def count_row(self) -> None:
        """Count a row that was read; raises InvalidInput for more rows than a spreadsheet has."""
        self.row += 1
        self.of_this_row = 0
        if self.row > MOST_ROWS:
            raise invalid_at("#", f"More than {MOST_ROWS:,} rows, with the empty ones")

    def __iter__(self) -> Iterator[str]:
        while line := self._kept.pop() if self._kept else self._stream.readline(LONGEST_ROW + 1):
            self.of_this_row += len(line)
            if self.of_this_row > LONGEST_ROW:
                raise csv.Error(f"a row is longer than {LONGEST_ROW:,} characters")
            yield line

    def where_it_broke(self) -> str:
        """The number of the row that could not be read."""
        return f" (row {self.row + 1} of the file)"


def _csv_rows(lines: _Lines) -> Iterator[dict[str, Any]]:
    first = lines.first()
    while first.endswith(("\r", "\n")) and not first.strip(EMPTY_ROW):
        # A table may begin below the first row of its sheet.
        lines.skip_first()
        first = lines.first()
    if first.startswith(("[", "{")):
        raise invalid_at("#", NOT_CSV)
    if "\0" in first:
        # UTF-16 of ASCII letters is UTF-8 too, with a NUL at each letter.
        raise invalid_at("#", NOT_UTF_8)
    if named := _SEPARATOR_LINE.fullmatch(first):
        lines.skip_first()
        separator = named[1]
    else:
        separator = _separator(first)
    rows = csv.reader(lines, delimiter=separator, strict=True)
    header = _columns(next(rows, None))
    lines.count_row()
    is_ours = _EXPORTED.issubset(header)
    index = 0
    for cells in rows:
        lines.count_row()
        if not any(cells):
            # An empty line, or a row that a spreadsheet filled with empty cells.
            continue
        yield _row(index, header, cells, lines.row, is_ours=is_ours)
        index += 1


def _separator(line: str) -> str:
    """The separator of the line that names the columns: the character that yields the most known names."""

    def known(separator: str) -> tuple[int, int]:
        try:
            names = next(csv.reader([line], delimiter=separator), [])
        except csv.Error:
            return 0, 0
        return sum(_column(name) in IMPORTED_FIELDS for name in names), len(names)

    return max(SEPARATORS, key=known)


def _column(name: str) -> str:
    return name.strip().lower()


def _columns(cells: list[str] | None) -> list[str]:
    """The names of the columns, empty for columns that a spreadsheet added; raises InvalidInput."""
    cells = [cell.strip() for cell in cells or ()]
    header = [_column(cell) for cell in cells]
    while header and not header[-1]:
        header.pop()
    named = [name for name in header if name]
    allowed = f"allowed: {', '.join(IMPORTED_FIELDS)}"
    if not named:
        raise invalid_at("#", f"The first line must name the columns; {allowed}")
    for cell in filter(None, cells):
        name = _column(cell)
        if name not in IMPORTED_FIELDS:
            raise invalid_at("#", f"Unknown column {cell[:100]!r}; {allowed}")
        if named.count(name) > 1:
            raise invalid_at("#", f"The column `{name}` is named twice")
    if "title" not in named:
        raise invalid_at("#", f"The column `title` is missing: the first line names {', '.join(named)}")
    return header


def _row(index: int, header: Sequence[str], cells: list[str], row: int, *, is_ours: bool) -> dict[str, Any]:
    """The fields of a row, without its empty cells; raises InvalidInput for too many or too few cells."""
    where = f" (row {row} of the file)"
    if len(cells) < len(header):
        has = f"{len(cells)} cell{'s' if len(cells) > 1 else ''}"
        raise invalid_at(f"#/{index}", f"Has {has} where the first line names {len(header)} columns{where}")
    values: dict[str, Any] = {}
    for place, cell in enumerate(cells):
        name = header[place] if place < len(header) else ""
        if name and name not in fields.TEXTS:
            # Many programs write a space behind each separator. It belongs to texts only.
            cell = cell.strip()  # noqa: PLW2901
        if cell == "":
            continue
        if not name:
            detail = f"The first line names no column for cell {place + 1}, which is not empty"
            raise invalid_at(f"#/{index}", f"{detail}{where}")
        values[name] = _value(name, csv_cells.plain(cell) if is_ours else cell)
    return values


def _value(name: str, cell: str) -> Any:
    if name in fields.NUMBERS and (number := _NUMBER.fullmatch(cell)):
        return int(number[1])
    return _tags(cell) if name == "tags" else cell


def _tags(cell: str) -> Any:
    """The tags of a cell: a JSON array, or a list with commas, which a comma may end."""
    if cell.startswith("["):
        try:
            return json.loads(cell)
        except (ValueError, RecursionError):
            if cell.startswith('["') or "]" not in cell:
                # The cell is a broken array, not a tag that begins with a bracket: validation refuses the
                # text.
                return cell
    return [tag for tag in (each.strip() for each in cell.split(",")) if tag]


def _checked(rows: Iterable[Any], where: Where, repeats: Sequence[Repeat] = ()) -> list[TaskImport]:
    """The rows as tasks; raises InvalidInput for invalid rows.

    It describes the first problems and counts the others. Reading a row adds to `repeats` if the row has a field
    twice.
    """
    repeated = number = 0
    taken: list[TaskImport] = []
    problems: list[dict[str, str]] = []
    for index, row in enumerate(rows):
        if index == MOST_IMPORTED:
            raise invalid_at("#", f"More than {MOST_IMPORTED:,} tasks: import them in several calls")
        is_told = len(problems) < MOST_PROBLEMS
        task, new, number_of_new = _validated(index, row, is_told=is_told)
        number += number_of_new
        if task is not None:
            taken.append(task)
        new += [
            {"pointer": f"#/{index}/{each.name}", "detail": "Given more than once"}
            for each in repeats[repeated:]
        ]
        number += len(repeats) - repeated
        repeated = len(repeats)
        if is_told:
            problems += [{**each, "detail": each["detail"] + where()} for each in new]
    if problems:
        raise invalid_input(problems, number)
    return taken


def _validated(index: int, row: Any, *, is_told: bool) -> tuple[TaskImport | None, list[dict[str, str]], int]:
    """The task of a row, or None; its problems, if they are to be told; and their number."""
    if new := _too_large(index, row):
        return None, new, len(new)
    try:
        task = _TASK.validate_python(row)
    except ValidationError as error:
        return None, _refused(index, row, error) if is_told else [], error.error_count()
    new = list(_contradictions(index, task))
    return task, new, len(new)


def _too_large(index: int, row: Any) -> list[dict[str, str]]:
    """The problem of a row with too many fields, or of a list in it: validation would describe each of them."""
    if not isinstance(row, dict):
        return []
    found: list[tuple[tuple[str | int, ...], str]] = []
    if len(row) > MOST_FIELDS:
        found.append(((), f"An object may have at most {MOST_FIELDS} fields; this one has {len(row):,}"))
    else:
        found += [
            ((name,), f"An array may have at most {MOST_ELEMENTS:,} elements; this one has {len(value):,}")
            for name, value in row.items()
            if isinstance(value, list) and len(value) > MOST_ELEMENTS
        ]
    return input_problems(
        {"type": "too_large", "loc": ("body", index, *path), "msg": detail} for path, detail in found
    )


def _refused(index: int, row: Any, error: ValidationError) -> list[dict[str, str]]:
    """The problems of a row's fields, or of a row that is no object."""
    if not isinstance(row, dict):
        detail = 'A JSON object is expected, such as {"title": "Write the report"}'
        return [{"pointer": f"#/{index}", "detail": detail}]
    found = [
        {**each, "loc": ("body", index, *each["loc"])}
        for each in error.errors(include_input=False, include_url=False)
    ]
    return input_problems(found[:MOST_PROBLEMS], IMPORTED_FIELDS)


def _contradictions(index: int, task: TaskImport) -> Iterator[dict[str, str]]:
    """The contradictions between fields of a task.

    A state alone determines the status, by a workflow that is not known here: `importing` looks at these.
    """
    if task.completed_at is not None and task.created_at is not None and task.completed_at < task.created_at:
        yield {"pointer": f"#/{index}/completed_at", "detail": "Is earlier than created_at"}
    if (task.blocked_at is None) != (task.blocked_reason is None):
        missing = "blocked_at" if task.blocked_at is None else "blocked_reason"
        yield {
            "pointer": f"#/{index}/{missing}",
            "detail": "A blocked task has blocked_at and blocked_reason",
        }
    if not leaves_status_open(task):
        yield from against_status(index, task, task.status)


def leaves_status_open(task: TaskImport) -> bool:
    """Whether the task's status is that of its state, which the workflow knows."""
    return task.state is not None and "status" not in task.model_fields_set


def against_status(index: int, task: TaskImport, status: str) -> Iterator[dict[str, str]]:
    """The contradictions between fields of a task and its status."""
    if task.completed_at is not None and status != "completed":
        detail = f"The task is {status}: only completed tasks have it"
        yield {"pointer": f"#/{index}/completed_at", "detail": detail}
    if task.blocked_at is not None and task.blocked_reason is not None and status == "completed":
        yield {"pointer": f"#/{index}/blocked_at", "detail": "A completed task can't be blocked"}
