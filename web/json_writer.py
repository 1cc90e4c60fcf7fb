"""The JSON of an answer, written by its response model without validating it again."""

from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Row
from typing_extensions import TypedDict

from models import Caller


class JsonWriter:
    """Writes what an endpoint returned by its response model, without validating it again.

    Rows are written by the names of the model's fields. That what is sent is what is declared is for
    the tests to prove: they check every answer against the OpenAPI document.
    """

    def __init__(self, model: Any) -> None:
        self._item: type[BaseModel] | None = None
        self._fields: tuple[str, ...] = ()
        item = get_args(model)[0] if get_origin(model) is list else model
        if isinstance(item, type) and issubclass(item, BaseModel):
            self._item = item
            self._fields = tuple(item.model_fields)
            # A TypedDict of the same fields is written from plain dicts.
            shape: Any = TypedDict(item.__name__, get_type_hints(item, include_extras=True))  # type: ignore[misc]
            item = shape
        self._adapter: TypeAdapter[Any] = TypeAdapter(list[item] if get_origin(model) is list else item)  # type: ignore[valid-type]

        # Rows of plain values: orjson writes the same bytes in a third of the time.
        self._are_rows_plain = self._item is not None and all(
            _is_plain(field.annotation) for field in self._item.model_fields.values()
        )

    def dump(self, content: Any) -> bytes:
        """The JSON of a row, a dict, a model, or a list of them."""
        if self._item is not None:
            first = content[0] if isinstance(content, list) and content else content
            is_plain = self._are_rows_plain and isinstance(first, Row)
            content = self._plain_list(content) if isinstance(content, list) else self._plain(content)
            if is_plain:
                return orjson.dumps(content, option=orjson.OPT_UTC_Z)
        return self._adapter.dump_json(content)

    def _plain_list(self, items: list[Any]) -> list[Any]:
        fields = self._fields
        # The usual case: rows whose columns stand in the order of the fields, with others behind them.
        if items and isinstance(items[0], Row) and items[0]._fields[: len(fields)] == fields:
            return [dict(zip(fields, item, strict=False)) for item in items]
        return [self._plain(item) for item in items]

    def _plain(self, item: Any) -> Any:
        if isinstance(item, Row):
            return {name: getattr(item, name) for name in self._fields}
        if isinstance(item, BaseModel):
            return item.__dict__
        return item._asdict() if isinstance(item, Caller) else item


def _is_plain(annotation: Any) -> bool:
    """Whether a value of this type is written alike by both: numbers with a point and nested objects may not be."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_plain(parts[0])
    if origin in (list, Union, UnionType):
        return all(_is_plain(part) for part in parts)
    return origin is Literal or annotation in (str, int, bool, NoneType, datetime)
