"""Turning an answer into the rows of a table, for spreadsheets."""

import csv
import io
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from services.flow.statistics import PERCENTILES
from services.tasks.csv_cells import formula_free
from storage.column_types import rfc3339

# The lists of answers that become tables.
LISTS = ("intervals", "statuses", "tasks")


def rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of an answer, each a flat dict of the same columns."""
    if "current" in answer:
        return [
            {"which": which, **_flat({name: part for name, part in answer[which].items() if name != "links"})}
            for which in ("current", "previous")
        ]
    if "basis" in answer:
        return _forecast_rows(answer)
    name = next(name for name in LISTS if name in answer)
    return [dict(row) for row in answer[name]]


def _forecast_rows(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    asked = {"remaining": answer["remaining"], "until": answer["until"]}
    found = answer["done_by"] or answer["how_many"]
    name = "done_by" if answer["done_by"] else "how_many"
    return [{**asked, "percentage": chance, name: found[f"p{chance}"]} for chance in PERCENTILES]


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{name}_")
        else:
            found[prefix + name] = value
    return found


def to_csv(answer: Mapping[str, Any], columns: Sequence[str]) -> bytes:
    """The table as CSV; each row ends with the answer's `as_of` and `n`. An empty table needs its columns."""
    table = rows(answer)
    columns = columns or list(table[0])
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([*columns, "as_of", "n"])
    whole = [_cell(answer["as_of"]), answer["n"]]
    for row in table:
        writer.writerow([*(_cell(row[name]) for name in columns), *whole])
    return out.getvalue().encode()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    return formula_free(value) if isinstance(value, str) else value
