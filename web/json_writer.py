"""The JSON of an answer, written by its response model without validating it again."""

from typing import Any, get_args, get_origin, get_type_hints

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

    def dump(self, content: Any) -> bytes:
        """The JSON of a row, a dict, a model, or a list of them."""
        if self._item is not None:
            content = self._plain_list(content) if isinstance(content, list) else self._plain(content)
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
