"""Joining parts of filters by `and` and `or`, so that at most a few tests of each field are left.

Views and filters together often ask for the same field twice. Lists and ranges of a field become one, a part that others
imply is dropped, and parts that contradict each other match nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace as with_changes
from typing import Any

from services.query.facts import (
    EVERYTHING,
    NOTHING,
    AllOf,
    AnyOf,
    Contains,
    Fact,
    Normal,
    OneOf,
    Present,
    Test,
    Within,
)
from services.query.fields import Field


def all_of(parts: Iterable[Normal]) -> Normal:
    """All of the parts."""
    return _joined(parts, AllOf, AnyOf)


def any_of(parts: Iterable[Normal]) -> Normal:
    """Any of the parts."""
    return _joined(parts, AnyOf, AllOf)


def opposite(normal: Normal) -> Normal:
    """The filter that matches exactly the tasks that this one does not."""
    if isinstance(normal, Test):
        return Test(normal.fact, not normal.holds)
    parts = [opposite(part) for part in normal.parts]
    return any_of(parts) if isinstance(normal, AllOf) else all_of(parts)


def parts_of(normal: Normal) -> tuple[Normal, ...]:
    """The parts that are all true of a task."""
    return normal.parts if isinstance(normal, AllOf) else (normal,)


def decided(test: Test, *, is_true: bool) -> Normal:
    """The test in a place where its fact is known to be true of every task, or of none."""
    return EVERYTHING if test.holds == is_true else NOTHING


def replaced(normal: Normal, replace: Callable[[Test], Normal]) -> Normal:
    """The same filter, with each test replaced by the result of `replace`."""
    if isinstance(normal, Test):
        return replace(normal)
    parts = [replaced(part, replace) for part in normal.parts]
    return all_of(parts) if isinstance(normal, AllOf) else any_of(parts)


def _joined(parts: Iterable[Normal], joined: Any, other: Any) -> Normal:
    flat: dict[Normal, None] = {}
    for part in parts:
        if part == other(()):
            return part
        for each in part.parts if isinstance(part, joined) else (part,):
            flat[each] = None
    by_field: dict[str, list[Test]] = {}
    for part in flat:
        if isinstance(part, Test):
            by_field.setdefault(part.fact.field.name, []).append(part)
    found: list[Normal] = []
    for tests in by_field.values():
        left = tests if len(tests) == 1 else _of_field(tests, all_hold=joined is AllOf)
        if left is None:
            return other(())  # type: ignore[no-any-return]  # one of the two classes
        found += left
    found += [part for part in flat if not isinstance(part, Test)]
    return found[0] if len(found) == 1 else joined(tuple(found))


def _of_field(tests: list[Test], *, all_hold: bool) -> list[Test] | None:
    """Fewer tests of one field that say the same; None if they contradict each other, or one of them always holds."""
    field = tests[0].fact.field
    if all_hold:
        return _all_of_field(field, tests)
    # Any of some tests is true exactly if not all of their opposites are.
    left = _all_of_field(field, [Test(test.fact, not test.holds) for test in tests])
    return None if left is None else [Test(test.fact, not test.holds) for test in left]


def _all_of_field(field: Field, tests: list[Test]) -> list[Test] | None:
    """Fewer tests of one field that say the same as all of these; None if no value fulfils all."""
    facts = [test.fact for test in tests if test.holds]
    refused = [test.fact for test in tests if not test.holds]
    is_there = Present(field)
    if any(fact in refused for fact in facts) or (is_there in refused and facts):
        return None
    if is_there in refused:
        # A missing value fulfils every opposite.
        return [Test(is_there, holds=False)]
    if len(facts) > 1:
        facts = [fact for fact in facts if fact != is_there]
    lists = _lists(field, _of(OneOf, facts), _of(OneOf, refused))
    ranges = _ranges(field, _of(Within, facts), _of(Within, refused))
    if lists is None or ranges is None:
        return None
    if Test(is_there, holds=False) in ranges:
        return None if facts else [Test(is_there, holds=False)]
    return [*lists, *ranges, *(test for test in tests if isinstance(test.fact, Contains))] + [
        Test(fact) for fact in facts if fact == is_there
    ]


def _of(kind: Any, facts: Iterable[Fact]) -> list[Any]:
    return [fact for fact in facts if isinstance(fact, kind)]


def _lists(field: Field, lists: list[OneOf], refused: list[OneOf]) -> list[Test] | None:
    """The values that a field may have, and those that it must not have."""
    without = {value for each in refused for value in each.values}
    values = [set(each.values) - without for each in lists]
    if values and field.kind != "tags":
        # A task has one value of any other field.
        values, without = [set.intersection(*values)], set()
    if not all(values):
        return None
    tests = [Test(OneOf(field, tuple(sorted(each)))) for each in values]
    return [*tests, Test(OneOf(field, tuple(sorted(without))), holds=False)] if without else tests


def _ranges(field: Field, ranges: list[Within], refused: list[Within]) -> list[Test] | None:
    """The range that a field lies in, and those that it lies outside of."""
    outside = _apart(refused)
    if not ranges:
        if any(each.start is None and each.behind is None for each in outside):
            return [Test(Present(field), holds=False)] if field.nullable else None
        return [Test(each, holds=False) for each in outside]
    starts = [each.start for each in ranges if each.start is not None]
    ends = [each.behind for each in ranges if each.behind is not None]
    inside = Within(field, max(starts, default=None), min(ends, default=None))
    left = []
    for each in outside:
        if not _overlap(each, inside):
            continue
        from_start = each.start is None or (inside.start is not None and each.start <= inside.start)
        to_end = each.behind is None or (inside.behind is not None and each.behind >= inside.behind)
        if from_start and to_end:
            return None
        if from_start:
            inside = with_changes(inside, start=each.behind)
        elif to_end:
            inside = with_changes(inside, behind=each.start)
        else:
            left.append(Test(each, holds=False))
    if inside.is_bounded and inside.start >= inside.behind:
        return None
    return [Test(inside), *left]


def _overlap(one: Within, other: Within) -> bool:
    return all(
        first.start is None or second.behind is None or first.start < second.behind
        for first, second in ((one, other), (other, one))
    )


def _apart(ranges: list[Within]) -> list[Within]:
    """The ranges of one field in their order, those that touch each other as one."""
    apart: list[Within] = []
    for each in sorted(ranges, key=lambda each: (each.start is not None, each.start or 0)):
        last = apart[-1] if apart else None
        if last is None or not (last.behind is None or each.start is None or each.start <= last.behind):
            apart.append(each)
        elif last.behind is not None and (each.behind is None or each.behind > last.behind):
            apart[-1] = with_changes(last, behind=each.behind)
    return apart
