"""Reading the filter and the view of a request, and splitting them for a list.

Parts that the plain parameters of a list can express are handed to these. The rest becomes a condition of its own.
"""

from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from typing import Any, NamedTuple

from sqlalchemy import String, bindparam, select
from sqlalchemy.orm import Session

from models import Caller, users
from schemas.common import zone_named
from schemas.tasks import TaskFilters
from services.query import syntax
from services.query import view as view_service
from services.query.facts import (
    EVERYTHING,
    NOTHING,
    Normal,
    OneOf,
    Test,
    tests_in,
)
from services.query.fields import FIELDS
from services.query.joining import all_of, parts_of
from services.query.known_values import with_existing, with_known_values
from services.query.normal import Circumstances, accounts_named, normalize
from services.query.plain import as_plain, lowered, with_parameters
from services.query.refusal import InvalidFilter
from services.query.shapes import Place, Shaped, shaped, tags_of
from services.query.view import Saved
from services.query.vocabulary import are_frequent
from storage.column_types import IsOneOf, LowerAscii, ValueList
from storage.direct_session import is_sqlite, one_snapshot
from storage.prepared import prepared

_username = LowerAscii(users.c.username)
_ACCOUNTS = prepared(
    select(_username, users.c.id).where(IsOneOf(_username, bindparam("names", type_=ValueList(String()))))
)


# SQLite makes a set of tasks for each test of tags, if there are few tests. For more tests it reads the tags of each task
# once. The bits of a number then stand for the tags, so there is a largest number of them.
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


def read(db: Session, caller: Caller, text: str | None, view_id: int | None, tz: str) -> Asked:
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
    around = Circumstances(datetime.now(UTC), zone_named(tz), caller.id, accounts)
    parts = []
    for node, pointer in nodes:
        try:
            parts.append(normalize(node, around))
        except InvalidFilter as error:
            raise error.at(pointer) from None
    return Asked(all_of(parts), view)


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
    return with_parameters(filters, plain)


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
    return with_parameters(filters, plain), None if left == EVERYTHING else as_shape(db, left, place)


def as_shape(db: Session, normal: Normal, place: Place) -> Shaped:
    """The filter as a condition. SQLite doesn't know how frequent tags are, so they are counted first."""
    normal = with_existing(db, normal, place)
    found_first = [part for part in parts_of(normal) if isinstance(part, Test) and part.holds]
    others = [test for test in tests_in(normal) if tags_of(test) and test not in found_first]
    if not is_sqlite(db):
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
