"""The tree of a filter, with its values as written: it is the same for every request and can be kept."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal, TypeAlias

from services.query.fields import Field

Unit = Literal["m", "h", "d", "w", "mo", "y"]
Base = Literal["now", "today", "yesterday", "tomorrow"]


@dataclass(frozen=True, slots=True)
class Relative:
    """A time that moves with the clock: `today+7d`."""

    base: Base
    amount: int = 0
    unit: Unit = "d"


# A time without a zone stays naive until the request adds its zone; a day is a date.
Value: TypeAlias = int | str | bool | datetime | date | Relative


@dataclass(frozen=True, slots=True)
class Comparison:
    """A field, an operator and its values, with the places where the field and each value begin."""

    field: Field
    operator: str
    values: tuple[Value, ...]
    place: int
    value_places: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Node"


@dataclass(frozen=True, slots=True)
class And:
    parts: tuple["Node", ...]


@dataclass(frozen=True, slots=True)
class Or:
    parts: tuple["Node", ...]


Node: TypeAlias = Comparison | Not | And | Or
