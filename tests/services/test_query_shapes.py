"""The shapes of filters: what is cheap to decide for a task comes before what is dear, and decides without it."""

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.query import syntax
from services.query.normal import Circumstances, Normal, normalize
from services.query.rare_parts import rare_part
from services.query.shapes import shaped

NOW = datetime(2026, 11, 27, tzinfo=UTC)


def normal(text: str) -> Normal:
    return normalize(syntax.parse(text), Circumstances(NOW, ZoneInfo("UTC"), 1, {}))


def spelled(text: str) -> Any:
    """The shape of a filter, with the values of its parameters in the place of their names."""
    shape, values = shaped(normal(text))

    def with_values(part: Any) -> Any:
        if isinstance(part, tuple):
            return tuple(map(with_values, part))
        return values.get(part, part)

    return with_values(shape)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("equal", "qual"),
        ("tax", "x"),
        ("report", "port"),
        ("estimate", "mate"),
        # Most tasks have an `m` or a digit, and all letters of these words are frequent.
        ("im", None),
        ("e 5", None),
        ("thesis", None),
        # These begin with a rare letter.
        ("quarter", None),
        ("zebra", None),
        ("éq", None),
        ("", None),
    ],
)
def test_the_rare_part_of_a_text_begins_with_its_rarest_letter(text: str, part: str | None) -> None:
    assert rare_part(text) == part


def test_a_rare_part_is_looked_for_before_the_whole_text() -> None:
    first, whole = ("contains", "title", True, "port"), ("contains", "title", True, "report")
    assert spelled("title ~ report") == ("and", (first, whole))


def test_a_text_is_not_there_if_its_rare_part_is_not() -> None:
    first, whole = ("contains", "title", False, "port"), ("contains", "title", False, "report")
    assert spelled("title !~ report") == ("or", (first, whole))


def test_searches_in_one_field_are_one() -> None:
    found = spelled("title ~ report or title ~ zebra or title ~ 'a port' or title ~ this or priority = 1")
    rare = ("contains", "title", True, "port")
    whole = ("contains", "title", True, "report", "a port")
    others = ("contains", "title", True, "zebra", "this")
    assert found == ("or", (("equal", "priority", True, 1), others, ("and", (rare, whole))))
