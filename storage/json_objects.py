"""Reading JSON objects strictly: a field that stands twice in an object is found, not overwritten.

Larger objects and arrays are refused before they are validated.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

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
