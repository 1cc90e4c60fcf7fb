"""Reading JSON objects strictly: a field that stands twice in an object is found, not overwritten.

Larger objects and arrays are refused before they are validated. Values of the columns with JSON are written here too.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

MOST_FIELDS = 100
MOST_ELEMENTS = 1000


class Repeat(NamedTuple):
    """An object that has a field twice, and the name of the field."""

    fields: dict[str, Any]
    name: str


def each_field_once(repeats: list[Repeat]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """An `object_pairs_hook` for `json` that adds each object with a repeated field to `repeats`."""

    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        fields = dict(pairs)
        if len(fields) < len(pairs):
            names = Counter(name for name, _ in pairs)
            repeats.append(Repeat(fields, names.most_common(1)[0][0]))
        return fields

    return made


def json_text(value: Any) -> str:
    """The value as JSON, for a column."""
    # orjson writes times as RFC 3339 with a `Z`. It is the fastest JSON writer, and every change writes JSON.
    return orjson.dumps(value, option=orjson.OPT_UTC_Z).decode()
