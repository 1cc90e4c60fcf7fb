"""Random filters for tests, and an oracle that decides plainly from a filter's tree whether it finds a task."""

import random
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from services.query import syntax
from services.query.fields import FIELDS
from services.query.tree import And, Comparison, Node, Not, Relative


def folded(text: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


class Oracle:
    """Decides whether a filter finds a task, operator by operator, without rewriting the filter first."""

    def __init__(self, now: datetime, tz: str, me: int, accounts: Mapping[str, int]) -> None:
        self.now, self.zone, self.me, self.accounts = now, ZoneInfo(tz), me, accounts

    def finds(self, text: str, task: Mapping[str, Any]) -> bool:
        return self._is(syntax.parse(text), task)

    def _is(self, node: Node, task: Mapping[str, Any]) -> bool:
        if isinstance(node, Not):
            return not self._is(node.part, task)
        if isinstance(node, Comparison):
            return self._compares(node, task)
        return (all if isinstance(node, And) else any)(self._is(part, task) for part in node.parts)

    def _compares(self, node: Comparison, task: Mapping[str, Any]) -> bool:  # noqa: PLR0911  # one for each kind
        field, operator = node.field, node.operator
        value = task[field.of_task]
        if field.kind == "flag":
            value = value is not None
        if field.kind == "tags":
            return self._tags(operator, node.values, value)
        if value is None:
            return operator in ("!=", "not in", "!~", "is null")
        if operator in ("is null", "is not null"):
            return operator == "is not null"
        if field.kind == "time":
            return self._time(operator, node.values, datetime.fromisoformat(value))
        if operator in ("~", "!~"):
            return (folded(str(node.values[0])) in folded(value)) == (operator == "~")
        known = [self._value(each) if field.kind == "account" else each for each in node.values]
        if isinstance(value, str):
            value = unicodedata.normalize("NFC", value)
        if operator in ("=", "in"):
            return value in known
        if operator in ("!=", "not in"):
            return value not in known
        return _ordered(operator, value, known[0])

    def _tags(self, operator: str, values: Any, tags: list[str]) -> bool:
        if operator in ("is null", "is not null"):
            return bool(tags) == (operator == "is not null")
        if operator in ("~", "!~"):
            return any(folded(values[0]) in folded(tag) for tag in tags) == (operator == "~")
        return any(value in tags for value in values) == (operator in ("=", "in"))

    def _value(self, value: Any) -> Any:
        if isinstance(value, int):
            return value
        return self.me if value == "@me" else self.accounts.get(value)

    def _time(self, operator: str, values: Any, moment: datetime) -> bool:
        if operator in ("=", "in", "!=", "not in"):
            among = any(self._falls_on(value, moment) for value in values)
            return among == (operator in ("=", "in"))
        first, last = self._bounds(values[0])
        return {
            "<": moment < first,
            "<=": moment <= last,
            ">": moment > last,
            ">=": moment >= first,
        }[operator]

    def _falls_on(self, value: Any, moment: datetime) -> bool:
        first, last = self._bounds(value)
        return first <= moment <= last

    def _bounds(self, value: Any) -> tuple[datetime, datetime]:
        """The first and the last microsecond of a value. If a zone has skipped the day, it ends before it begins."""
        if isinstance(value, Relative):
            value = self._relative(value)
        if isinstance(value, datetime):
            moment = (value if value.tzinfo else value.replace(tzinfo=self.zone)).astimezone(UTC)
            return moment, moment
        first = datetime(value.year, value.month, value.day, tzinfo=self.zone).astimezone(UTC)
        following = value + timedelta(days=1)
        behind = datetime(following.year, following.month, following.day, tzinfo=self.zone).astimezone(UTC)
        return first, behind - timedelta(microseconds=1)

    def _relative(self, value: Relative) -> datetime | date:
        here = self.now.astimezone(self.zone)
        elapsed = timedelta(**{{"m": "minutes", "h": "hours"}.get(value.unit, "hours"): value.amount})
        if value.base == "now":
            if value.unit in "mh":
                return self.now + elapsed
            moment: datetime = here if value.amount == 0 else self._moved(here, value)
            return moment
        day = here.date() + timedelta(days={"today": 0, "yesterday": -1, "tomorrow": 1}[value.base])
        if value.unit in "mh":
            return datetime(day.year, day.month, day.day, tzinfo=self.zone).astimezone(UTC) + elapsed
        moved: date = self._moved(day, value)
        return moved

    @staticmethod
    def _moved(start: Any, value: Relative) -> Any:
        if value.unit in ("d", "w"):
            return start + timedelta(days=value.amount * (7 if value.unit == "w" else 1))
        month = start.month - 1 + value.amount * (12 if value.unit == "y" else 1)
        year, month = start.year + month // 12, month % 12 + 1
        for day in (start.day, 30, 29, 28):
            try:
                return start.replace(year=year, month=month, day=min(day, start.day))
            except ValueError:
                continue
        raise ValueError("no such month")


def _ordered(operator: str, left: Any, right: Any) -> bool:
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[operator])


