"""Reading JSON element by element, so that memory holds one element and a part of the text at a time.

The elements stand in an array, or follow one another as in NDJSON.
"""

import contextlib
import io
import json
import re
from collections.abc import Iterator
from typing import Any

from storage.json_objects import Repeat, each_field_once

CHUNK = 256 * 1024

_SPACE = re.compile(r"[ \t\n\r]*")


class NotJson(ValueError):
    """The text is no list of JSON elements, or an element is too long; the message says where and why."""


class OtherJson(NotJson):
    """The text is one JSON value that is no array; the message says what it is."""

    def __init__(self, value: Any) -> None:
        kind = "object" if isinstance(value, dict) else "text" if isinstance(value, str) else "value"
        listing = [name for name, each in value.items() if isinstance(each, list)] if kind == "object" else []
        has = f" with a list in `{listing[0][:50]}`" if len(listing) == 1 else ""
        super().__init__(f"This is one JSON {kind}{has}. A JSON array is expected")


class JsonText:
    """A JSON text of which only a part is decoded at a time."""

    def __init__(self, body: bytes, longest_element: int) -> None:
        self._stream = io.TextIOWrapper(io.BytesIO(body), "utf-8-sig", newline="")
        self._longest = longest_element
        self._part, self._place, self._before = "", 0, 0
        self._lines_before = 1
        # The objects read so far that have a field twice.
        self.repeats: list[Repeat] = []
        self._decoder = json.JSONDecoder(object_pairs_hook=each_field_once(self.repeats))

    def line(self) -> int:
        """The number of the current line."""
        return self._lines_before + self._part.count("\n", 0, self._place)

    def _more(self) -> bool:
        """Append the next part to the unread rest; False at the end of the text."""
        try:
            following = self._stream.read(CHUNK)
        except UnicodeDecodeError:
            raise self.error("not UTF-8") from None
        if not following:
            return False
        self._lines_before += self._part.count("\n", 0, self._place)
        self._before += self._place
        self._part, self._place = self._part[self._place :] + following, 0
        return True

    def symbol(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            space = _SPACE.match(self._part, self._place)
            assert space is not None
            self._place = space.end()
            if self._place < len(self._part):
                return self._part[self._place]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Skip the next character."""
        self._place += 1

    def value(self) -> Any:
        """The value that begins here."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._part, self._place)
            except (ValueError, RecursionError) as error:
                if len(self._part) - self._place > self._longest or not self._more():
                    raise self._refusal(error) from None
                continue
            # A number may continue in the next part.
            if end < len(self._part) or not self._more():
                self._place = end
                return value

    def _refusal(self, error: Exception) -> NotJson:
        if not isinstance(error, json.JSONDecodeError):
            return self.error("a number is too long, or brackets are nested too deep")
        why = error.msg
        if len(self._part) - self._place > self._longest:
            why = f"{why}, or an element is longer than {self._longest:,} characters"
        return self.error(why, error.pos)

    def error(self, why: str, place: int | None = None) -> NotJson:
        """The error with its reason, and the number of the character."""
        return NotJson(f"at character {self._before + (self._place if place is None else place)}: {why}")


def elements(text: JsonText, *, lines: bool) -> Iterator[Any]:
    """The elements of an array, or objects that follow one another; raises NotJson where reading fails.

    A single object is accepted only if `lines` are expected: otherwise it may be a file of another form.
    """
    begins_with = text.symbol()
    if begins_with == "[":
        yield from _array(text)
    elif begins_with == "{":
        first = text.value()
        if not (lines or text.symbol()):
            raise OtherJson(first)
        yield first
        while text.symbol():
            yield text.value()
    elif not lines:
        raise _without_array(text)
    elif begins_with:
        raise text.error("a JSON object on each line is expected")


def _without_array(text: JsonText) -> NotJson:
    """The error for a text that begins neither an array nor an object."""
    refusal = text.error("a JSON array is expected")
    with contextlib.suppress(NotJson):
        value = text.value()
        if not text.symbol():
            return OtherJson(value)
    return refusal


def _array(text: JsonText) -> Iterator[Any]:
    text.skip()
    if text.symbol() == "]":
        text.skip()
    else:
        while True:
            yield text.value()
            symbol = text.symbol()
            if symbol not in (",", "]") or not symbol:
                raise text.error("`,` or `]` is expected")
            text.skip()
            if symbol == "]":
                break
            text.symbol()
    if text.symbol():
        raise text.error("nothing is expected behind the array")
