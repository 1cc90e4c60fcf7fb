"""Reading the values of a filter by the kind of the field that they are compared with."""

import re
from collections.abc import Callable, Mapping
from datetime import date

from schemas.common import RFC_3339, read_time
from services.query.fields import VALUES, Field, Kind
from services.query.tree import Relative, Value

_WHOLE = re.compile(r"(-?[0-9]+)(?:\.0+)?\Z")
_LARGEST = 2**63
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}\Z")
_RELATIVE = re.compile(
    r"(?ai:(now|today|yesterday|tomorrow))(?:\s*([+-])\s*([0-9]+)\s*((?ai:mo|[mhdwy])))?\Z"
)
# Fields that are stored without surrounding white space, so that filters strip their values too.
TIDY = ("project", "tag")
# A longer number leads beyond the calendar in any unit, and is not even read.
_MOST_DIGITS = 12


def read_value(field: Field, operator: str, text: str) -> Value:
    """Read a value of a field; raises ValueError, whose message says what could stand there."""
    if field.name in TIDY and operator not in ("~", "!~"):
        text = text.strip()
    value = _READERS[field.kind](text)
    if operator in ("~", "!~") and not text:
        raise ValueError(
            "every text contains the empty text: a text of at least one character could stand there"
        )
    # A text that is looked for by `~` need not be a whole value.
    if field.choices and operator not in ("~", "!~") and value not in field.choices:
        raise ValueError(f"`{field.name}` is one of {', '.join(field.choices)}")
    return value


def _expected(kind: Kind) -> ValueError:
    return ValueError(f"{VALUES[kind]} could stand there")


def _number(text: str) -> int:
    whole = _WHOLE.match(text)
    if whole is None or len(text) > 40:
        raise _expected("number")
    number = int(whole[1])
    if not -_LARGEST <= number < _LARGEST:
        raise ValueError("a whole number below 2^63 could stand there")
    return number


def _time(text: str) -> Value:
    relative = _RELATIVE.match(text)
    if relative is not None:
        base, sign, amount, unit = relative.groups()
        if sign is None:
            return Relative(base.lower())  # type: ignore[arg-type]  # one of the words of the pattern
        if len(amount) > _MOST_DIGITS:
            raise ValueError("the calendar ends before that")
        number = int(amount) if sign == "+" else -int(amount)
        return Relative(base.lower(), number, unit.lower())  # type: ignore[arg-type]  # as above
    try:
        if _DAY.match(text):
            return date.fromisoformat(text)
        if RFC_3339.fullmatch(text):
            return read_time(text)
    except ValueError:
        raise ValueError("there is no such day or time") from None
    raise _expected("time")


def _account(text: str) -> int | str:
    if _WHOLE.match(text):
        return _number(text)
    # Usernames are found in any letter case; all of their letters are ASCII.
    name = text.lower() if text.isascii() else text
    # A number is an id, in quotes too. So a username that looks like a number is found by `@123`.
    return name if name == "@me" else name.removeprefix("@")


def _flag(text: str) -> bool:
    word = text.lower() if text.isascii() else text
    if word not in ("true", "false"):
        raise _expected("flag")
    return word == "true"


def _text(text: str) -> str:
    return text


_READERS: Mapping[Kind, Callable[[str], Value]] = {
    "number": _number,
    "time": _time,
    "text": _text,
    "tags": _text,
    "account": _account,
    "flag": _flag,
}
