"""Writing the JSON of an answer by its response model, without validating the answer again."""

from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import orjson
from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Row
from typing_extensions import TypedDict

from services.json_pieces import json_array


class JsonWriter:
    """Writes an endpoint's result by its response model, without validating the result again.

    Rows are written by the names of the model's fields. The tests check every answer against the OpenAPI
    document, so that answers match their declarations.
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

        # orjson writes rows of plain values in a third of the time, as the same bytes.
        self._are_rows_plain = self._item is not None and all(
            _is_plain(field.annotation) for field in self._item.model_fields.values()
        )

    def dump(self, content: Any) -> bytes:
        """The JSON of a row, a dict, a model, or a list of them."""
        if self._item is not None:
            first = content[0] if isinstance(content, list) and content else content
            is_plain = self._are_rows_plain and isinstance(first, _ROW)
            content = self._plain_list(content) if isinstance(content, list) else self._plain(content)
            if is_plain:
                return json_array(content, dump_plain) if isinstance(content, list) else dump_plain(content)
        return (
            json_array(content, self._adapter.dump_json)
            if isinstance(content, list)
            else self._adapter.dump_json(content)
        )

    def _plain_list(self, items: list[Any]) -> list[Any]:
        fields = self._fields
        # In the usual case the first columns of a row are the fields, in the same order.
        if items and isinstance(items[0], Row) and items[0]._fields[: len(fields)] == fields:
            return [dict(zip(fields, item, strict=False)) for item in items]
        return [self._plain(item) for item in items]

    def _plain(self, item: Any) -> Any:
        if isinstance(item, _ROW):
            return {name: getattr(item, name) for name in self._fields}
        return item.__dict__ if isinstance(item, BaseModel) else item


# Rows come from the database or, as named tuples, from services.
_ROW = (Row, tuple)


def dump_plain(content: Any) -> bytes:
    """The JSON of plain values: of texts, whole numbers, times, lists and dicts."""
    return orjson.dumps(content, option=orjson.OPT_UTC_Z)


def _is_plain(annotation: Any) -> bool:
    """Whether orjson and Pydantic write this type alike, which floats and nested objects may not be."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_plain(parts[0])
    if origin in (list, Union, UnionType):
        return all(_is_plain(part) for part in parts)
    return origin is Literal or annotation in (str, int, bool, NoneType, datetime)
