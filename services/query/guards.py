"""The cost of the parts of a filter for each task, and guards that spare the databases expensive parts."""

from typing import Any

from services.query.facts import AllOf, AnyOf, Contains, Normal, OneOf, Test
from services.query.joining import all_of, any_of

# A guard is worth its own cost if at least this number of parts have an expensive test of the same kind.
FEWEST_GUARDED = 3
# A guard tests parts twice that cost at most this.
CHEAP = 4
_EXPENSIVE = ((Contains, "description"), (OneOf, "description"), (Contains, "title"), (OneOf, "title"))
_SEARCHES = {"title": 10, "description": 20}
# SQLite finds all tasks with a tag before it tests the first task for it.
_OTHERS = {"description": 8, "tag": 12}


def cost(part: Normal) -> int:
    """The cost of a part: databases check parts in their order, so cheap ones come first."""
    if isinstance(part, AllOf | AnyOf):
        return max((cost(each) for each in part.parts), default=0) + 1
    costs = _SEARCHES if isinstance(part.fact, Contains) else _OTHERS
    return costs.get(part.fact.field.name, 0)


def guarded(normal: Normal) -> Normal:
    """The same filter, in which guards come before parts that each have an expensive test of the same kind.

    If `x`, `y` and `z` are expensive, `a and x or b and y or c and z` becomes `(a or b or c) and (x or y or z) and
    (a and x or b and y or c and z)`. Databases test for any of several texts at once, and most tasks have none. The
    same holds for the opposites, with `and` and `or` exchanged.
    """
    if isinstance(normal, Test):
        return normal
    parts, guards = [guarded(part) for part in normal.parts], []
    nodes = sum(not isinstance(part, Test) for part in parts)
    for kind, name in _EXPENSIVE if nodes >= FEWEST_GUARDED else ():
        some = [part for part in parts if _tests(part, kind, name, holds=isinstance(normal, AnyOf))]
        if len(some) >= FEWEST_GUARDED:
            parts = [part for part in parts if part not in some]
            guards.append(_guard(normal, some, kind, name))
    if not guards:
        return type(normal)(tuple(parts))
    return (any_of if isinstance(normal, AnyOf) else all_of)([*parts, *guards])


def _tests(part: Normal, kind: type, name: str, *, holds: bool) -> list[Normal]:
    """The expensive tests of one kind without which a part decides nothing."""
    if not isinstance(part, AllOf if holds else AnyOf):
        return []
    tests = (each for each in part.parts if isinstance(each, Test) and each.holds == holds)
    return [test for test in tests if isinstance(test.fact, kind) and test.fact.field.name == name]


def _guard(normal: Normal, some: list[Any], kind: type, name: str) -> Normal:
    holds = isinstance(normal, AnyOf)
    join, join_each = (any_of, all_of) if holds else (all_of, any_of)
    cheap = join(join_each(each for each in part.parts if cost(each) <= CHEAP) for part in some)
    expensive = join(test for part in some for test in _tests(part, kind, name, holds=holds))
    each_as_it_is: Any = type(normal)
    return join_each([cheap, expensive, each_as_it_is(tuple(some))])
