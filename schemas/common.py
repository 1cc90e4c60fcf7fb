"""Types that all schemas share, so that the same kind of value is validated in the same way everywhere."""

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeVar
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
    TAG_LENGTH,
    TITLE_LENGTH,
)
from storage.folding import normal_form
from tables.views import ZONE_LENGTH, SortOrder

# Whether a list covers what the caller has a part in, or everything.
Extent = Literal["own", "all"]
MOST_TAGS = 20
# The most times that a query parameter may be given, and so the most values of a filter of lists.
MOST_CHOICES = 20
# The normal form of a text has at least a quarter of its characters.
LONGEST_NAME = 4 * max(PROJECT_LENGTH, TAG_LENGTH)
# A cursor holds the folded title of a task in Base64. Some characters fold to three of four bytes each.
LONGEST_CURSOR = TITLE_LENGTH * 12 * 4 // 3 + 100

RFC_3339 = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,6}\d*)?([Zz]|[+-](?:[01]\d|2[0-3]):[0-5]\d)?", re.ASCII
)


def read_time(text: str) -> datetime:
    """The time that a text of the form `RFC_3339` stands for; raises ValueError if there is no such time."""
    if text[11:13] == "24":
        # Python 3.14 takes it for midnight.
        raise ValueError("hour must be in 0..23")
    return datetime.fromisoformat(text.upper())


def parse_time(value: Any) -> Any:
    """Parse an RFC 3339 time, a naive time as UTC; raises ValueError outside the years 1 to 9999."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, str) and RFC_3339.fullmatch(value):
        # Digits finer than a microsecond are cut off, as Postgres does.
        moment = read_time(value)
    else:
        raise ValueError("Input should be a time such as 2026-11-22T09:30:00Z")
    if moment.tzinfo is None:
        return moment.replace(tzinfo=UTC)
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time between the years 1 and 9999 in UTC") from None


_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
# A plus sign in an address is decoded as a space.
_LOST_PLUS = re.compile(r".{10}[Tt ]\d\d:\d\d:\d\d(\.\d+)? \d\d:\d\d", re.ASCII)


def day_or_time(value: Any) -> date:
    """Parse a day, or a time like `parse_time`; raises ValueError."""
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
    """The time zone with an IANA name; raises ValueError."""
    try:
        # Files beside the zones of many systems: copies that count leap seconds, and the zone of the machine.
        if not name.startswith(("posix/", "right/", "posixrules", "localtime")):
            return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        pass
    raise ValueError("Is not the IANA name of a time zone, such as Europe/Paris")


def beginning(day: date, zone: ZoneInfo) -> datetime:
    """The first moment of a day, also if the clocks skip midnight; raises ValueError."""
    try:
        return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    except OverflowError:
        raise ValueError("Input should be a time between the years 1 and 9999 in UTC") from None


def _moment(value: Any, info: ValidationInfo) -> datetime:
    """A time, or the beginning of a day in the model's `tz`. The model must declare `tz` before the times."""
    found = day_or_time(value)
    return found if isinstance(found, datetime) else beginning(found, zone_named(info.data.get("tz", "UTC")))


def _known_zone(name: str) -> str:
    return zone_named(name).key


def _storable(value: Any) -> Any:
    """The value; raises ValueError for a text that a database or UTF-8 can't hold."""
    if not isinstance(value, str):
        return value
    if "\0" in value:
        raise ValueError("Input should be text without NUL characters")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("Input should be text without lone surrogates") from None
    return value


def not_blank(value: str) -> str:
    """The value; raises ValueError for white space alone."""
    if not value.strip():
        raise ValueError("Input should not be blank")
    return value


def tidy(value: str) -> str:
    """The form in which a name is stored and compared: NFC, without white space around it.

    A text that is too long in every form is not normalized, because the check of its length refuses it.
    """
    value = value.strip()
    return value if len(value) > LONGEST_NAME else normal_form(value)


def _tidy_name(value: Any) -> Any:
    """The tidy form of a text; raises ValueError as `_storable` does."""
    if not isinstance(value, str):
        return value
    # Most names are in ASCII, which is in its normal form. A batch has thousands of them.
    return value.strip() if value.isascii() and "\0" not in value else tidy(_storable(value))


