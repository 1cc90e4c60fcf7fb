"""The types that the schemas are made of: what they take is the same everywhere."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    ValidationInfo,
    WithJsonSchema,
)

from models import (
    BLOCKED_REASON_LENGTH,
    DESCRIPTION_LENGTH,
    HIGHEST_PRIORITY,
    LARGEST_ID,
    PROJECT_LENGTH,
    STATE_KEY_LENGTH,
    TITLE_LENGTH,
)
from storage.folding import normal_form

MOST_TAGS = 20
TAG_LENGTH = 50
# In the normal form a text has a quarter of its characters at least.
LONGEST_NAME = 4 * max(PROJECT_LENGTH, TAG_LENGTH)

RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6}\d*)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII)


def parse_time(value: Any) -> Any:
    """A time as RFC 3339 writes it, a naive one taken as UTC; raises ValueError outside the years 1 to 9999."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and RFC_3339.fullmatch(value):
        # What is finer than a microsecond is cut off, as Postgres' and Python's times do.
        moment = datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", value.upper()))
    else:
        raise ValueError("Input should be a time such as 2026-11-22T09:30:00Z")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time between the years 1 and 9999 in UTC") from None


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# A plus sign in an address is read as a space.
_LOST_PLUS = re.compile(r".{10}[Tt ]\d\d:\d\d:\d\d(\.\d+)? \d\d:\d\d", re.ASCII)


def day_or_time(value: Any) -> date:
    """A day, or a time as `parse_time` takes it; raises ValueError."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return value
    if isinstance(value, str) and not RFC_3339.fullmatch(value):
        if _LOST_PLUS.fullmatch(value):
            raise ValueError(
                "The plus sign of a time is written %2B in an address, or use Z: it came as a space"
            )
        try:
            if _DAY.fullmatch(value):
                return date.fromisoformat(value)
        except ValueError:
            pass
        raise ValueError("Input should be a day such as 2026-11-22, or a time such as 2026-11-22T09:30:00Z")
    found: date = parse_time(value)
    return found


@lru_cache(maxsize=256)
def zone_named(name: str) -> ZoneInfo:
    """The time zone of an IANA name; raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        raise ValueError("Is not the IANA name of a time zone, such as Europe/Paris") from None


def beginning(day: date, zone: ZoneInfo) -> datetime:
    """When a day begins; where the clocks skip midnight, the first moment after it. Raises ValueError."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time between the years 1 and 9999 in UTC") from None


def _moment(value: Any, info: ValidationInfo) -> datetime:
    """A time, or the beginning of a day in the model's `tz`, which must stand before."""
    found = day_or_time(value)
    return found if isinstance(found, datetime) else beginning(found, zone_named(info.data.get("tz", "UTC")))


def _known_zone(name: str) -> str:
    return zone_named(name).key


