"""Exporting tasks, as JSON or CSV that can be imported unchanged."""

import csv
import io
import json
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, partial
from typing import Any, NamedTuple

from pydantic import TypeAdapter
from sqlalchemy import ColumnElement, Select, bindparam, tuple_
from sqlalchemy.orm import Session

from database import AnyRow
from models import LARGEST_ID, Caller, tasks
from schemas.tasks import ExportQuery, TaskFilters
from services import rights
from services.json_pieces import WRITTEN_TOGETHER, json_pieces
from services.lists import pages, rare_titles
from services.paging import PageOf, decode_cursor, encode_cursor
from services.query import asking, shapes, statement_cache
from services.query import conditions as query_conditions
from services.query.elements import UnindexedOnPostgres
from services.query.facts import Normal
from services.query.known_values import with_known_values
from services.rights import column_of, parameter_of, visible_tasks
from services.tasks.csv_cells import formula_free
from services.tasks.import_files import CSV_COLUMNS
from storage.column_types import rfc3339
from storage.direct_session import is_sqlite
from storage.prepared import prepared

EXPORT_CHUNK = 1000
# The rows of a page of a list.
LIST_PAGE = 500
# Postgres may look up each alternative of a filter by an index, up to this number of them.
FEW_PARTS = 8

_EXPORTED = TypeAdapter(list[dict[str, Any]])


class Exported(NamedTuple):
    """The tasks of an export: whose tasks, and by which filter."""

    place: shapes.Place
    normal: Normal | None = None


class Part(NamedTuple):
    """Some rows of an export, and a function that reads the next part; None after the last rows."""

    rows: list[AnyRow]
    following: "Callable[[Session], Part] | None"


class Export(NamedTuple):
    """An export, or the part of one that `limit` asks for: its first rows, and how to read the others."""

    first: PageOf[AnyRow]
    following: Callable[[Session], Part] | None
    # The project whose tasks these are; None for the caller's own.
    project_id: int | None


def export_page(db: Session, user: Caller, query: ExportQuery) -> Export:
    """Begin an export; raises InvalidInput for a bad cursor, InvalidFilter, NotFound for a project or view."""
    if query.project_id is not None:
        rights.role_in(db, user, query.project_id)
    asked = asking.read(db, user, query.filter, query.view, query.tz)
    if asked.view is not None and (asked.view.sort_by or asked.view.sort_order):
        return _in_order_of_view(db, user, query)
    after_id = -1 if query.cursor is None else decode_cursor(query.cursor, int)[0]
    exported = _exported(db, user, query, asked)
    project_id = exported.place.project_id
    if query.limit is None:
        rows = _chunk(db, exported, after_id, EXPORT_CHUNK)
        return Export(PageOf(rows, None), _behind(exported, rows), project_id)
    number = min(query.limit, EXPORT_CHUNK)
    rows = _chunk(db, exported, after_id, number + 1)
    if len(rows) <= number:
        return Export(PageOf(rows, None), None, project_id)
    rows = rows[:number]
    if number == query.limit:
        return Export(PageOf(rows, encode_cursor(rows[-1].id)), None, project_id)
    left = query.limit - number
    ids = [row.id for row in _read(db, exported, "ids", after_id=rows[-1].id, at_most=left + 1)]
    cursor = encode_cursor(ids[left - 1]) if len(ids) > left else None
    filters = TaskFilters(project_id=project_id)
    return Export(PageOf(rows, cursor), _those(exported, filters, ids[:left]), project_id)


def _exported(db: Session, user: Caller, query: ExportQuery, asked: asking.Asked) -> Exported:
    project_id, asked = asked.placed(query.project_id)
    place = shapes.Place(user.id if project_id is None else None, project_id)
    if asked.normal is None:
        return Exported(place)
    return Exported(place, with_known_values(db, asked.normal, place))


def _chunk(db: Session, exported: Exported, after_id: int, at_most: int) -> list[AnyRow]:
    """The next tasks after an id, in the order of their ids."""
    return _read(db, exported, "chunk", after_id=after_id, at_most=at_most)


def _behind(exported: Exported, rows: list[AnyRow]) -> Callable[[Session], Part] | None:
    """Return a function that reads the rows behind these, unless these were the last."""
    if len(rows) != EXPORT_CHUNK:
        return None

    def read(db: Session) -> Part:
        more = _chunk(db, exported, rows[-1].id, EXPORT_CHUNK)
        return Part(more, _behind(exported, more))

    return read


def _those(exported: Exported, filters: TaskFilters, ids: Sequence[int]) -> Callable[[Session], Part] | None:
    """Return a function that reads these tasks, in this order.

    The header comes before the rows, so the end of a part is found first. The kept ids say which tasks are in it. So
    if tasks change before they are sent, the part has no more than its limit, and the next one repeats and skips none.
    """
    if not ids:
        return None

    def read(db: Session) -> Part:
        with asking.one_moment(db, exported.normal):
            here, asked = asking.split(db, filters, exported.normal, exported.place)
            rows = pages.among(db, exported.place, here, asked, ids[:EXPORT_CHUNK])
        return Part(rows, _those(exported, filters, ids[EXPORT_CHUNK:]))

    return read


