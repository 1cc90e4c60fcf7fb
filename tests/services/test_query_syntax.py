"""Parsing filters: their meaning, and the position of a mistake. These tests need no database."""

import random
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy.dialects import postgresql

from services.query import fields, syntax
from services.query.conditions import condition
from services.query.evaluate import matches
from services.query.fields import FIELDS, table
from services.query.normal import Circumstances, normalize
from services.query.refusal import InvalidFilter
from services.query.shapes import shaped
from tests.support.broken_filters import BOMBS, BrokenFilters, first_mistake
from tests.support.filters import ZONES, Oracle, RandomFilters, Vocabulary, random_task

NOW = datetime(2026, 11, 27, 23, 59, 59, 999_999, tzinfo=UTC)


def refused(text: str) -> InvalidFilter:
    with pytest.raises(InvalidFilter) as caught:
        syntax.parse(text)
    return caught.value


@pytest.mark.parametrize(
    ("text", "place", "met"),
    [
        ("", 0, "met the end"),
        ("   ", 3, "met the end"),
        ("id = 1 and", 10, "met the end"),
        ("(id = 1", 7, "met the end"),
        ("id = 1)", 6, "met `)`"),
        ("status = and", 9, "met `and`"),
        ("and = 1", 0, "met `and`"),
        ("tag in (a, AND)", 11, "met `AND`"),
        ("tag in ()", 8, "met `)`"),
        ("tag in (a,)", 10, "met `)`"),
        ("tag in (a b)", 10, "met `b`"),
        ("title == b", 7, "met `=`"),
        ("title <> b", 6, "met `<`"),
        ("due <> b", 5, "met `>`"),
        ("title = b c", 10, "met `c`"),
        ("title ! b", 6, "met `!`"),
        ('title = "x', 8, "nothing closes"),
        (r'title = "a\d"', 10, r"met `\d`"),
        ("foo = 1", 0, "no field"),
        ("nonsense", 0, "no field"),
        ("id = 1 and 😀 id = 2", 11, "no field"),
        # A letter that folds to a letter of a field or keyword is not that letter.
        ("ıd = 1", 0, "no field"),
        ("ſtatus = pending", 0, "no field"),
        ("id IſN (1)", 3, "met `IſN`"),
        # The position is that in the text as it was sent, before it is normalized.
        ("title = 'A\u030a' or x", 16, "no field"),
        ("id < 1\0", 6, "NUL"),
        ("title < a", 6, "after `title` could stand `=`"),
        ("id ~ 1", 3, "after `id` could stand `=`"),
        ("blocked > true", 8, "met `>`"),
        ("id = one", 5, "a whole number"),
        ("id = 1.5", 5, "a whole number"),
        ("id = 9223372036854775808", 5, "below 2^63"),
        ("id = -9223372036854775809", 5, "below 2^63"),
        ("blocked = maybe", 10, "`true` or `false`"),
        ("status in (pending, done)", 20, "one of pending, in_progress, completed"),
        ("due = soon", 6, "a day, a time"),
        ("due = 2026-02-30", 6, "no such day"),
        ("due = 2026-11-26T24:30:00Z", 6, "no such day or time"),
        ("due = 2026-11-26T24:00:00Z", 6, "no such day or time"),
        ("due = today+", 6, "a day, a time"),
        ("due < today 7d", 12, "%2B"),
        ("due < 2026-09-25T00:00:00 02:00", 26, "%2B"),
        ('due < "2026-09-25T00:00:00 02:00"', 6, "%2B"),
        ("due < 2026-09-25t00:00:00.5 02:00 and id = 1", 28, "%2B"),
        ("due < today+7d+2h", 6, "a day, a time"),
        ('title ~ ""', 8, "empty"),
        ("title ~ a b", 10, "met `b`"),
        ("x" * 2001, 2000, "2,000 characters"),
        ("(" * 21 + "id=1" + ")" * 21, 20, "20 deep"),
        ("not " * 21 + "id=1", 80, "20 deep"),
        (" or ".join(["id=1"] * 51), 400, "50 comparisons"),
        (" or ".join(["title~a"] * 11), 110, "10 comparisons of `title`"),
        (" or ".join(["description!~a"] * 4), 54, "3 comparisons of `description`"),
        ("id in (" + ",".join("1" * 101) + ")", 207, "100 values"),
        # The error names the first of several mistakes.
        ("status = done and (id ~ 1 or", 9, "one of pending"),
        ("tag = a and (id ~", 16, "after `id` could stand"),
        ("id = x or title is", 5, "a whole number"),
        ("(" * 2000, 20, "20 deep"),
        ("id in (x," + ",".join("1" * 101) + ")", 7, "a whole number"),
        (r'title "a\d" and', 6, "`=`"),
        ("title 'x", 6, "`=`"),
    ],
)
def test_what_can_not_be_read_is_refused_at_its_place(text: str, place: int, met: str) -> None:
    error = refused(text)
    assert (error.code, error.place) == ("invalid_filter", place)
    assert met in error.detail
    (problem,) = error.errors
    assert problem["pointer"] == "?filter"
    assert problem["detail"].startswith(f"Position {place}: ")