# -- random tasks and filters ----------------------------------------------------------------------

ZONES = (
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kathmandu",
    "Pacific/Apia",
    "America/Havana",
)
# Times around midnight and around both changes of the clock in these zones.
DAYS = (
    "2026-03-08",
    "2026-03-29",
    "2026-10-25",
    "2026-11-01",
    "2026-11-26",
    "2026-11-27",
    "2026-11-28",
    "2024-02-29",
)
WORDS = (
    "report",
    "Straße",
    "STRASSE",
    "Ångström",
    "A\u030angstro\u0308m",
    "İstanbul",
    "50%",
    "a_b",
    "C:\\x",
    "ё",
    "Ёж",
    "x",
)
TAGS = ("urgent", "on hold", "Größe", "ΣΊΣΥΦΟΣ", "a,b", '"q"', "x")
PROJECTS = ("General", "Research", "Forschung & Öl", "straße")


LANGUAGE = ("and", "or", "not", "in", "is", "null")


def random_moment(chance: random.Random) -> str:
    """A time near the border of a day in one of the zones."""
    zone = ZoneInfo(chance.choice(ZONES))
    day = date.fromisoformat(chance.choice(DAYS))
    near = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
    step = timedelta(
        **{chance.choice(("microseconds", "minutes", "hours", "days")): chance.choice((-2, -1, 0, 0, 1, 2))}
    )
    return (near + step).isoformat().replace("+00:00", "Z")


def random_task(chance: random.Random, *, shared: bool = False) -> dict[str, Any]:
    """A task to be imported; a task of a shared project has no project name of its own."""
    title = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 3)))
    task: dict[str, Any] = {
        "title": title,
        "status": chance.choice(("pending", "in_progress", "completed")),
        "priority": chance.randint(0, 4),
        "project": chance.choice(PROJECTS),
        "tags": chance.sample(TAGS, chance.choice((0, 0, 1, 2, 3))),
        "created_at": random_moment(chance),
    }
    if shared:
        del task["project"]
    task["updated_at"] = chance.choice((task["created_at"], random_moment(chance)))
    if chance.random() < 0.6:
        task["description"] = " ".join(chance.choice(WORDS) for _ in range(chance.randint(1, 4)))
    if chance.random() < 0.6:
        task["due_at"] = random_moment(chance)
    if task["status"] != "completed" and chance.random() < 0.3:
        task |= {"blocked_at": random_moment(chance), "blocked_reason": "waits"}
    if task["status"] == "completed":
        task["completed_at"] = max(task["created_at"], random_moment(chance))
    return task


def quoted(chance: random.Random, text: str) -> str:
    """The text as a filter may write it."""
    bare = not any(each in " \"'()=<>!~,\\" for each in text) and text.lower() not in LANGUAGE
    if bare and chance.random() < 0.5:
        return text
    quote = chance.choice("\"'")
    return quote + text.replace("\\", "\\\\").replace(quote, f"\\{quote}") + quote


