"""Texts that few titles contain: within an `or` they are looked up first, and become lists of ids.

The databases use an index for a part of an `or` only if all its parts have one. Otherwise they look for the text in all
titles, one after the other.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Select, String, bindparam, func, select
from sqlalchemy.orm import Session

from models import tasks
from schemas.tasks import TaskFilters
from services.lists import lookups, planning, search_index
from services.query import asking
from services.query.facts import Contains, Normal, OneOf, Test, tests_in
from services.query.fields import FIELDS
from services.query.joining import all_of, decided, parts_of, replaced
from services.query.shapes import Place, Shaped
from storage.column_types import is_among
from storage.direct_session import is_sqlite
from storage.folding import pattern
from storage.prepared import prepared

# A text in more titles is not worth its lookup.
FEW = 500


def split(
    db: Session, filters: TaskFilters, normal: Normal | None, place: Place
) -> tuple[TaskFilters, Shaped | None]:
    """`asking.split` of the filter with these lists: they find the same tasks only within one snapshot of the database."""
    if normal is not None:
        normal = looked_up(db, normal, place)
    return asking.split(db, filters, normal, place)


def looked_up(db: Session, normal: Normal, place: Place) -> Normal:
    """The same filter, in which texts that few titles contain have become lists of the tasks.

    The filter finds the same tasks only within one snapshot of the database.
    """
    parts = parts_of(normal)
    if not any(_is_searching(part) for part in parts) or not planning.has_many(db, place):
        return normal

    @cache
    def found(text: str) -> tuple[int, ...] | None:
        return _tasks_with(db, place, text)

    def replace(test: Test) -> Normal:
        ids = found(test.fact.text) if _is_sought(test) else None  # type: ignore[union-attr]  # it is `Contains`
        if ids is None:
            return test
        if not ids:
            return decided(test, is_true=False)
        return Test(OneOf(FIELDS["id"], ids), test.holds)

    return all_of(replaced(part, replace) if _is_searching(part) else part for part in parts)


def _is_searching(part: Normal) -> bool:
    """Whether a part that all tasks must fulfil looks for a text in titles, and is not just that."""
    return not isinstance(part, Test) and any(map(_is_sought, tests_in(part)))


def _is_sought(test: Test) -> bool:
    return isinstance(test.fact, Contains) and test.fact.field.name == "title"


def _tasks_with(db: Session, place: Place, needle: str) -> tuple[int, ...] | None:
    """The ids of the tasks with this text in their titles, if an index finds them and they are few."""
    on_sqlite = is_sqlite(db)
    if len(needle) < (search_index.SHORTEST if on_sqlite else search_index.TRIGRAM):
        return None
    ids: Sequence[int] | None
    if on_sqlite:
        ids = search_index.find(db, place, needle, FEW)
        if ids and len(ids) <= FEW:
            ids = db.execute(_having(), {"task_ids": ids, "needle": needle}).scalars().all()
    else:
        asked = {**place._asdict(), "needle": needle, "many": planning.MANY_TASKS}
        newest = db.execute(lookups.among_newest(place.scope), asked).scalar_one()
        if newest is None or newest >= planning.FREQUENT:
            return None
        asked = {**place._asdict(), "pattern": pattern(needle), "at_most": FEW + 1}
        ids = db.execute(lookups.matching(place.scope), asked).scalars().all()
    return None if ids is None or len(ids) > FEW else tuple(sorted(ids))


@cache
def _having() -> Select[Any]:
    """Those of some tasks whose titles do contain the text: the index finds a few others."""
    contains = func.instr(tasks.c.title_folded, bindparam("needle", type_=String())) > 0
    return prepared(select(tasks.c.id).where(is_among(tasks.c.id, "task_ids"), contains))
