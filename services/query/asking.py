"""Reading the filter and the view of a request, and expressing them by the plain parameters of a list.

Parts that plain parameters can express are handed to these, so that they are planned in the same way. The
rest becomes a condition of its own.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Session

from models import HIGHEST_PRIORITY, STATUSES, Caller, users
from schemas.common import zone_named
from schemas.tasks import TaskFilters
from services.query import syntax
from services.query import view as view_service
from services.query.evaluate import matches
from services.query.facts import (
    EVERYTHING,
    NOTHING,
    AllOf,
    Contains,
    Normal,
    OneOf,
    Present,
    Test,
    Within,
    tests_in,
)
from services.query.fields import FIELDS
from services.query.joining import all_of, replaced
from services.query.normal import Circumstances, accounts_named, is_timeless, normalize
from services.query.refusal import InvalidFilter
from services.query.shapes import Place, Shaped, shaped, tags_of
from services.query.view import Saved
from services.query.vocabulary import are_frequent, existing, known_texts
from storage.bounded_cache import BoundedCache
from storage.column_types import IsOneOf, LowerAscii, ValueList
from storage.direct_session import one_snapshot
from storage.folding import fold
from storage.prepared import prepared

_username = LowerAscii(users.c.username)
_ACCOUNTS = prepared(
    select(_username, users.c.id).where(IsOneOf(_username, bindparam("names", type_=ValueList(String()))))
)


# The most tags, states or projects that are looked for in each task without knowing that some task has them.
MANY_NAMED = 6
# SQLite makes a set of tasks for each of a few tests of tags. For more tests it reads the tags of each task, of which so
# many are told apart by the bits of a number.
FEW_TAG_TESTS, MOST_NOTED = 10, 62


class Asked(NamedTuple):
    """The combined filter and view of a request; `normal` is None if both are left out."""

    normal: Normal | None
    view: Saved | None = None

    def placed(self, project_id: int | None) -> tuple[int | None, "Asked"]:
        """The project of the request, and the filter in it: a project's view applies to that project only."""
        if self.view is None or self.view.project_id in (None, project_id):
            return project_id, self
        if project_id is None:
            return self.view.project_id, self
        # The request and the view name different projects, and no task is in two.
        return project_id, self._replace(normal=NOTHING)


def read(
    db: Session, caller: Caller, text: str | None, view_id: int | None, tz: str, now: datetime | None = None
) -> Asked:
    """Read a filter and a view with the values of a request; raises InvalidFilter, NotFound for the view."""
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
    return Asked(all_of(parts), view)


def with_known_values(db: Session, normal: Normal, place: Place) -> Normal:
    """The same filter, in which everything that is known of all tasks in the place is decided.

    Texts within tags, states and projects are replaced by the known values that contain them.
    """
    of_all: dict[str, Any] = {"owner": place.owner_id, "project_id": place.project_id}

    @cache
    def known(name: str) -> list[str]:
        return list(STATUSES) if name == "status" else known_texts(db, name, place)

    def replace(test: Test) -> Normal:
        fact = test.fact
        name = fact.field.name
        if name == "project" and place.project_id is not None:
            # All tasks of a project have its name.
            of_all[name] = next(iter(known(name)), None)
        if of_all.get(name) is not None:
            return EVERYTHING if matches(test, {fact.field.of_task: of_all[name]}) else NOTHING
        if not isinstance(fact, Contains) or name not in ("tag", "project", "state", "status"):
            return test
        found = tuple(sorted(text for text in known(name) if fact.text in fold(text)))
        if not found:
            return NOTHING if test.holds else EVERYTHING
        if len(found) == len(known(name)):
            # Gathering the tasks with any of all tags would take long.
            return (
                Test(Present(fact.field), test.holds)
                if name == "tag"
                else EVERYTHING
                if test.holds
                else NOTHING
            )
        return Test(OneOf(fact.field, found), test.holds)

    return replaced(normal, replace)