def _storable(value: str) -> str:
    """Text that a database and UTF-8 can hold; raises ValueError."""
    if "\0" in value:
        raise ValueError("Input should be text without NUL characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("Input should be text without lone surrogates") from None
    return value


def not_blank(value: str) -> str:
    if not value.strip():
        raise ValueError("Input should not be blank")
    return value


def tidy(value: str) -> str:
    """A name as it is kept and asked for: in NFC, without white space around it.

    A text that is too long for a name in any form stays as it is: the check of its length refuses it.
    """
    value = value.strip()
    return value if len(value) > LONGEST_NAME else normal_form(value)


def _each_once(tags: list[str]) -> list[str]:
    """The tags without repetitions, in their order; raises ValueError for too many."""
    once = list(dict.fromkeys(tags))
    if len(once) > MOST_TAGS:
        raise ValueError(f"List should have at most {MOST_TAGS} different tags, not {len(once)}")
    return once


def _several(value: Any) -> Any:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _distinct(values: list[Any]) -> list[Any]:
    return list(dict.fromkeys(values))


def _whole(value: Any) -> Any:
    """A whole number that is written with a decimal point, as JSON and many languages have it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class SentTime:
    """A time that a client sends back: equal to a time that is the same at the precision that was sent.

    Clients keep milliseconds or seconds of what they get, and cut off the rest.
    """

    __slots__ = ("_moment", "_step")

    def __init__(self, value: Any) -> None:
        self._moment: datetime = parse_time(value)
        fraction = RFC_3339.fullmatch(value)[1] if isinstance(value, str) else ".000000"  # type: ignore[index]
        self._step = 10 ** (6 - min(6, len(fraction or ".") - 1))

    def _cut(self, value: datetime) -> datetime:
        return value.replace(microsecond=value.microsecond // self._step * self._step)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, datetime) and self._cut(other) == self._moment

    def __lt__(self, other: datetime) -> bool:
        return self._moment < self._cut(other)

    __hash__ = None  # type: ignore[assignment]


DAY_SCHEMA = {"type": "string", "format": "date", "examples": ["2026-11-22"]}
TIME_SCHEMA = {"type": "string", "format": "date-time", "examples": ["2026-11-22T09:30:00Z"]}
Time = Annotated[
    datetime,
    BeforeValidator(parse_time),
    WithJsonSchema(TIME_SCHEMA),
]
Text = Annotated[str, AfterValidator(_storable)]
Title = Annotated[
    Text,
    Field(min_length=1, max_length=TITLE_LENGTH, examples=["Write the report"]),
    AfterValidator(not_blank),
]
Description = Annotated[Text, Field(max_length=DESCRIPTION_LENGTH, examples=["Two pages, with figures"])]
# A time that may be sent back only with the value it has.
ReadOnlyTime = Annotated[SentTime, PlainValidator(SentTime), WithJsonSchema(TIME_SCHEMA)]
# What a list is filtered by.
Moment = Annotated[datetime, PlainValidator(_moment), WithJsonSchema({"anyOf": [DAY_SCHEMA, TIME_SCHEMA]})]
TimeZone = Annotated[
    Text,
    Field(
        max_length=64,
        description="The IANA name of the time zone that days are of",
        examples=["Europe/Paris"],
    ),
    AfterValidator(_known_zone),
]
# What a client sends as a whole number: every `int` in a body is one.
Whole = Annotated[int, BeforeValidator(_whole)]
BlockedReason = Annotated[
    Text,
    Field(min_length=1, max_length=BLOCKED_REASON_LENGTH, examples=["Waits for the figures"]),
    AfterValidator(not_blank),
]
StateKey = Annotated[Text, Field(min_length=1, max_length=STATE_KEY_LENGTH, examples=["review"])]
Priority = Annotated[Whole, Field(ge=0, le=HIGHEST_PRIORITY, examples=[2])]
# Measured as they are kept.
Name = Annotated[Text, AfterValidator(tidy)]
Project = Annotated[Name, Field(min_length=1, max_length=PROJECT_LENGTH, examples=["Research"])]
Tag = Annotated[Name, Field(min_length=1, max_length=TAG_LENGTH, examples=["writing"])]
Tags = Annotated[list[Tag], AfterValidator(_each_once), Field(json_schema_extra={"maxItems": MOST_TAGS})]
# Several values of one parameter, any of which will do: a set.
T = TypeVar("T")
Choices = Annotated[list[T], BeforeValidator(_several), AfterValidator(_distinct)]
ANY_OF = "May be given several times: any of them"
ProjectChoices = Annotated[
    Choices[Annotated[Name, Field(max_length=PROJECT_LENGTH)]],
    Field(description=ANY_OF, examples=[["Research"]]),
]
TagChoices = Annotated[
    Choices[Annotated[Name, Field(max_length=TAG_LENGTH)]], Field(description=ANY_OF, examples=[["writing"]])
]
StateChoices = Annotated[Choices[StateKey], Field(description=ANY_OF, examples=[["review"]])]
PriorityChoices = Annotated[
    Choices[Annotated[int, Field(ge=0, le=HIGHEST_PRIORITY)]], Field(description=ANY_OF, examples=[[3, 4]])
]
# Read by the service, which says where one is wrong.
QueryFilter = Annotated[
    str,
    Field(description="In the language of filters: see the guide, and the fields at the end of this page"),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": 2000,
            "examples": ["status != completed and (priority >= 3 or due < today+7d)"],
        }
    ),
]
ViewId = Annotated[
    int,
    Field(
        ge=0,
        le=LARGEST_ID,
        description="A saved filter, which holds as well; in its order unless another is given",
    ),
]
Id = Annotated[Whole, Field(ge=0, le=LARGEST_ID, examples=[1])]


class Body(BaseModel):
    """What a client sends: every field is known, and of the type it should be."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Answer(BaseModel):
    """What the API sends; a field is always there."""


class Message(Answer):
    """That something was done."""

    message: Annotated[str, Field(examples=["Task deleted successfully"])]


class Ready(Answer):
    """That every part works which the program needs."""

    parts: dict[str, str] = Field(
        examples=[{"database": "ok", "schema": "ok", "delivery": "ok", "webhooks": "ok"}]
    )


class Page(BaseModel):
    """How much of a list is asked for, and from where."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 100
    skip: Annotated[int, Field(ge=0, le=LARGEST_ID, description="How many to leave out at the beginning")] = 0
    cursor: Annotated[
        str | None,
        Field(
            max_length=2000,
            description="Where to go on, from the `Link` header of the page before; not with `skip`",
        ),
    ] = None


class LongPage(Page):
    """The same for lists that are short with most people, and that programs read whole."""

    limit: Annotated[int, Field(ge=1, le=500, description="How many at most")] = 500
