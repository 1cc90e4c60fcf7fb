"""Splitting a filter in its normal form into its shape and its values.

The text of the SQL depends on the shape alone, so statements are kept by their shape.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypeAlias

from services.query.facts import EVERYTHING, AllOf, Contains, Normal, OneOf, Present, Test, Within
from services.query.guards import cost, guarded
from services.query.joining import replaced
from services.query.rare_parts import rare_part
from storage.folding import fold, pattern

# The tasks that are searched: with an owner or a project an index finds the tags.
Scope = Literal["owner", "project", "all"]
# A shape is one of these two:
#   ("and" | "or", the shapes of its parts)
#   (kind, field, whether the fact must hold, names of parameters)
# A search has two lists of names: rare parts of its texts, which are looked for first, and the texts themselves.
Shape: TypeAlias = tuple[Any, ...]
# From this number of ranges of one column on, they are tested by halves, which uses no index. The first number is for
# ranges that an index may find, the second for all others.
MANY_RANGES, MANY_WITHIN = 16, 4
# The shape of a filter that no task matches.
NEVER: Shape = ("or", ())
# The kinds of tests for a text, one for texts with letters that have a meaning in patterns.
CONTAINS, ESCAPED = CONTAINING = ("contains", "contains escaped")
# Texts that are stored as they were sent, so that comparisons use their normal form.
FOLDED = ("title", "description")


class Place(NamedTuple):
    """The tasks in question: an owner's, a project's, or without both everybody's."""

    owner_id: int | None = None
    project_id: int | None = None

    @property
    def scope(self) -> Scope:
        if self.project_id is not None:
            return "project"
        return "all" if self.owner_id is None else "owner"


class Shaped(NamedTuple):
    """A filter, split into its shape and its values by the names of their parameters."""

    shape: Shape
    values: dict[str, Any]


def shaped(normal: Normal, marks: Mapping[Test, str] = MappingProxyType({})) -> Shaped:
    """Split a filter into its shape and its values.

    A test of tags may be marked: `frequent` if very many tasks have them, and `seen` if each task that is looked at
    is to be asked for its tags. That is for Postgres; on SQLite such a test is `noted`, and each task is asked once
    for all of these.
    """
    normal = guarded(normal)
    values: dict[str, Any] = {}

    def take(value: Any) -> str:
        name = f"f{len(values)}"
        values[name] = value
        return name

    noted = {test for test, mark in marks.items() if mark == "noted"}
    if not noted:
        return Shaped(_shape(normal, take, marks), values)

    def without_effort(test: Test) -> Normal:
        return EVERYTHING if test in noted or isinstance(test.fact, Contains) else test

    # Tasks that can't match are not asked for their tags.
    first = _shape(replaced(normal, without_effort), take, marks)
    tags = sorted({tag for test in noted for tag in tags_of(test)})
    bits = {tag: 1 << place for place, tag in enumerate(tags)}
    noting = ("noting", "tag", True, tuple(map(take, tags)), _shape(normal, take, marks, bits))
    return Shaped(("and", (first, noting)), values)


def tags_of(part: Normal) -> tuple[str, ...]:
    """The tags that a test looks for."""
    fact = part.fact if isinstance(part, Test) else None
    return fact.values if isinstance(fact, OneOf) and fact.field.name == "tag" else ()


