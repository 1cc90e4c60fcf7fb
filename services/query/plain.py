"""Expressing a filter by the plain parameters of a list, so that these parts are planned in the same way."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from models import HIGHEST_PRIORITY, STATUSES
from schemas.common import MOST_CHOICES, zone_named
from schemas.tasks import TaskFilters
from services.query import syntax
from services.query.facts import EVERYTHING, Contains, Normal, OneOf, Present, Test, Within
from services.query.joining import all_of, parts_of
from services.query.normal import Circumstances, is_timeless, normalize
from services.query.refusal import InvalidFilter
from storage.bounded_cache import BoundedCache

_TIMES = ("created", "due", "completed", "updated")


def as_plain(filters: TaskFilters) -> TaskFilters | None:
    """The filters of a list with its filter, if they can express all of it without a look into the database.

    None if they can't, or if the filter can't be read: the later read of the list then raises the error.
    """
    if filters.view is not None:
        return None
    if filters.filter is None:
        return filters
    normal = _timeless(filters.filter)
    if normal is None:
        return None
    plain, left = lowered(normal, filters)
    return with_parameters(filters, plain) if left == EVERYTHING else None


def with_parameters(filters: TaskFilters, plain: Mapping[str, Any]) -> TaskFilters:
    """The filters of a list with these parameters in the place of its filter and view."""
    # `model_copy` does not validate the values, which are valid already.
    copy = filters.model_copy(update={**plain, "filter": None, "view": None})
    copy.model_fields_set.difference_update(("filter", "view"))
    return copy


def _timeless(text: str) -> Normal | None:
    """The form of a filter that is the same for every request; None if it depends on the request."""
    found = _forms.get(text)
    if found is None:
        try:
            node = syntax.parse(text)
        except InvalidFilter:
            return None
        form = normalize(node, _ANYWHERE) if is_timeless(node) else None
        found = (500 + syntax.TREE_BYTES * len(text), form)
        _forms.put(text, found)
    return found[1]


_forms: BoundedCache[str, tuple[int, Normal | None]] = BoundedCache(1024 * 1024, weigh=lambda entry: entry[0])
_ANYWHERE = Circumstances(datetime(2026, 1, 1, tzinfo=UTC), zone_named("UTC"), 0, {})


def lowered(normal: Normal, filters: TaskFilters) -> tuple[dict[str, Any], Normal]:
    """The plain parameters that express parts of the filter, and the rest of the filter.

    Parameters that the request has already are not replaced.
    """
    plain: dict[str, Any] = {}
    left: list[Normal] = []
    for part in parts_of(normal):
        more = _as_parameters(part) if isinstance(part, Test) else None
        if more is None or any(name in plain or not _is_free(filters, name) for name in more):
            left.append(part)
        else:
            plain |= more
    return plain, all_of(left)


def _is_free(filters: TaskFilters, name: str) -> bool:
    """Whether the list has this parameter, and the request did not give it."""
    return name in type(filters).model_fields and getattr(filters, name) in (None, [])


def _as_parameters(test: Test) -> dict[str, Any] | None:
    """The parameters that express a test; None if there are none."""
    fact, name = test.fact, test.fact.field.name
    if isinstance(fact, OneOf):
        return _as_choices(name, fact.values, holds=test.holds)
    if isinstance(fact, Contains) and name == "title" and test.holds:
        return {"title_contains": fact.text}
    if isinstance(fact, Present) and name == "blocked":
        return {"blocked": test.holds}
    if isinstance(fact, Within) and test.holds and name in _TIMES:
        bounds = {"after": fact.start, "before": fact.behind}
        return {f"{name}_{side}": bound for side, bound in bounds.items() if bound is not None}
    return None


def _as_choices(name: str, values: tuple[Any, ...], *, holds: bool) -> dict[str, Any] | None:
    if name == "status" and not holds:
        values, holds = tuple(each for each in STATUSES if each not in values), True
    # An empty parameter would match any value, so at least one value is needed.
    if (
        not holds
        or name not in ("status", "state", "priority", "project", "tag")
        or not 0 < len(values) <= MOST_CHOICES
    ):
        return None
    # The parameter takes only valid priorities, but a filter takes any number.
    if name == "priority" and not all(0 <= value <= HIGHEST_PRIORITY for value in values):
        return None
    return {name: list(values)}
