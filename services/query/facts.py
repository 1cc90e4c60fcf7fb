"""The parts of filters in their normal form: facts about a task, their opposites, and what joins them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from services.query.fields import Field


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values, which are sorted; the field `tag` has any of them."""

    field: Field
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Within:
    """The field lies in a range without its end; None means that the range is open on that side."""

    field: Field
    start: Any
    behind: Any

    @property
    def is_bounded(self) -> bool:
        """Whether the range has both ends."""
        return self.start is not None and self.behind is not None


@dataclass(frozen=True, slots=True)
class Contains:
    """The folded field contains this text, which is folded too."""

    field: Field
    text: str


@dataclass(frozen=True, slots=True)
class Present:
    """The field is not missing."""

    field: Field


Fact: TypeAlias = OneOf | Within | Contains | Present


@dataclass(frozen=True, slots=True)
class Test:
    """A fact that must hold, or must not."""

    fact: Fact
    holds: bool = True


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part is true; without parts, every task matches."""

    parts: tuple["Normal", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part is true; without parts, no task matches."""

    parts: tuple["Normal", ...]


Normal: TypeAlias = Test | AllOf | AnyOf
EVERYTHING, NOTHING = AllOf(()), AnyOf(())


def tests_in(normal: Normal) -> Iterator[Test]:
    """All tests of a filter."""
    if isinstance(normal, Test):
        yield normal
    else:
        for part in normal.parts:
            yield from tests_in(part)