def _shape(
    normal: Normal,
    take: Callable[[Any], str],
    marks: Mapping[Test, str],
    bits: Mapping[str, int] = MappingProxyType({}),
    *,
    is_outer: bool = True,
) -> Shape:
    if isinstance(normal, Test):
        if marks.get(normal) == "noted":
            return ("noted", "tag", normal.holds, take(sum(bits[tag] for tag in tags_of(normal))))
        kind, *more = _shape_of_test(normal, take)
        return (f"{marks[normal]} {kind}" if normal in marks else kind, *more)
    word = "and" if isinstance(normal, AllOf) else "or"
    shapes: list[Shape] = []
    parts = sorted(normal.parts, key=lambda part: (cost(part), _alike(part, word)))
    for (kind, _), some in groupby(parts, lambda part: _alike(part, word)):
        same = list(some)
        if kind == "search":
            shapes += _shapes_of_searches(same, take)
        elif kind == "range" and len(same) >= (MANY_RANGES if is_outer else MANY_WITHIN):
            shapes.append(_shape_of_ranges(same, take))
        else:
            within = is_outer and word == "and"
            shapes += [_shape(part, take, marks, bits, is_outer=within) for part in same]
    return (word, tuple(shapes))


def _alike(part: Normal, word: str) -> tuple[str, str]:
    """The kind and field of parts that become one: ranges, which the normal form keeps in their order, and searches."""
    if not isinstance(part, Test) or part.holds != (word == "or"):
        return "", ""
    fact = part.fact
    if isinstance(fact, Contains):
        return "search", fact.field.name
    return ("range", fact.field.name) if isinstance(fact, Within) and fact.is_bounded else ("", "")


def _shape_of_ranges(ranges: list[Any], take: Callable[[Any], str]) -> Shape:
    bounds = [bound for test in ranges for bound in (test.fact.start, test.fact.behind)]
    return ("within any", ranges[0].fact.field.name, ranges[0].holds, *map(take, bounds))


def _shape_of_test(test: Test, take: Callable[[Any], str]) -> Shape:
    fact, name, holds = test.fact, test.fact.field.name, test.holds
    if isinstance(fact, Present):
        return ("present", name, holds)
    if isinstance(fact, Contains):
        return _shapes_of_searches([test], take)[0]
    if isinstance(fact, OneOf):
        kind, values = ("equal", fact.values[0]) if len(fact.values) == 1 else ("in", list(fact.values))
        names = [take(values)]
        if fact.field.name in FOLDED:
            folded = sorted({fold(value) for value in fact.values})
            names.append(take(folded[0] if kind == "equal" else folded))
            if fact.field.name == "description" and kind == "in":
                names += [
                    take(sorted({len(each.encode()) for each in same})) for same in (fact.values, folded)
                ]
        return (kind, name, holds, *names)
    start = None if fact.start is None else take(fact.start)
    behind = None if fact.behind is None else take(fact.behind)
    return ("within", name, holds, start, behind)


def _shapes_of_searches(searches: Sequence[Any], take: Callable[[Any], str]) -> list[Shape]:
    """The searches in the same field as one, for which its text is prepared once; texts with a rare part as another."""
    name, holds = searches[0].fact.field.name, searches[0].holds
    parts = {test.fact.text: rare_part(test.fact.text) for test in searches}
    shapes: list[Shape] = []
    for is_rare in (False, True):
        texts = [text for text, part in parts.items() if (part is not None) == is_rare]
        if texts:
            # An ESCAPE clause takes SQLite a third longer, so only patterns with an escaped letter have it.
            kind = ESCAPED if any("\\" in pattern(text) for text in texts) else CONTAINS
            rare = sorted({part for text, part in parts.items() if part is not None and text in texts})
            shapes.append((kind, name, holds, tuple(map(take, rare)), tuple(map(take, texts))))
    return shapes


def most_alternatives(shape: Shape) -> int:
    """The number of parts of the longest `or` in a filter."""
    if shape[0] not in ("and", "or"):
        return 1
    return max([len(shape[1]) if shape[0] == "or" else 1, *map(most_alternatives, shape[1])])


def texts_in_descriptions(shape: Shape) -> int:
    """The number of texts that a filter looks for in the description: Postgres prepares it for several only once."""
    if shape[0] in ("and", "or"):
        return sum(map(texts_in_descriptions, shape[1]))
    if shape[1] != "description" or shape[0] not in CONTAINING:
        return 0
    return len(shape[-1])
