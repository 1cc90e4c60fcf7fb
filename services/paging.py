"""Pages by keyset: a cursor says after which row to go on, so that no page repeats or skips a row."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select
from sqlalchemy.orm import Session

from database import AnyRow
from errors import InvalidInput
from schemas.common import Page

T = TypeVar("T")


@dataclass(slots=True)
class PageOf(Generic[T]):
    """The rows of a page, and the cursor of the next one where there is more."""

    rows: list[T]
    next_cursor: str | None
    # How many there are on all pages, where that was asked for.
    total: int | None = None


def encode_cursor(*key: Any) -> str:
    """The place behind a row, as text that is safe in a URL; `key` is what JSON can hold."""
    text = json.dumps(key, separators=(",", ":"), ensure_ascii=False)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type | tuple[type, ...]) -> list[Any]:
    """What `encode_cursor` was given, checked for its types; raises InvalidInput."""
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
        # What a database could not take: json lets lone surrogates and NUL through.
        if isinstance(value, str) and ("\0" in value or value.encode("utf-8", "ignore").decode() != value):
            raise invalid_cursor()
    return key


def invalid_cursor(
    detail: str = "Not a cursor of this list: take it from the `Link` header as it stands",
) -> InvalidInput:
    """What is said of a cursor that is not ours, or was made for another order."""
    return InvalidInput(f"?cursor: {detail}", errors=[{"pointer": "?cursor", "detail": detail}])


def place_of(page: Page, kind: type[T], *, first: T) -> T:
    """Behind which key a page goes on, `first` for the beginning; raises InvalidInput."""
    if page.cursor is not None and page.skip:
        raise invalid_cursor("It goes on where a page ended, and can't be combined with `skip`")
    key: T = first if page.cursor is None else decode_cursor(page.cursor, kind)[0]
    return key


def keyset_by_id(
    db: Session, statement: Select[Any], row_id: ColumnElement[int], page: Page, values: Mapping[str, Any]
) -> PageOf[AnyRow]:
    """A page of what the statement selects, newest first; its columns begin with the id."""
    if page.cursor is not None and page.skip:
        raise invalid_cursor("It goes on where a page ended, and can't be combined with `skip`")
    if page.cursor is not None:
        statement = statement.where(row_id < decode_cursor(page.cursor, int)[0])
    if page.skip:
        statement = statement.offset(page.skip)
    rows = list(db.execute(statement.order_by(row_id.desc()).limit(page.limit + 1), values).all())
    if len(rows) <= page.limit:
        return PageOf(rows, None)
    return PageOf(rows[: page.limit], encode_cursor(rows[page.limit - 1].id))
