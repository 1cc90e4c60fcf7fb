"""What a request asks for by a filter, and how much of it the plain parameters of a list can say.

What they can say is handed to them, so that it is planned like them: the rest is a condition of its own.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, func, select
from sqlalchemy.orm import Session

from models import HIGHEST_PRIORITY, STATUSES, Caller, users
from schemas.common import zone_named
from schemas.tasks import TaskFilters
from services.query import syntax
from services.query import view as view_service
from services.query.conditions import Place, Shaped, shaped
from services.query.normal import (
    EVERYTHING,
    NOTHING,
    AllOf,
    Circumstances,
    Contains,
    Normal,
    OneOf,
    Present,
    Test,
    Within,
    accounts_named,
    is_timeless,
    normalize,
    replaced,
    together,
)
from services.query.refusal import InvalidFilter
from services.query.view import Saved
from services.query.vocabulary import known_texts
from storage.bounded_cache import BoundedCache
from storage.column_types import IsOneOf, ValueList
from storage.folding import fold
from storage.prepared import prepared

_username = func.lower(users.c.username)
_ACCOUNTS = prepared(
    select(_username, users.c.id).where(IsOneOf(_username, bindparam("names", type_=ValueList(String()))))
)


class Asked(NamedTuple):
    """What a request asks for by its filter and its view together; the filter None where both are left out."""

    normal: Normal | None
    view: Saved | None = None

    def placed(self, project_id: int | None) -> tuple[int | None, "Asked"]:
        """The project that is asked about, and what is asked there: a view with a project is within it."""
        if self.view is None or self.view.project_id in (None, project_id):
            return project_id, self
        if project_id is None:
            return self.view.project_id, self
        # No task is in two projects.
        return project_id, self._replace(normal=NOTHING)


def read(
    db: Session, caller: Caller, text: str | None, view_id: int | None, tz: str, now: datetime | None = None
) -> Asked:
    """A filter and a view with the values of this request put in; raises InvalidFilter, NotFound for the view."""
    view = None if view_id is None else view_service.use(db, caller, view_id)
    nodes = [] if view is None else [(view.node, "?view")]
    if text is not None:
        nodes.append((syntax.parse(text), "?filter"))
    if not nodes:
        return Asked(None)
    syntax.check_together([node for node, _ in nodes])
    names = set().union(*(accounts_named(node) for node, _ in nodes))
    accounts = {}
    if names:
        rows = db.execute(_ACCOUNTS, {"names": sorted(names)})
        accounts = {row[0]: row[1] for row in rows}
    around = Circumstances(now or datetime.now(UTC), zone_named(tz), caller.id, accounts)
    parts = []
    for node, pointer in nodes:
        try:
            parts.append(normalize(node, around))
        except InvalidFilter as error:
            raise error.at(pointer) from None
    return Asked(together(parts), view)


def with_known_texts(db: Session, normal: Normal, place: Place) -> Normal:
    """The same, with the tags and projects that contain a text in the place of that text."""
    known: dict[str, list[str]] = {}

    def replace(test: Test) -> Normal:
        fact = test.fact
        if not isinstance(fact, Contains) or fact.field.name not in ("tag", "project", "status"):
            return test
        name = fact.field.name
        if name not in known:
            known[name] = list(STATUSES) if name == "status" else known_texts(db, name, place)
        found = tuple(sorted(text for text in known[name] if fact.text in fold(text)))
        if not found:
            return NOTHING if test.so else EVERYTHING
        return Test(OneOf(fact.field, found), test.so)

    return replaced(normal, replace)


def of_list(db: Session, caller: Caller, filters: TaskFilters) -> tuple[TaskFilters, Normal | None]:
    """The filters of a list with what its view and its filter say, and what they leave to be asked for besides.

    A view gives the list its project and its order, where no others are asked for. Raises InvalidFilter, and
    NotFound for the view.
    """
    if filters.filter is None and filters.view is None:
        return filters, None
    plain = as_plain(filters)
    if plain is not None:
        return plain, None
    asked = read(db, caller, filters.filter, filters.view, filters.tz)
    project_id, asked = asked.placed(filters.project_id)
    if asked.view is not None:
        filters = _as_viewed(filters, asked.view, project_id)
    return filters, asked.normal


def _as_viewed(filters: TaskFilters, view: Saved, project_id: int | None) -> TaskFilters:
    given = filters.model_fields_set
    said: dict[str, Any] = {"project_id": project_id}
    if "sort_by" not in given and view.sort_by is not None:
        said["sort_by"] = view.sort_by
    if not given & {"sort_by", "sort_order"} and view.sort_order is not None:
        said["sort_order"] = view.sort_order
    return _with(filters, said)


def split(
    db: Session, filters: TaskFilters, normal: Normal | None, place: Place
) -> tuple[TaskFilters, Shaped | None]:
    """The filters of a list with as much of a filter as they can say, and the rest as a condition."""
    if normal is None:
        return filters, None
    said, left = lowered(with_known_texts(db, normal, place), filters)
    return _with(filters, said), None if left == EVERYTHING else shaped(left)


def as_plain(filters: TaskFilters) -> TaskFilters | None:
    """The filters of a list with what its filter says, where they can say all of it without asking the database.

    None where they can't, or where the filter can't be read: whoever asks the database says what is wrong with it.
    """
    if filters.view is not None:
        return None
    if filters.filter is None:
        return filters
    normal = _timeless(filters.filter)
    if normal is None:
        return None
    said, left = lowered(normal, filters)
    return _with(filters, said) if left == EVERYTHING else None


def _with(filters: TaskFilters, said: Mapping[str, Any]) -> TaskFilters:
    # What was validated is not validated again.
    copy = filters.model_copy(update={**said, "filter": None, "view": None})
    copy.model_fields_set.difference_update(("filter", "view"))
    return copy


def _timeless(text: str) -> Normal | None:
    """The form of a filter that is the same for every request."""
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


# -- what plain parameters can say -----------------------------------------------------------------

# A parameter may be given so many times.
MOST_CHOICES = 20
_TIMES = ("created", "due", "completed", "updated")


def lowered(normal: Normal, filters: TaskFilters) -> tuple[dict[str, Any], Normal]:
    """The plain parameters that say a part of the filter, and what is left of it.

    Parameters that are given already are not replaced.
    """
    said: dict[str, Any] = {}
    left: list[Normal] = []
    for part in normal.parts if isinstance(normal, AllOf) else (normal,):
        more = _as_parameters(part) if isinstance(part, Test) else None
        if more is None or any(name in said or not _is_free(filters, name) for name in more):
            left.append(part)
        else:
            said |= more
    return said, together(left)


def _is_free(filters: TaskFilters, name: str) -> bool:
    """Whether a list has such a parameter, and it was not given."""
    return name in type(filters).model_fields and getattr(filters, name) in (None, [])


def _as_parameters(test: Test) -> dict[str, Any] | None:
    """The parameters that say the same as a test, where there are such."""
    fact, name = test.fact, test.fact.field.name
    if isinstance(fact, OneOf):
        return _as_choices(name, fact.values, so=test.so)
    if isinstance(fact, Contains) and name == "title" and test.so:
        return {"title_contains": fact.text}
    if isinstance(fact, Present) and name == "blocked":
        return {"blocked": test.so}
    if isinstance(fact, Within) and test.so and name in _TIMES:
        bounds = {"after": fact.start, "before": fact.behind}
        return {f"{name}_{side}": bound for side, bound in bounds.items() if bound is not None}
    return None


def _as_choices(name: str, values: tuple[Any, ...], *, so: bool) -> dict[str, Any] | None:
    if name == "status" and not so:
        values, so = tuple(each for each in STATUSES if each not in values), True
    # No value at all would be any value.
    if (
        not so
        or name not in ("status", "state", "priority", "project", "tag")
        or not 0 < len(values) <= MOST_CHOICES
    ):
        return None
    # The parameter takes priorities only, and not numbers of any size.
    if name == "priority" and not all(0 <= value <= HIGHEST_PRIORITY for value in values):
        return None
    return {name: list(values)}
