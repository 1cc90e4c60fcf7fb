"""Pages by keyset: a cursor names the row before the next page, so that no row is repeated or skipped."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, bindparam
from sqlalchemy.orm import Session

from database import AnyRow
from errors import InvalidInput, invalid_at
from models import LARGEST_ID
from schemas.common import OldestFirst, Page
from storage.prepared import prepared
from tables.views import SortOrder

T = TypeVar("T")


@dataclass(slots=True)
class PageOf(Generic[T]):
    """The rows of a page, and the cursor of the next page if there is one."""

    rows: list[T]
    next_cursor: str | None
    # The number of rows on all pages, if it was asked for.
    total: int | None = None


def encode_cursor(*key: Any) -> str:
    """The place after a row, as text that is safe in a URL; JSON must be able to hold `key`."""
    text = json.dumps(key, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type | tuple[type, ...]) -> list[Any]:
    """The key that `encode_cursor` was given, with its types checked; raises InvalidInput."""
    try:
        raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        key = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise invalid_cursor() from None
    if not isinstance(key, list) or len(key) != len(kinds):
        raise invalid_cursor()
    for value, kind in zip(key, kinds, strict=True):
        if (
            not isinstance(value, kind)
            or isinstance(value, bool)
            or (isinstance(value, int) and abs(value) >= 2**63)
        ):
            raise invalid_cursor()
        # JSON lets lone surrogates and NUL through, which a database would refuse.
        if isinstance(value, str) and ("\0" in value or value.encode("utf-8", "ignore").decode() != value):
            raise invalid_cursor()
    return key


def invalid_cursor(
    detail: str = "Not a cursor of this list: take it from the `Link` header as it stands",
) -> InvalidInput:
    """The error for a cursor that another program made up, or that belongs to another order."""
    return invalid_at("?cursor", detail)


def check_cursor(page: Page) -> None:
    """Raise InvalidInput for a cursor beside `skip`."""
    if page.cursor is not None and page.skip:
        raise invalid_cursor("A cursor continues where a page ended, and can't be combined with `skip`")


def place_of(page: Page, kind: type[T], *, first: T) -> T:
    """The key after which a page begins, `first` for the first page; raises InvalidInput."""
    check_cursor(page)
    key: T = first if page.cursor is None else decode_cursor(page.cursor, kind)[0]
    return key


def pages_by_id(statement: Select[Any], row_id: ColumnElement[int]) -> dict[SortOrder, Select[Any]]:
    """The statements for a page of these rows in either order of their ids, behind `after_id`."""
    after_id: Any = bindparam("after_id")
    limit: Any = bindparam("limit")
    skip: Any = bindparam("skip")
    return {
        "asc": prepared(statement.where(row_id > after_id).order_by(row_id).limit(limit).offset(skip)),
        "desc": prepared(
            statement.where(row_id < after_id).order_by(row_id.desc()).limit(limit).offset(skip)
        ),
    }


def id_before(page: OldestFirst) -> int:
    """The id behind which a page begins in its order; raises InvalidInput."""
    if page.sort_order == "asc":
        return place_of(page, int, first=-1)
    check_cursor(page)
    return LARGEST_ID if page.cursor is None else int(decode_cursor(page.cursor, str, int)[1])


def cursor_behind(page: OldestFirst, row_id: int) -> str:
    """The cursor of the next page, which fits no page of the other order."""
    return encode_cursor(row_id) if page.sort_order == "asc" else encode_cursor("desc", row_id)


def first_of(rows: Sequence[T], limit: int, cursor_after: Callable[[T], str]) -> PageOf[T]:
    """A page of the first `limit` rows. If there is a row behind them, `cursor_after` their last row makes the cursor."""
    if len(rows) <= limit:
        return PageOf(list(rows), None)
    return PageOf(list(rows[:limit]), cursor_after(rows[limit - 1]))


def keyset_by_id(
    db: Session, statement: Select[Any], row_id: ColumnElement[int], page: Page, values: Mapping[str, Any]
) -> PageOf[AnyRow]:
    """A page of the rows that the statement selects, newest first; their first column must be the id."""
    check_cursor(page)
    if page.cursor is not None:
        statement = statement.where(row_id < decode_cursor(page.cursor, int)[0])
    if page.skip:
        statement = statement.offset(page.skip)
    rows = db.execute(statement.order_by(row_id.desc()).limit(page.limit + 1), values).all()
    return first_of(rows, page.limit, lambda row: encode_cursor(row.id))