def of_list(db: Session, caller: Caller, filters: TaskFilters) -> tuple[TaskFilters, Normal | None]:
    """The filters of a list with its view applied, and the part of its filter that they can't express.

    A view gives the list its project and its order, unless the request has others. Raises InvalidFilter, and
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
    plain: dict[str, Any] = {"project_id": project_id}
    if "sort_by" not in given and view.sort_by is not None:
        plain["sort_by"] = view.sort_by
    if not given & {"sort_by", "sort_order"} and view.sort_order is not None:
        plain["sort_order"] = view.sort_order
    return _with(filters, plain)


def one_moment(db: Session, normal: Normal | None) -> AbstractContextManager[None]:
    """See one state of the database with a filter: which states and tags there are is read before the tasks.

    A task that gets a tag in between, which no task had before, would be missing.
    """
    return nullcontext() if normal is None else one_snapshot(db)


def split(
    db: Session, filters: TaskFilters, normal: Normal | None, place: Place
) -> tuple[TaskFilters, Shaped | None]:
    """The filters of a list with all parts of a filter that they can express, and the rest as a condition."""
    if place.project_id is not None and filters.project:
        named = Test(OneOf(FIELDS["project"], tuple(filters.project)))
        normal = named if normal is None else all_of([named, normal])
        filters = filters.model_copy(update={"project": []})
    if normal is None:
        return filters, None
    plain, left = lowered(with_known_values(db, normal, place), filters)
    return _with(filters, plain), None if left == EVERYTHING else as_shape(db, left, place)


def as_shape(db: Session, normal: Normal, place: Place) -> Shaped:
    """The filter as a condition. SQLite doesn't know how frequent tags are, so they are counted first."""
    is_sqlite = db.get_bind().dialect.name == "sqlite"
    normal = _with_existing(db, normal, place)
    found_first = [part for part in _parts(normal) if isinstance(part, Test) and part.holds]
    others = [test for test in tests_in(normal) if tags_of(test) and test not in found_first]
    if not is_sqlite:
        # All other tests of tags are made while going through tasks. A task has few tags itself, but Postgres would
        # first find all tasks with the tags of each test.
        return shaped(normal, dict.fromkeys(others, "seen"))
    marks = {
        part: "frequent" for part in found_first if tags_of(part) and are_frequent(db, tags_of(part), place)
    }
    if len(others) > FEW_TAG_TESTS:
        tags = {tag for test in others for tag in tags_of(test)}
        if len(tags) <= MOST_NOTED and are_frequent(db, sorted(tags), place):
            marks |= dict.fromkeys(others, "noted")
    return shaped(normal, marks)


def _parts(normal: Normal) -> tuple[Normal, ...]:
    """The parts that are all true of a task."""
    return normal.parts if isinstance(normal, AllOf) else (normal,)


def _with_existing(db: Session, normal: Normal, place: Place) -> Normal:
    """The same filter without tags, states and projects that no task has, if it names so many that they take long."""
    named: dict[str, set[str]] = {}
    for test in tests_in(normal):
        if isinstance(test.fact, OneOf) and test.fact.field.name in ("tag", "state", "project"):
            named.setdefault(test.fact.field.name, set()).update(test.fact.values)
    known = {
        name: existing(db, name, values, place) for name, values in named.items() if len(values) > MANY_NAMED
    }

    def replace(test: Test) -> Normal:
        fact = test.fact
        if not isinstance(fact, OneOf) or fact.field.name not in known:
            return test
        left = tuple(value for value in fact.values if value in known[fact.field.name])
        if not left:
            return NOTHING if test.holds else EVERYTHING
        return Test(OneOf(fact.field, left), test.holds)

    return replaced(normal, replace) if known else normal


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
    return _with(filters, plain) if left == EVERYTHING else None


def _with(filters: TaskFilters, plain: Mapping[str, Any]) -> TaskFilters:
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


# -- plain parameters ------------------------------------------------------------------------------

# The most times that a parameter may be given.
MOST_CHOICES = 20
_TIMES = ("created", "due", "completed", "updated")


def lowered(normal: Normal, filters: TaskFilters) -> tuple[dict[str, Any], Normal]:
    """The plain parameters that express parts of the filter, and the rest of the filter.

    Parameters that the request has already are not replaced.
    """
    plain: dict[str, Any] = {}
    left: list[Normal] = []
    for part in _parts(normal):
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