@pytest.mark.parametrize(
    "text",
    [
        "(" * 20 + "id=1" + ")" * 20,
        "not " * 20 + "id=1",
        " or ".join(["id=1"] * 50),
        " or ".join(["title~a"] * 10 + ["description~a"] * 3 + ["tag~a"] * 30),
        "id in (" + ",".join("1" * 100) + ")",
        "title = '" + "x" * 1990 + "'",
    ],
)
def test_the_limits_themselves_are_within_them(text: str) -> None:
    syntax.parse(text)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("STATUS = pending AND ID = 1", "status = pending and id = 1"),
        ("id = 1 or id = 2 and id = 3", "id = 1 or (id = 2 and id = 3)"),
        ("not id = 1 and id = 2", "(not id = 1) and id = 2"),
        ("priority=3", 'priority = "3"'),
        ("priority = 3.0", "priority = 3"),
        ("due = today+7d", "due = 'today + 7D'"),
        ("due<now-2h", "due < NOW - 2H"),
        ('owner = "@ME"', "owner = @me"),
        ("owner = @Ada", "owner = ada"),
        ("blocked=TRUE", "blocked = true"),
        (r'title = "a\"\\b"', r"""title = 'a"\\b'"""),
        ("title = A\u030a", "title = Å"),
        ("project = ' Research '", "project = Research"),
        ("due = 2026-11-26t10:00:00z", "due = 2026-11-26T10:00:00Z"),
        ("due in (2026-11-27, 2026-11-26, 2026-11-26T10:00:00Z)", "due = 2026-11-26 or due = 2026-11-27"),
        ("due = 2026-11-26T10:00:00.1234567Z", "due = 2026-11-26T10:00:00.123456Z"),
        ("title\n=\tx\u00a0", "title = x"),
    ],
)
def test_the_same_is_said_in_several_ways(text: str, same: str) -> None:
    where = Circumstances(NOW, ZoneInfo("UTC"), 1, {})
    assert normalize(syntax.parse(text), where) == normalize(syntax.parse(same), where)


@pytest.mark.parametrize("word", ["and", "or", "not", "in", "is", "null", "NULL"])
def test_words_of_the_language_are_values_in_quotes(word: str) -> None:
    assert "a value could stand there" in refused(f"tag = {word}").detail
    assert syntax.parse(f"tag = '{word}'").values == (word,)  # type: ignore[union-attr]
    assert syntax.parse(f"tag = {word}s").values == (f"{word}s",)  # type: ignore[union-attr]


def test_every_field_has_an_example_for_each_operator() -> None:
    examples = [example for _, _, example in table()]
    assert len(examples) == len(set(examples)) == sum(len(field.operators) for field in FIELDS.values())
    for name, operator, example in table():
        node = syntax.parse(example)
        assert (node.field.name, node.operator) == (name, operator)  # type: ignore[union-attr]
    for field in FIELDS.values():
        for operator in {"<", "~", "="} - set(field.operators):
            assert refused(f"{field.name} {operator} {field.example}").place == len(field.name) + 1


def test_the_guide_shows_the_grammar_and_the_fields_as_they_are() -> None:
    chapter = (Path(__file__).parents[2] / "docs" / "guide" / "04-asking.md").read_text()
    for part in (fields.markdown(), fields.meanings(), f"```lark\n{syntax.GRAMMAR}```"):
        assert part in chapter
    for _, _, example in table():
        assert f"`{example}`" in chapter


@pytest.mark.parametrize(
    "text",
    [
        "due < today+99999999999d",
        "due > now-9999y",
        "due = 9999-12-31T23:30:00-01:00",
        "due = now+999999999999mo",
    ],
)
def test_times_beyond_the_calendar_are_refused(text: str) -> None:
    with pytest.raises(InvalidFilter, match=r"Position 6: the calendar ends"):
        normalize(syntax.parse(text), Circumstances(NOW, ZoneInfo("UTC"), 1, {}))


