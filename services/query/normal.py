"""The normal form of filters: `and` and `or` of tests, each of which is a fact or the opposite of a fact.

`not` is pushed down to the facts, because databases use no index below a `not`. A missing value fulfils no
fact, and so it fulfils every opposite. Tests of one field are joined, and ranges are in their order.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from models import LARGEST_ID
from services.query.facts import EVERYTHING, NOTHING, Contains, Normal, OneOf, Present, Test, Within
from services.query.fields import FIELDS, Field
from services.query.joining import all_of, any_of, opposite
from services.query.moments import as_range
from services.query.refusal import InvalidFilter
from services.query.tree import And, Comparison, Node, Not
from storage.folding import fold


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
    return _normal(node, circumstances, holds=True)


def _normal(node: Node, circumstances: Circumstances, *, holds: bool) -> Normal:
    if isinstance(node, Not):
        return _normal(node.part, circumstances, holds=not holds)
    if isinstance(node, Comparison):
        return _compared(node, circumstances, holds=holds)
    parts = [_normal(part, circumstances, holds=holds) for part in node.parts]
    return all_of(parts) if isinstance(node, And) == holds else any_of(parts)


_POSITIVE = {"!=": "=", "not in": "in", "!~": "~", "is null": "is not null"}


def _compared(node: Comparison, circumstances: Circumstances, *, holds: bool) -> Normal:
    operator = node.operator
    if operator in _POSITIVE:
        operator, holds = _POSITIVE[operator], not holds
    fact: Normal
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
    return fact if holds else opposite(fact)


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
