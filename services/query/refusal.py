"""The error for a filter that can't be read: the place, the text that was met, and what could stand there."""

from collections.abc import Iterable

from errors import InvalidInput

_LONGEST_QUOTED = 40


class InvalidFilter(InvalidInput):
    """A filter that can't be read: it is refused, and never matches everything."""

    code, detail = "invalid_filter", "The filter can't be read"

    def __init__(self, place: int, problem: str, *, pointer: str = "?filter") -> None:
        self.place, self.problem = place, problem
        detail = f"Position {place}: {problem}"
        # The position is a number of its own, for programs that show the place.
        error = {"pointer": pointer, "detail": detail, "position": place}
        super().__init__(f"{pointer}: {detail}", errors=[error])

    def at(self, pointer: str) -> "InvalidFilter":
        """The same error for a filter that was sent elsewhere than in the parameter `filter`."""
        return InvalidFilter(self.place, self.problem, pointer=pointer)


def met(text: str) -> str:
    """A piece of the filter, as messages quote it."""
    short = text if len(text) <= _LONGEST_QUOTED else text[: _LONGEST_QUOTED - 1] + "…"
    return f"met `{short}`"


def choice(names: Iterable[str]) -> str:
    """A list of names for a sentence: `a`, `b` or c."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
