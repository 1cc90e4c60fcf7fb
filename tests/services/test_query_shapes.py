"""The shapes of filters: what is cheap to decide for a task comes before what is dear, and decides without it."""

import random
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from services.query import guards, syntax
from services.query.evaluate import matches
from services.query.facts import Normal
from services.query.normal import Circumstances, normalize
from services.query.rare_parts import rare_part
from services.query.shapes import most_alternatives, shaped
from tests.support.filters import RandomFilters, Vocabulary, random_task

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
    assert spelled("title ~ report") == ("contains", "title", True, ("port",), ("report",))


def test_searches_in_one_field_are_one() -> None:
    found = spelled("title ~ report or title ~ zebra or title ~ 'a port' or title ~ this or priority = 1")
    others = ("contains", "title", True, (), ("zebra", "this"))
    with_rare_part = ("contains", "title", True, ("port",), ("report", "a port"))
    assert found == ("or", (("equal", "priority", True, 1), others, with_rare_part))


def test_one_search_for_all_texts_keeps_from_many() -> None:
    parts = [("zebra", 1), ("quarter", 2), ("yak", 3)]
    found = spelled(" or ".join(f"title ~ {text} and id = {number}" for text, number in parts))
    each = tuple(
        ("and", (("equal", "id", True, number), ("contains", "title", True, (), (text,))))
        for text, number in parts
    )
    ids, texts = ("in", "id", True, [1, 2, 3]), ("contains", "title", True, (), ("zebra", "quarter", "yak"))
    assert found == ("and", (ids, ("or", (texts,)), ("or", each)))


def test_the_alternatives_of_the_longest_part_are_counted() -> None:
    alternatives = {
        "id = 1": 1,
        "id = 1 and title ~ a": 1,
        "id > 5 and (priority = 1 or id < 2 or title = b)": 3,
    }
    assert {text: most_alternatives(shaped(normal(text)).shape) for text in alternatives} == alternatives


def test_no_search_comes_before_parts_that_decide_without_it() -> None:
    texts = ("zebra", "quarter", "yak")
    found = spelled(" or ".join(f"title ~ {text} and (id = 1 or title ~ this)" for text in texts[:2]))
    assert found[0] == "or"
    found = spelled(" or ".join(f"title !~ {text} and id = 1" for text in texts))
    assert found[0] == "or"


def test_what_keeps_from_dear_tests_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guards, "FEWEST_GUARDED", 1)
    chance = random.Random(20261128)  # noqa: S311  # a test that can be run again
    filters = RandomFilters(chance, Vocabulary(fields=("title", "description", "priority", "tag")))
    kept = 0
    for _ in range(300):
        plain = normal(filters.filter(8))
        guarded = guards.guarded(plain)
        kept += guarded != plain
        for _ in range(5):
            task = {"description": None, **random_task(chance)}
            assert matches(guarded, task) == matches(plain, task)
    assert kept > 50
