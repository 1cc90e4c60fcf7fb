"""The parts of a list, and the ways to read them: each has a statement of its own."""

from typing import Literal, NamedTuple

Kind = Literal["first", "after", "beyond", "skip", "count", "ids"]
Way = Literal["plain", "near", "along", "edge", "sampled", "edged", "sorted", "counted"]


class Part(NamedTuple):
    """A part of a list, and the way to read it."""

    # The `first` page; the page `after` a row, or `beyond` a row without a value in the column of the order; the page
    # behind the rows to `skip`. `count` is the number of tasks, and `ids` are the ids of all, in bulk.
    kind: Kind
    # `near` reads the next tasks in the order, on SQLite up to the one that `edge` finds. `along` reads them along the
    # index of the order, on Postgres. `sorted` and `counted` go through all tasks that match, once; `counted` has their
    # number too. `edged` is `sorted` up to the task that `sampled` finds.
    way: Way = "plain"
    # In an order by a column that may be missing, the rows without a value come last, and have a statement of their own.
    without_value: bool = False

    def by(self, way: Way) -> "Part":
        """The same part, read in this way."""
        return self._replace(way=way)


FIRST, AFTER, BEYOND, SKIP = Part("first"), Part("after"), Part("beyond"), Part("skip")
FIRST_WITHOUT_VALUE = Part("first", without_value=True)
AFTER_WITHOUT_VALUE = Part("after", without_value=True)
COUNT, IDS = Part("count"), Part("ids")
