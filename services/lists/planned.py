"""The plan of a list, and the ways to read its pages by it."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from sqlalchemy.orm import Session

from database import AnyRow
from models import ORDERS
from schemas.tasks import TaskFilters
from services.bulk_numbers import numbers
from services.lists import on_postgres, planning
from services.lists.lookups import RANGES, TEXTS
from services.lists.parts import IDS, Part, Way
from services.lists.statements import (
    NULLABLE,
    ListShape,
    build,
    looks_elsewhere,
    order_has_ranges,
    statement,
)
from services.query import statement_cache
from services.query.conditions import tests_only
from services.query.shapes import NEVER, Place
from storage.direct_session import is_sqlite

# SQLite first looks for a page among this number of tasks that come next in the order of the list.
NEAR = 2000
# The number if an index of a range has all columns that the list needs: it takes little time to sort all of these.
NEAR_COVERED = 500
# The number if the tasks in the ranges must be gathered from several indexes, which takes much time.
NEAR_GATHERED = 5000
# The number if the index of the order has the times of the ranges: it takes little time to pass a task.
NEAR_IN_INDEX = 5000
# A range with more tasks is not sorted for a page far down the list.
MANY_IN_RANGE = 10_000
# The number of tasks of a range that show up to where in the order a page lies.
SAMPLE = 1000


class Planned(NamedTuple):
    """The plan of a list: the shape of its statements, and their parameters."""

    shape: ListShape
    values: dict[str, Any]
    # The parameters that say where the list begins and ends in its order.
    bounds: Mapping[str, Any]
    # How Postgres should read a list with ranges: see `planning.Plan`.
    way: Literal["sorted", "along"] | None = None

    @property
    def place(self) -> Place:
        """The owner or the project whose tasks are listed."""
        if self.shape.scope == "project":
            return Place(project_id=self.values["project_id"])
        return Place(self.values["owner_id"])

    # -- variants of the plan --------------------------------------------------------------------------

    def without_bounds(self) -> "Planned":
        """The same plan without the parts that only help to find a page in the order of the list."""
        names = tuple(name for name in self.shape.names if name not in self.bounds)
        without_index = tuple(set(self.shape.without_index) & set(TEXTS))
        return self._replace(shape=self.shape._replace(names=names, without_index=without_index))

    def among(self, task_ids: list[int]) -> "Planned":
        """The same plan for a list that has no other tasks than these."""
        values = {**self.values, "task_ids": task_ids}
        return self._replace(shape=self.shape._replace(by_id=True), values=values)

    def unfiltered(self) -> "Planned":
        """The plan of the same list without filters."""
        shape = self.shape._replace(names=(), choices=(), without_index=(), asked=None)
        of_place = ("owner_id", "project_id", "limit")
        values = {name: value for name, value in self.values.items() if name in of_place}
        return Planned(shape, values, {})

    def from_bounds(self) -> "Planned":
        """The plan of the same list without filters, from the place where the list can begin."""
        whole = self.unfiltered()
        names = tuple(name for name in self.bounds if name not in self.shape.without_index)
        shape = whole.shape._replace(names=names)
        return whole._replace(shape=shape, values={**whole.values, **self.bounds})

    def gathered(self, db: Session) -> "Planned":
        """The plan for a page that is far down the list, on SQLite: the tasks in its ranges are gathered first.

        If the smallest range has not very many tasks, these are sorted instead.
        """
        counts = {name: self._count_in_range(db, name, MANY_IN_RANGE + 1) for name in self.wide}
        smallest = min(counts, key=counts.__getitem__)
        shape = self.shape._replace(gathers=not order_has_ranges(self.shape))
        if counts[smallest] <= MANY_IN_RANGE:
            kept = tuple(name for name in shape.without_index if name != smallest)
            names = tuple(name for name in shape.names if name not in self.bounds)
            shape = shape._replace(names=names, without_index=kept, sorts=True)
        return self._replace(shape=shape)

    def by_covering_index(self, db: Session) -> "Planned | None":
        """The plan for a page from all tasks in a range, if SQLite's index of the range has all columns it needs."""
        shape = self.shape
        names = tuple(name for name in shape.names if name not in self.bounds)
        columns = {RANGES[name][0].key if name in RANGES else "" for name in names} | {shape.sort_by}
        if not self.wide or shape.asked is not None or shape.choices or not is_sqlite(db):
            return None
        if shape.sort_by == "priority" and order_has_ranges(shape):
            # Walking the list is faster: tasks of any range are usually among those of the first priority.
            return None
        for column in columns - {shape.sort_by}:
            if columns <= set(ORDERS.get(column, ())):
                of_others = tuple(name for name in names if RANGES[name][0].key != column)
                shape = shape._replace(names=names, without_index=of_others, sorts=True)
                return self._replace(shape=shape, bounds={})
        return None

    # -- which way to take ------------------------------------------------------------------------------

    @property
    def wide(self) -> tuple[str, ...]:
        """The ranges that have too many tasks to sort them, on SQLite: the list is walked in its order."""
        return tuple(name for name in self.shape.without_index if name in RANGES)

    def may_be_far(self, db: Session, *, with_total: bool) -> bool:
        """Whether a page may lie far down the list, or its total take as long.

        SQLite reads a row of the table for each task that it passes, unless the index has all that the filters ask
        for. Postgres would guess how many tasks of a long list match.
        """
        shape = self.shape
        if shape.by_id or shape.scope == "all" or shape.asked == NEVER:
            return False
        if not is_sqlite(db):
            if self.way is not None:
                return True
            return (shape.asked is not None or looks_elsewhere(shape)) and planning.has_many(db, self.place)
        if shape.asked is None:
            return bool(self.wide) and not {"made_after", "made_before"}.intersection(self.bounds)
        index_has_all = not (shape.names or shape.choices) and tests_only(shape.asked, shape.sort_by)
        return with_total or not index_has_all

    def sorts_all(self, db: Session, filters: TaskFilters) -> bool:
        """Whether SQLite would sort all tasks to skip some: no index has those without a value at the end."""
        can = filters.skip > 0 and filters.sort_by in NULLABLE and not self.shape.by_id
        return can and self.shape.scope != "all" and is_sqlite(db)

    def near(self, db: Session) -> int:
        """The number of next tasks in the order of the list, among which SQLite looks for a page first."""
        if self.shape.asked is not None:
            return NEAR
        if self.shape.scope == "project" and self.bounds and self.shape.sort_by != "title":
            # The page begins near its bound.
            return NEAR_IN_INDEX if order_has_ranges(self.shape) else NEAR
        if self.by_covering_index(db) is None:
            return 0 if order_has_ranges(self.shape) else NEAR_GATHERED
        return NEAR_IN_INDEX if order_has_ranges(self.shape) else NEAR_COVERED

    def _count_in_range(self, db: Session, name: str, at_most: int) -> int:
        # The names of all other values would be a further form of the statement, kept for each combination of filters.
        return planning.count_in_range(db, self.place, name, {name: self.values[name], "at_most": at_most})

    # -- reading ----------------------------------------------------------------------------------------

    def sorted_ids(self, db: Session, part: Part, more: Mapping[str, Any]) -> list[AnyRow]:
        """The ids of a page of a plan `by_covering_index`.

        Some tasks of the range show up to where in the order the page lies, so that few have to be sorted.
        """
        way: Way = "sorted"
        if part.kind in ("first", "after"):
            last = self.values["limit"] - 1
            edge = self.execute(db, part.by("sampled"), **more, sample=SAMPLE, last=last).first()
            if edge is not None:
                way, more = "edged", {**more, "edge_value": edge.value, "edge_id": edge.id}
        return list(self.execute(db, part.by(way), **more).all())

    def ids(self, db: Session, at_most: int) -> list[int]:
        """The sorted ids of all tasks, at most `at_most`."""
        found: list[int] = numbers(self.execute(db, IDS, limit=at_most).one())[0].tolist()
        return found

    def execute(self, db: Session, part: Part, **more: Any) -> Any:
        """Execute the statement of a part."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        if shape.asked is None:
            return db.execute(statement(shape), values)
        return statement_cache.execute(db, shape, lambda: build(shape), values)

    def execute_near(self, db: Session, part: Part, **more: Any) -> list[AnyRow]:
        """The rows of a part among the next tasks in the order, on Postgres."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        return list(statement_cache.execute(db, shape, lambda: on_postgres.build(shape), values).all())