def _in_order_of_view(db: Session, user: Caller, query: ExportQuery) -> Export:
    """Begin an export in the order of its view, from the pages of a list."""
    sent = query.model_dump(exclude_unset=True, exclude={"limit"})
    filters, normal = asking.of_list(db, user, TaskFilters(**sent))
    place = shapes.Place(user.id if filters.project_id is None else None, filters.project_id)

    def page(db: Session, cursor: str | None, left: int) -> PageOf[AnyRow]:
        here = filters.model_copy(update={"cursor": cursor, "limit": min(left, LIST_PAGE)})
        with asking.one_moment(db, normal):
            here, asked = rare_titles.split(db, here, normal, place)
            return pages.page(db, place, here, asked)

    def on(db: Session, cursor: str) -> Part:
        found = page(db, cursor, LIST_PAGE)
        return Part(found.rows, following(found.next_cursor))

    def following(cursor: str | None) -> Callable[[Session], Part] | None:
        return None if cursor is None else partial(on, cursor=cursor)

    if query.limit is None:
        first = page(db, query.cursor, LIST_PAGE)
        return Export(PageOf(first.rows, None), following(first.next_cursor), place.project_id)
    first = last = page(db, query.cursor, query.limit)
    ids: list[int] = []
    while last.next_cursor is not None and (left := query.limit - len(first.rows) - len(ids)) > 0:
        last = page(db, last.next_cursor, left)
        ids += [row.id for row in last.rows]
    those = _those(Exported(place, normal), filters, ids)
    return Export(PageOf(first.rows, last.next_cursor), those, place.project_id)


def export_next(
    db: Session,
    user: Caller,
    page: Export,
    following: Callable[[Session], Part],
    write: Callable[..., list[bytes]],
) -> tuple[Callable[[Session], Part] | None, list[bytes]]:
    """The pieces that `write` makes of the next rows, and how to read the rows behind them.

    Raises NotFound if the user does not see the project any more.
    """
    if page.project_id is not None:
        rights.role_in(db, user, page.project_id)
    read = following(db)
    return read.following, write(read.rows, first=False)


def _read(db: Session, exported: Exported, part: str, after_id: int, **more: Any) -> list[AnyRow]:
    place, normal = exported
    values = {
        **place._asdict(),
        "until_id": LARGEST_ID,
        "from_id": min(after_id + 1, LARGEST_ID),
        **more,
    }
    on_postgres = not is_sqlite(db)
    if normal is None:
        return list(db.execute(_statement(part, place.scope, on_postgres=on_postgres), values).all())
    with asking.one_moment(db, normal):
        shape, texts = asking.as_shape(db, rare_titles.looked_up(db, normal, place), place)

        def build() -> Select[Any]:
            return _build(part, place.scope, shape, on_postgres=on_postgres)

        key = ("export", part, place.scope, shape)
        return list(statement_cache.execute(db, key, build, values | texts).all())


@cache
def _statement(part: str, scope: shapes.Scope, *, on_postgres: bool) -> Select[Any]:
    return prepared(_build(part, scope, None, on_postgres=on_postgres))


def _build(part: str, scope: shapes.Scope, shape: shapes.Shape | None, *, on_postgres: bool) -> Select[Any]:
    """The statement of the next `chunk`, or of its `ids`."""
    key: list[ColumnElement[int]] = [tasks.c.id]
    owner: list[ColumnElement[int]] = []
    if on_postgres:
        # In the order of ids alone, Postgres would go through everybody's tasks.
        key, owner = [column_of(scope), tasks.c.id], [parameter_of(scope)]
    statement = visible_tasks(scope, in_order=on_postgres).order_by(*key)
    # A bound that leaves out the owner itself would make Postgres guess that few tasks are left.
    statement = statement.where(tuple_(*key) >= tuple_(*owner, bindparam("from_id")))
    if shape is not None:
        asked = query_conditions.condition(shape, scope)
        if shapes.most_alternatives(shape) > FEW_PARTS:
            asked = UnindexedOnPostgres(asked)
        statement = statement.where(asked)
    if part == "ids":
        statement = statement.with_only_columns(tasks.c.id)
    until = tuple_(*key) <= tuple_(*owner, bindparam("until_id"))
    return statement.where(until).limit(bindparam("at_most"))


def json_part(rows: Sequence[AnyRow], *, first: bool) -> list[bytes]:
    """Rows as pieces of a JSON array, without its brackets."""
    plain = [dict(zip(CSV_COLUMNS, row, strict=False)) for row in rows]
    pieces = list(json_pieces(plain, _EXPORTED.dump_json))
    return pieces if first or not pieces else [b",", *pieces]


def csv_part(rows: Sequence[AnyRow], *, first: bool) -> list[bytes]:
    """Rows as pieces of CSV; before the first rows comes the line that names the columns."""
    pieces = []
    for start in range(0, max(1, len(rows)), WRITTEN_TOGETHER):
        out = io.StringIO(newline="")
        writer = csv.writer(out)
        if first and not start:
            writer.writerow(CSV_COLUMNS)
        for row in rows[start : start + WRITTEN_TOGETHER]:
            writer.writerow([_to_cell(name, value) for name, value in zip(CSV_COLUMNS, row, strict=False)])
        pieces.append(out.getvalue().encode())
    return pieces


def _to_cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return rfc3339(value)
    if name == "tags":
        value = json.dumps(value, ensure_ascii=False)
    # Numbers and times can't be formulas; an empty text must differ from a missing value.
    return formula_free(value) if isinstance(value, str) else str(value)
