"""What is said of a filter that can't be read: the place, what was met there, and what could stand there."""

from collections.abc import Iterable

from errors import InvalidInput

CODE = "invalid_filter"
_LONGEST_QUOTED = 40


class InvalidFilter(InvalidInput):
    """A filter that can't be read; never one that finds everything."""

    code, detail = CODE, "The filter can't be read"

    def __init__(self, place: int, problem: str, *, pointer: str = "?filter") -> None:
        self.place, self.problem = place, problem
        detail = f"Position {place}: {problem}"
        # Programs that show the place take it from here.
        error = {"pointer": pointer, "detail": detail, "position": place}
        super().__init__(f"{pointer}: {detail}", errors=[error])

    def at(self, pointer: str) -> "InvalidFilter":
        """The same of a filter that was not sent as the parameter `filter`."""
        return InvalidFilter(self.place, self.problem, pointer=pointer)


def met(text: str) -> str:
    """A piece of the filter as it is quoted back."""
    short = text if len(text) <= _LONGEST_QUOTED else text[: _LONGEST_QUOTED - 1] + "…"
    return f"met `{short}`"


def choice(names: Iterable[str]) -> str:
    """Several things as a sentence lists them: `a`, `b` or c."""
    *others, last = names
    return f"{', '.join(others)} or {last}" if others else last
