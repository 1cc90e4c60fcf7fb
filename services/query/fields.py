"""The fields and operators of filters: the one list from which language, guide and tests derive."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from models import STATUSES

Kind = Literal["number", "text", "tags", "time", "account", "flag"]

EQUALITY = ("=", "!=", "in", "not in", "is null", "is not null")
ORDER = ("<", "<=", ">", ">=")
CONTAINS = ("~", "!~")

OPERATORS: Mapping[Kind, tuple[str, ...]] = {
    "number": EQUALITY + ORDER,
    "time": EQUALITY + ORDER,
    "text": EQUALITY + CONTAINS,
    "tags": EQUALITY + CONTAINS,
    "account": EQUALITY,
    "flag": EQUALITY,
}
MEANINGS: Mapping[str, str] = {
    "=": "is equal to; of `tag`: the task has it",
    "!=": "is not equal to, or is missing; of `tag`: the task does not have it",
    "in": "is one of a list",
    "not in": "is not in a list, or is missing",
    "is null": "is missing",
    "is not null": "is there",
    "<": "is less, or earlier",
    "<=": "is less, or earlier, or equal",
    ">": "is greater, or later",
    ">=": "is greater, or later, or equal",
    "~": "contains the text, in any letter case",
    "!~": "does not contain the text, or is missing",
}
VALUES: Mapping[Kind, str] = {
    "number": "a whole number",
    "time": "a day, a time, or `now`, `today`, `yesterday`, `tomorrow`, with an offset such as `+7d`",
    "text": "a word, or a text in quotes",
    "tags": "a word, or a text in quotes",
    "account": "an id, `@me` or a username",
    "flag": "`true` or `false`",
}


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a task, as filters name it."""

    name: str
    kind: Kind
    # The name of the field in the API's answers.
    of_task: str
    # Whether a task may lack it.
    nullable: bool
    # A value for examples.
    example: str
    # All values of the field, if they are limited.
    choices: tuple[str, ...] = ()

    @property
    def operators(self) -> tuple[str, ...]:
        return OPERATORS[self.kind]


FIELDS: Mapping[str, Field] = {
    field.name: field
    for field in (
        Field("id", "number", "id", nullable=False, example="17"),
        Field("title", "text", "title", nullable=False, example="report"),
        Field("description", "text", "description", nullable=True, example='"two pages"'),
        Field("status", "text", "status", nullable=False, example="in_progress", choices=STATUSES),
        Field("state", "text", "state", nullable=False, example="review"),
        Field("priority", "number", "priority", nullable=False, example="3"),
        Field("project", "text", "project", nullable=False, example="Research"),
        Field("project_id", "number", "project_id", nullable=True, example="4"),
        Field("tag", "tags", "tags", nullable=True, example='"on hold"'),
        Field("due", "time", "due_at", nullable=True, example="today+7d"),
        Field("created", "time", "created_at", nullable=False, example="2026-11-26"),
        Field("updated", "time", "updated_at", nullable=False, example="now-2h"),
        Field("completed", "time", "completed_at", nullable=True, example="2026-11-26T09:30:00Z"),
        Field("owner", "account", "user_id", nullable=False, example="@me"),
        Field("blocked", "flag", "blocked_at", nullable=False, example="true"),
    )
}


def example(field: Field, operator: str) -> str:
    """An example of a filter with this field and operator."""
    if operator.endswith("null"):
        return f"{field.name} {operator}"
    value = f"({field.example})" if operator.endswith("in") else field.example
    return f"{field.name} {operator} {value}"


def table() -> list[tuple[str, str, str]]:
    """Each field with each of its operators, and an example: the guide shows them, and a test runs them."""
    return [
        (field.name, operator, example(field, operator))
        for field in FIELDS.values()
        for operator in field.operators
    ]


def markdown() -> str:
    """The fields with their values and an example of each operator, as a table: the guide and `/docs` show it."""
    lines = ["| field | values | each operator |", "|---|---|---|"]
    for field in FIELDS.values():
        values = ", ".join(f"`{each}`" for each in field.choices) or VALUES[field.kind]
        # The examples have no `|`, so nothing in a code span ends the cell.
        examples = " ".join(f"`{example(field, operator)}`" for operator in field.operators)
        lines.append(f"| `{field.name}` | {values} | {examples} |")
    return "\n".join(lines)


def meanings() -> str:
    """The meaning of each operator, as a table."""
    lines = ["| operator | the task is found where the field |", "|---|---|"]
    return "\n".join([*lines, *(f"| `{operator}` | {meaning} |" for operator, meaning in MEANINGS.items())])