def _each_once(tags: list[str]) -> list[str]:
    """The tags in their order, each once; raises ValueError if there are too many."""
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
    """Accept a whole number with a decimal point, such as `2.0`, because many languages write it so."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class SentTime:
    """A time that a client sends back. It equals a stored time that agrees at the precision of the client.

    Clients often keep only milliseconds or seconds of a time.
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
# A BeforeValidator is called before the bounds of a text are checked. It stands behind them, because in front of them
# it would make Pydantic check them by functions of Python, which takes half of the time.
_STORABLE = BeforeValidator(_storable)
Text = Annotated[str, _STORABLE]
Title = Annotated[
    str,
    Field(min_length=1, max_length=TITLE_LENGTH, examples=["Write the report"]),
    _STORABLE,
    AfterValidator(not_blank),
]
Description = Annotated[
    str, Field(max_length=DESCRIPTION_LENGTH, examples=["Two pages, with figures"]), _STORABLE
]
# A read-only time, which a client may send back unchanged.
ReadOnlyTime = Annotated[SentTime, PlainValidator(SentTime), WithJsonSchema(TIME_SCHEMA)]
# A time that filters a list: a day or a time.
Moment = Annotated[datetime, PlainValidator(_moment), WithJsonSchema({"anyOf": [DAY_SCHEMA, TIME_SCHEMA]})]
TimeZone = Annotated[
    Text,
    Field(
        max_length=ZONE_LENGTH,
        description="The IANA name of the time zone in which days begin and end",
        examples=["Europe/Paris"],
    ),
    AfterValidator(_known_zone),
]
# A whole number from a client: every `int` in a body uses this type.
Whole = Annotated[int, BeforeValidator(_whole)]
Id = Annotated[Whole, Field(ge=0, le=LARGEST_ID)]
OfProject = Annotated[
    Id | None, Field(description="All tasks of this shared project, in which the caller is a member")
]
BlockedReason = Annotated[
    str,
    Field(min_length=1, max_length=BLOCKED_REASON_LENGTH, examples=["Waits for the figures"]),
    _STORABLE,
    AfterValidator(not_blank),
]
StateKey = Annotated[str, Field(min_length=1, max_length=STATE_KEY_LENGTH, examples=["review"]), _STORABLE]
Priority = Annotated[Whole, Field(ge=0, le=HIGHEST_PRIORITY, examples=[2])]
# A name is tidied first, so that the limits hold for the form that is stored.
TIDY = BeforeValidator(_tidy_name)
Project = Annotated[str, Field(min_length=1, max_length=PROJECT_LENGTH, examples=["Research"]), TIDY]
Tag = Annotated[str, Field(min_length=1, max_length=TAG_LENGTH, examples=["writing"]), TIDY]
Tags = Annotated[list[Tag], AfterValidator(_each_once), Field(json_schema_extra={"maxItems": MOST_TAGS})]
# Several values of one parameter, which match if any of them does.
T = TypeVar("T")
Choices = Annotated[list[T], BeforeValidator(_several), AfterValidator(_distinct)]
ANY_OF = "One value or more; any fits"
ProjectChoices = Annotated[
    Choices[Annotated[str, Field(max_length=PROJECT_LENGTH), TIDY]],
    Field(description=ANY_OF, examples=[["Research"]]),
]
TagChoices = Annotated[
    Choices[Annotated[str, Field(max_length=TAG_LENGTH), TIDY]],
    Field(description=ANY_OF, examples=[["writing"]]),
]
StateChoices = Annotated[Choices[StateKey], Field(description=ANY_OF, examples=[["review"]])]
PriorityChoices = Annotated[
    Choices[Annotated[int, Field(ge=0, le=HIGHEST_PRIORITY)]], Field(description=ANY_OF, examples=[[3, 4]])
]
# The service parses the filter, because its error names the position of a mistake.
QueryFilter = Annotated[
    str,
    # The schema takes the place of a `Field`, so that a description of the field would be lost.
    WithJsonSchema(
        {
            "type": "string",
            "description": "A filter in the filter language, which the guide explains",
            "minLength": 1,
            "maxLength": 2000,
            "examples": ["status != completed and (priority >= 3 or due < today+7d)"],
        }
    ),
]
ViewId = Annotated[
    Id, Field(description="A saved filter that applies too, in its order unless another one is given")
]


class Body(BaseModel):
    """A request body: unknown fields and values of a wrong type are errors."""

    model_config = ConfigDict(extra="forbid", strict=True)

    def sent(self) -> dict[str, Any]:
        """The values of the fields that were sent, in the order of the model."""
        sent = self.model_fields_set
        return {name: value for name, value in self.__dict__.items() if name in sent}


class Answer(BaseModel):
    """An answer of the API; every field is always present."""


class Message(Answer):
    """A confirmation that something was done."""

    message: Annotated[str, Field(examples=["Task deleted successfully"])]


class Ready(Answer):
    """The state of every part that the program needs."""

    parts: dict[str, str] = Field(
        examples=[{"database": "ok", "schema": "ok", "delivery": "ok", "webhooks": "ok"}]
    )


class Page(BaseModel):
    """The part of a list that is asked for."""

    model_config = ConfigDict(extra="forbid")

    limit: Annotated[int, Field(ge=1, le=500, description="The largest number of items")] = 100
    skip: Annotated[int, Field(ge=0, le=LARGEST_ID, description="Items to skip")] = 0
    cursor: Annotated[
        str | None,
        Field(
            max_length=LONGEST_CURSOR,
            description="The place of the next page, from the `Link` header; not with `skip`",
        ),
    ] = None


class LongPage(Page):
    """A page of a list that is short for most callers and that programs read whole."""

    limit: Annotated[int, Field(ge=1, le=500, description="The largest number of items")] = 500


class OldestFirst(Page):
    """A page of a list whose oldest rows come first unless asked otherwise."""

    sort_order: Annotated[SortOrder, Field(description="Oldest or newest first")] = "asc"