def judged(filters: RandomFilters, chance: random.Random, count: int) -> int:
    """The number of tasks that `count` filters find among ten each, all judged as by the plain reading."""
    extra = {"id": 7, "user_id": 1, "project_id": None, "state": "review"}
    found = 0
    for _ in range(count):
        text, tz = filters.filter(6), chance.choice(ZONES)
        oracle = Oracle(NOW, tz, 1, {"ada": 1})
        normal = normalize(syntax.parse(text), Circumstances(NOW, ZoneInfo(tz), 1, {"ada": 1}))
        for _ in range(10):
            task = {"due_at": None, "completed_at": None, "description": None, **random_task(chance), **extra}
            task.setdefault("blocked_at", None)
            task["project_id"] = chance.choice((None, 3))
            times = ("due_at", "created_at", "updated_at", "completed_at", "blocked_at")
            parsed = {
                name: datetime.fromisoformat(value) if name in times and value else value
                for name, value in task.items()
            }
            expected = oracle.finds(text, task)
            found += expected
            assert matches(normal, parsed) == expected, (text, tz, task)
    return found


def test_a_task_is_judged_as_by_the_plain_reading_of_the_filter() -> None:
    chance = random.Random(20261127)  # noqa: S311  # a test that can be run again
    assert 400 < judged(RandomFilters(chance), chance, 400) < 3600


@pytest.mark.parametrize("count", [60, pytest.param(200, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("field", FIELDS)
def test_tests_of_one_field_are_joined_into_what_they_say_together(field: str, count: int) -> None:
    chance = random.Random(field)  # noqa: S311  # a test that can be run again
    judged(RandomFilters(chance, Vocabulary(fields=[field])), chance, count)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("priority > 3 and priority < 2", "id < 1 and id > 1"),
        ("tag = a and tag != a", "id < 1 and id > 1"),
        ("title ~ a and title !~ a", "id < 1 and id > 1"),
        ("due < today and due is null", "id < 1 and id > 1"),
        ("project in (a, b, c) and project in (b, c, d) and project != c", "project = b"),
        ("project not in (a, b) or project != b", "project != b"),
        ("tag in (a, b) and tag not in (b, c)", "tag = a and tag not in (b, c)"),
        ("priority >= 1 and priority <= 3 and priority > 1", "priority > 1 and priority < 4"),
        ("priority < 1 or priority < 3 or priority > 5", "priority > 5 or priority < 3"),
        ("due >= yesterday and due <= tomorrow and due != yesterday", "due in (tomorrow, today)"),
        ("due < today or due >= yesterday", "due is not null"),
        ("not (due < today) and not (due >= yesterday)", "due is null"),
        ("due is not null and due < today", "due < today"),
        ("due != today and due is null", "due is null"),
    ],
)
def test_what_is_said_of_one_field_twice_is_tested_once(text: str, same: str) -> None:
    around = Circumstances(NOW, ZoneInfo("UTC"), 1, {})
    assert normalize(syntax.parse(text), around) == normalize(syntax.parse(same), around)


def calls_to_parse(text: str) -> tuple[int, InvalidFilter | None]:
    """The number of function calls until a text is parsed or refused, and the refusal."""
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        syntax.parse(text)
    except InvalidFilter as error:
        return calls, error
    finally:
        sys.setprofile(None)
    return calls, None


def test_refusing_takes_work_that_grows_with_the_length_alone() -> None:
    broken = BrokenFilters(random.Random(7))  # noqa: S311  # a test that can be run again
    for text in (*BOMBS, *(broken.filter() for _ in range(300))):
        calls, refusal = calls_to_parse(text)
        # About 40 calls a character are usual. Reading again at every step would take far more for the long texts.
        assert calls < 500 + 100 * len(text), text[:80]
        assert refusal is not None or text not in BOMBS


def test_broken_filters_are_refused_at_their_first_mistake() -> None:
    broken = BrokenFilters(random.Random(7))  # noqa: S311  # a test that can be run again
    refusals = 0
    for _ in range(500):
        text = broken.filter()
        place = first_mistake(text)
        if place is None:
            syntax.parse(text)
        else:
            error = refused(text)
            assert error.place == place, (text, error.detail)
            refusals += 1
    assert refusals > 300


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("description ~ a", 1),
        ("description ~ a or description ~ b or title ~ c", 1),
        (
            "(description ~ a and id > 1) or not (description ~ b or id > 2) or (description ~ c and id > 3)",
            1,
        ),
        ("title ~ c and (id = 1 or (description ~ a and not description ~ b)) and priority > 2", 1),
        ("title ~ a or state ~ b", 0),
    ],
)
def test_postgres_prepares_a_description_once(text: str, times: int) -> None:
    normal = normalize(syntax.parse(text), Circumstances(NOW, ZoneInfo("UTC"), 1, {}))
    sql = str(condition(shaped(normal).shape, "owner").compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
    assert sql.count("lower(tasks.description") == times