def random_time(chance: random.Random) -> str:
    """A value to compare times with."""
    kind = chance.randint(0, 3)
    if kind == 0:
        return chance.choice(DAYS)
    if kind == 1:
        moment = random_moment(chance)
        return moment if chance.random() < 0.7 else moment.removesuffix("Z")
    base = chance.choice(("now", "today", "yesterday", "tomorrow"))
    if kind == 2:
        return base
    sign = chance.choice("+-")
    unit = chance.choice(("m", "h", "d", "w", "mo", "y"))
    return f"{base}{chance.choice(('', ' '))}{sign}{chance.choice((0, 1, 2, 3, 7, 31, 48))}{unit}"


@dataclass(frozen=True)
class Vocabulary:
    """The values that tasks have, and the fields and values that filters ask for."""

    fields: Sequence[str] = tuple(FIELDS)
    words: Sequence[str] = WORDS
    tags: Sequence[str] = TAGS
    projects: Sequence[str] = PROJECTS
    usernames: Sequence[str] = ("ada", "nobody-here")


class RandomFilters:
    """Makes filters that ask for the values of random tasks."""

    def __init__(self, chance: random.Random, vocabulary: Vocabulary | None = None) -> None:
        self.chance, self.vocabulary = chance, vocabulary or Vocabulary()

    def filter(self, comparisons: int = 4) -> str:
        """A filter of up to this number of comparisons."""
        budget = {"title": 10, "description": 3}
        return self._node(self.chance.randint(1, comparisons), budget, 0)

    def _node(self, comparisons: int, budget: dict[str, int], depth: int) -> str:
        chance = self.chance
        if comparisons <= 1:
            text = self._comparison(budget)
        else:
            left = chance.randint(1, comparisons - 1)
            word = chance.choice((" and ", " or ", " AND ", "\nor\t"))
            text = (
                self._node(left, budget, depth + 1) + word + self._node(comparisons - left, budget, depth + 1)
            )
            if chance.random() < 0.5 and depth < 8:
                text = f"({text})"
        if chance.random() < 0.25 and depth < 8:
            text = f"not ({text})" if chance.random() < 0.6 else f"not {text}"
        return text

    def _comparison(self, budget: dict[str, int]) -> str:
        chance = self.chance
        while True:
            field = FIELDS[chance.choice(self.vocabulary.fields)]
            operator = chance.choice(field.operators)
            if "~" in operator and field.name in budget:
                if budget[field.name] == 0:
                    continue
                budget[field.name] -= 1
            name = chance.choice((field.name, field.name.upper()))
            if "null" in operator:
                return f"{name} {operator}"
            if operator in ("in", "not in"):
                values = ", ".join(self._value(field.name, operator) for _ in range(chance.randint(1, 4)))
                return f"{name} {operator} ({values})"
            space = chance.choice(("", " "))
            return f"{name}{space}{operator}{space}{self._value(field.name, operator)}"

    def _value(self, name: str, operator: str) -> str:
        chance = self.chance
        kind = FIELDS[name].kind
        if kind == "time":
            return random_time(chance)
        if kind == "number":
            return str(chance.choice((0, 1, 2, 3, 4, 7, 40, 2**63 - 1, -(2**63))))
        if kind == "flag":
            return chance.choice(("true", "false", "TRUE"))
        if kind == "account":
            return chance.choice(("@me", "1", "2", *self.vocabulary.usernames))
        choices = {
            "status": ("pending", "in_progress", "completed"),
            "state": ("pending", "in_progress", "completed", "review"),
            "project": self.vocabulary.projects,
            "tag": self.vocabulary.tags,
        }.get(name, self.vocabulary.words)
        text = chance.choice(choices)
        if "~" in operator:
            begin = chance.randrange(len(text))
            text = text[begin : begin + chance.randint(1, 4)]
            text = chance.choice((text, text.upper(), text.lower())) or "x"
        return quoted(chance, text)
