"""The plan of a list, and the ways to read its pages by it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy.orm import Session

from database import AnyRow
from models import ORDERS
from schemas.tasks import TaskFilters
from services.query import statements
from services.query.conditions import tests_only
from services.query.shapes import NEVER
from services.tasks import list_on_postgres, list_plan, project_plan
from services.tasks.list_statements import NULLABLE, ListShape, build, is_seen, looks_elsewhere, statement

# The next tasks in an order, among which a page is looked for before it is among all tasks: usually, if an index of a
# range tells all about the tasks in it, if to gather these takes longer, and if the index of the order tells of the
# ranges. And the most tasks in a range that are sorted if a page is far down.
NEAR = 2000
NEAR_COVERED = 500
NEAR_GATHERED = 5000
NEAR_SEEN = 5000
MANY_IN_RANGE = 10_000
# The tasks of a range among which the edge of a page is looked for.
SAMPLE = 1000


def is_sqlite(db: Session) -> bool:
    """Whether the session's database is SQLite."""
    return db.get_bind().dialect.name == "sqlite"


class Planned(NamedTuple):
    """The plan of a list: the shape of its statements, and their parameters."""

    # `bounds` say where the list begins and ends in its order.
    shape: ListShape
    values: dict[str, Any]
    bounds: Mapping[str, Any]

    def uncut(self) -> "Planned":
        """The same plan without the parts that only help to find a page in the order of the list."""
        names = tuple(name for name in self.shape.names if name not in self.bounds)
        without_index = tuple(set(self.shape.without_index) & set(list_plan.TEXTS))
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
        shape = whole.shape._replace(names=tuple(self.bounds))
        return whole._replace(shape=shape, values={**whole.values, **self.bounds})

    def may_be_far(self, db: Session, *, with_total: bool) -> bool:
        """Whether a page may lie far down the list, or its total be counted.

        Each step down an index reads a row of the table, unless the index alone says what matches. Postgres would
        guess how many tasks of a long list match.
        """
        shape = self.shape
        if shape.by_id or shape.scope == "all" or shape.asked == NEVER:
            return False
        if not is_sqlite(db):
            if shape.asked is None and not looks_elsewhere(shape):
                return False
            if shape.scope == "project":
                return project_plan.has_many(db, self.values["project_id"])
            return list_plan.has_many(db, self.values["owner_id"])
        if shape.asked is None:
            return bool(self.wide) and not {"made_after", "made_before"}.intersection(self.bounds)
        says_it = not (shape.names or shape.choices) and tests_only(shape.asked, shape.sort_by)
        return with_total or not says_it

    def sorts_all(self, db: Session, filters: TaskFilters) -> bool:
        """Whether SQLite would sort all tasks to skip some: no index has those without a value at the end."""
        can = filters.skip > 0 and filters.sort_by in NULLABLE and not self.shape.by_id
        return can and self.shape.scope != "all" and is_sqlite(db)

    def goes_along(self, db: Session) -> bool:
        """Whether Postgres reads a list of ranges along the index of its order, which tells all that is asked.

        Left to choose, it would go through everybody's tasks in an order by `due_at` or `id`. Tasks of a range that
        are few are sorted instead.
        """
        shape = self.shape
        asked = set(shape.names) - set(self.bounds)
        if shape.asked is not None or shape.choices or not asked <= set(list_plan.RANGE_COLUMNS):
            return False
        few = list_plan.FEW_IN_RANGE
        return all(self._in_range(db, name, few + 1) > few for name in asked)

    @property
    def wide(self) -> tuple[str, ...]:
        """The ranges with so many tasks, on SQLite, that the list is walked instead of sorting them."""
        return tuple(name for name in self.shape.without_index if name in list_plan.RANGE_COLUMNS)

    def gathering(self, db: Session) -> "Planned":
        """The plan for a page that is far down a list that is walked: the tasks in its ranges are gathered first.

        Those of the least range are sorted, if it has not very many.
        """
        counts = {name: self._in_range(db, name, MANY_IN_RANGE + 1) for name in self.wide}
        least = min(counts, key=counts.__getitem__)
        shape = self.shape._replace(gathers=not is_seen(self.shape))
        if counts[least] <= MANY_IN_RANGE:
            kept = tuple(name for name in shape.without_index if name != least)
            shape = shape._replace(without_index=kept, sorts=True)
        return self._replace(shape=shape)

    def covered(self, db: Session) -> "Planned | None":
        """The plan for a page from all tasks in a range, if one of SQLite's indexes says all about them."""
        shape = self.shape
        names = tuple(name for name in shape.names if name not in self.bounds)
        columns = {list_plan.RANGE_COLUMNS.get(name, "") for name in names} | {shape.sort_by}
        if not self.wide or shape.asked is not None or shape.choices or not is_sqlite(db):
            return None
        if shape.sort_by == "priority" and is_seen(shape):
            # Tasks of any range are usually among those of the first priority: the list is walked.
            return None
        for column in columns - {shape.sort_by}:
            if columns <= set(ORDERS.get(column, ())):
                of_others = tuple(name for name in names if list_plan.RANGE_COLUMNS[name] != column)
                shape = shape._replace(names=names, without_index=of_others, sorts=True)
                return self._replace(shape=shape, bounds={})
        return None

    def near(self, db: Session) -> int:
        """The number of tasks in the order of the list, among which SQLite looks for a page first."""
        if self.shape.asked is not None:
            return NEAR
        if self.covered(db) is None:
            return 0 if is_seen(self.shape) else NEAR_GATHERED
        return NEAR_SEEN if is_seen(self.shape) else NEAR_COVERED

    def _in_range(self, db: Session, name: str, at_most: int) -> int:
        plan = project_plan if self.shape.scope == "project" else list_plan
        number: int = db.execute(plan.in_range(name), {**self.values, "at_most": at_most}).scalar_one()
        return number

    def sorted_ids(self, db: Session, part: str, more: Mapping[str, Any]) -> list[AnyRow]:
        """The ids of a page of a plan that is `covered`.

        Some tasks of the range show up to where in the order the page lies, so that few have to be sorted.
        """
        way = "sorted"
        if part in ("first", "after"):
            last = self.values["limit"] - 1
            edge = self.execute(db, f"{part} sampled", **more, sample=SAMPLE, last=last).first()
            if edge is not None:
                way, more = "edged", {**more, "edge_value": edge.value, "edge_id": edge.id}
        return list(self.execute(db, f"{part} {way}", **more).all())

    def execute(self, db: Session, part: str, **more: Any) -> Any:
        """Execute the statement of a part."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        if shape.asked is None:
            return db.execute(statement(shape), values)
        return statements.execute(db, shape, lambda: build(shape), values)

    def execute_near(self, db: Session, part: str, **more: Any) -> list[AnyRow]:
        """The rows of a part among the next tasks in the order, on Postgres."""
        shape, values = self.shape._replace(part=part), {**self.values, **more}
        return list(statements.execute(db, shape, lambda: list_on_postgres.build(shape), values).all())
