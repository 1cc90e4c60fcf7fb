"""The normal form of filters: `and` and `or` of tests, each of which is a fact or the opposite of a fact.

`not` is pushed down to the facts, because databases use no index below a `not`. A missing value fulfils no
fact, and so it fulfils every opposite. Facts about one field are merged if possible, and ranges are in their order.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

from models import LARGEST_ID
from services.query.fields import FIELDS, Field
from services.query.moments import as_range
from services.query.refusal import InvalidFilter
from services.query.tree import And, Comparison, Node, Not
from storage.folding import fold


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values, which are sorted; the field `tag` has any of them."""

    field: Field
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The field lies in a range without its end; None means that the range is open on that side."""

    field: Field
    start: Any
    behind: Any

    @property
    def is_bounded(self) -> bool:
        """Whether the range has both ends."""
        return self.start is not None and self.behind is not None


@dataclass(frozen=True, slots=True)
class Contains:
    """The folded field contains this text, which is folded too."""

    field: Field
    text: str


@dataclass(frozen=True, slots=True)
class Present:
    """The field is not missing."""

    field: Field


Fact: TypeAlias = OneOf | Within | Contains | Present


@dataclass(frozen=True, slots=True)
class Test:
    """A fact, or its opposite."""

    fact: Fact
    so: bool = True


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part is true; without parts, every task matches."""

    parts: tuple["Normal", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part is true; without parts, no task matches."""

    parts: tuple["Normal", ...]


Normal: TypeAlias = Test | AllOf | AnyOf
EVERYTHING, NOTHING = AllOf(()), AnyOf(())


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The facts besides its text that a filter's values depend on."""

    now: datetime
    zone: ZoneInfo
    caller_id: int
    # The ids of the accounts that the filter names, by their names in lower case.
    accounts: Mapping[str, int]


def normalize(node: Node, circumstances: Circumstances) -> Normal:
    """The normal form of a filter, with its values; raises InvalidFilter for times outside the calendar."""
    return _normal(node, circumstances, so=True)


def _normal(node: Node, circumstances: Circumstances, *, so: bool) -> Normal:
    if isinstance(node, Not):
        return _normal(node.part, circumstances, so=not so)
    if isinstance(node, Comparison):
        return _compared(node, circumstances, so=so)
    parts = [_normal(part, circumstances, so=so) for part in node.parts]
    return all_of(parts) if isinstance(node, And) == so else any_of(parts)


def all_of(parts: Iterable[Normal]) -> Normal:
    """All of the parts; lists of values that a field must not have are merged."""
    return _joined(parts, AllOf, AnyOf, merge_so=False)


def any_of(parts: Iterable[Normal]) -> Normal:
    """Any of the parts; lists of values that a field may have are merged."""
    return _joined(parts, AnyOf, AllOf, merge_so=True)


def _joined(parts: Iterable[Normal], joined: Any, other: Any, *, merge_so: bool) -> Normal:
    flat: dict[Normal, None] = {}
    for part in parts:
        if part == other(()):
            return part
        for each in part.parts if isinstance(part, joined) else (part,):
            flat[each] = None
    lists: dict[Field, set[Any]] = {}
    ranges: dict[Field, list[Within]] = {}
    kept: list[Normal] = []
    for part in flat:
        fact = part.fact if isinstance(part, Test) and part.so == merge_so else None
        if isinstance(fact, OneOf):
            lists.setdefault(fact.field, set()).update(fact.values)
        elif isinstance(fact, Within) and fact.is_bounded:
            ranges.setdefault(fact.field, []).append(fact)
        else:
            kept.append(part)
    facts: list[Fact] = [OneOf(field, tuple(sorted(values))) for field, values in lists.items()]
    facts += chain.from_iterable(map(_apart, ranges.values()))
    merged = [Test(fact, merge_so) for fact in facts]
    found = merged + kept
    return found[0] if len(found) == 1 else joined(tuple(found))


def _apart(ranges: list[Within]) -> list[Within]:
    """The ranges of one field in their order, those that touch each other as one."""
    apart: list[Within] = []
    for each in sorted(ranges, key=lambda each: each.start):
        if apart and each.start <= apart[-1].behind:
            apart[-1] = Within(each.field, apart[-1].start, max(apart[-1].behind, each.behind))
        else:
            apart.append(each)
    return apart


_POSITIVE = {"!=": "=", "not in": "in", "!~": "~", "is null": "is not null"}


def _compared(node: Comparison, circumstances: Circumstances, *, so: bool) -> Normal:
    operator = node.operator
    if operator in _POSITIVE:
        operator, so = _POSITIVE[operator], not so
    fact: Normal
    try:
        if operator == "is not null":
            fact = Test(Present(node.field)) if node.field.nullable else EVERYTHING
        elif operator == "~":
            fact = Test(Contains(node.field, fold(str(node.values[0]))))
        elif node.field.kind == "time":
            fact = any_of(_time(node, operator, circumstances))
        elif operator in ("=", "in"):
            fact = _one_of(node, circumstances)
        else:
            assert isinstance(node.values[0], int)
            value = node.values[0]
            fact = _in_order(node.field, operator, value, value + 1 if value < LARGEST_ID else None)
    except (ValueError, OverflowError):
        raise InvalidFilter(node.value_places[0], "the calendar ends before that time") from None
    return fact if so else opposite(fact)


def opposite(normal: Normal) -> Normal:
    """The filter that matches exactly the tasks that this one does not."""
    if isinstance(normal, Test):
        return Test(normal.fact, not normal.so)
    parts = [opposite(part) for part in normal.parts]
    return any_of(parts) if isinstance(normal, AllOf) else all_of(parts)


def _time(node: Comparison, operator: str, circumstances: Circumstances) -> Iterable[Normal]:
    for value, place in zip(node.values, node.value_places, strict=True):
        try:
            start, behind = as_range(value, circumstances.now, circumstances.zone)  # type: ignore[arg-type]  # `literals` reads no other
        except (ValueError, OverflowError):
            raise InvalidFilter(place, "the calendar ends before that time") from None
        yield _in_order(node.field, operator, start, behind)


def _in_order(field: Field, operator: str, start: Any, behind: Any) -> Normal:
    """Compare the field with a value that reaches from `start` to before `behind`."""
    low, high = {
        "<": (None, start),
        "<=": (None, behind),
        ">": (behind, None),
        ">=": (start, None),
    }.get(operator, (start, behind))
    if operator == ">" and behind is None:
        return NOTHING
    if low is None and high is None:
        return Test(Present(field)) if field.nullable else EVERYTHING
    if low is not None and high is not None and low >= high:
        # The zone skipped this day.
        return NOTHING
    return Test(Within(field, low, high))


def _one_of(node: Comparison, circumstances: Circumstances) -> Normal:
    values: set[Any]
    if node.field.kind == "account":
        values = {_account(value, circumstances) for value in node.values} - {None}
    else:
        values = set(node.values)
    if node.field.kind == "flag":
        # The two tests of `true` and `false` together match everything.
        tests = [Test(Present(BLOCKED), bool(value)) for value in values]
        return tests[0] if len(tests) == 1 else EVERYTHING
    return Test(OneOf(node.field, tuple(sorted(values)))) if values else NOTHING


BLOCKED = FIELDS["blocked"]


def _account(value: Any, circumstances: Circumstances) -> int | None:
    if isinstance(value, int):
        return value
    return circumstances.caller_id if value == "@me" else circumstances.accounts.get(value)


def accounts_named(node: Node) -> set[str]:
    """The usernames that a filter names."""
    if isinstance(node, Not):
        return accounts_named(node.part)
    if isinstance(node, Comparison):
        if node.field.kind != "account":
            return set()
        return {value for value in node.values if isinstance(value, str) and value != "@me"}
    return set().union(*(accounts_named(part) for part in node.parts))


def is_timeless(node: Node) -> bool:
    """Whether a filter means the same at any time, in any zone and for every caller."""
    if isinstance(node, Not):
        return is_timeless(node.part)
    if isinstance(node, Comparison):
        if node.field.kind == "time":
            return all(isinstance(value, datetime) and value.tzinfo is not None for value in node.values)
        return node.field.kind != "account"
    return all(is_timeless(part) for part in node.parts)


def tests_in(normal: Normal) -> Iterator[Test]:
    """All tests of a filter."""
    if isinstance(normal, Test):
        yield normal
    else:
        for part in normal.parts:
            yield from tests_in(part)


def replaced(normal: Normal, replace: Callable[[Test], Normal]) -> Normal:
    """The same filter, with each test replaced by the result of `replace`."""
    if isinstance(normal, Test):
        return replace(normal)
    parts = [replaced(part, replace) for part in normal.parts]
    return all_of(parts) if isinstance(normal, AllOf) else any_of(parts)
