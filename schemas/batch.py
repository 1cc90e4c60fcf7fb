"""Many changes of tasks in one call."""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Field, ValidationError, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from schemas.common import Answer, Body, Id, Text
from schemas.problems import Problem
from schemas.tasks import TaskCreate, TaskRead, TaskUpdate

MOST_OPERATIONS = 1000
# The operations of a batch may have this many more fields than they can use, so that each unknown one is named.
MOST_UNKNOWN = 100

IfMatch = Annotated[
    Text | None,
    Field(max_length=1000, description="Change the task only if it still has this `ETag`"),
]


class Refused(NamedTuple):
    """A task that failed its validation, with Pydantic's list of problems."""

    problems: list[Any]
    allowed: tuple[str, ...]


def _of(model: type[Body]) -> WrapValidator:
    """Validate a task, or return a `Refused`: a bad task fails its own operation, not the whole call."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            problems = error.errors(include_url=False, include_input=False)
            return Refused(list(problems), tuple(model.model_fields))

    return WrapValidator(check)


class CreateOperation(Body):
    """Like `POST /tasks`."""

    op: Literal["create"]
    task: Annotated[TaskCreate, _of(TaskCreate)]


class UpdateOperation(Body):
    """Like `PATCH /tasks/{id}`."""

    op: Literal["update"]
    id: Id
    if_match: IfMatch = None
    task: Annotated[TaskUpdate, _of(TaskUpdate)]


class AssignOperation(Body):
    """Like `PUT /tasks/{id}/assign`."""

    op: Literal["assign"]
    id: Id
    assigned_user_id: Annotated[Id, Field(description="The new owner", examples=[2])]
    if_match: IfMatch = None


class DeleteOperation(Body):
    """Like `DELETE /tasks/{id}`."""

    op: Literal["delete"]
    id: Id
    if_match: IfMatch = None


Operation = CreateOperation | UpdateOperation | AssignOperation | DeleteOperation
_KINDS: dict[Any, type[Operation]] = {
    "create": CreateOperation,
    "update": UpdateOperation,
    "assign": AssignOperation,
    "delete": DeleteOperation,
}
_FIELDS = {kind: frozenset(kind.model_fields) for kind in _KINDS.values()}
_MOST_KNOWN = max(map(len, _FIELDS.values()))


class _NoOperation(Body):
    """A model for operations without a known `op`, so that the error names `op`."""

    op: Literal["create", "update", "assign", "delete"]


def _by_op(value: Any, _handler: Callable[[Any], Any]) -> Operation:
    """Parse an operation by its `op`. A union would put the name of a class into each error's pointer."""
    op = value.get("op") if isinstance(value, dict) else None
    kind = _KINDS.get(op) if isinstance(op, str) else None
    if kind is None:
        if isinstance(value, dict):
            value = {name: value[name] for name in value if name == "op"}
        _NoOperation.model_validate(value)
    assert kind is not None
    if not value.keys() <= _FIELDS[kind]:
        raise _unknown_fields(value, kind)
    return kind.model_validate(value)


def _unknown_fields(value: dict[Any, Any], kind: type[Operation]) -> ValidationError:
    allowed = ", ".join(kind.model_fields)
    unknown: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError(
                "unknown_field", "Unknown field; allowed: {allowed}", {"allowed": allowed}
            ),
            "loc": (name,),
            "input": None,
        }
        for name in value
        if name not in kind.model_fields
    ]
    return ValidationError.from_exception_data("Operation", unknown)


def _few_fields(operations: Any) -> Any:
    """Refuse many unknown fields by their number: a list of them would take longer than the whole batch."""
    if isinstance(operations, list):
        number = sum(len(each) for each in operations if isinstance(each, dict))
        if number > _MOST_KNOWN * len(operations) + MOST_UNKNOWN:
            raise PydanticCustomError(
                "too_many_fields",
                "An operation has at most {most} fields; these {operations} have {number} together",
                {"most": _MOST_KNOWN, "operations": f"{len(operations):,}", "number": f"{number:,}"},
            )
    return operations


class Batch(Body):
    """Operations, which are executed in their order."""

    atomic: Annotated[bool, Field(description="Whether a failed operation undoes all others")] = True
    operations: Annotated[
        list[Annotated[Operation, Field(discriminator="op"), WrapValidator(_by_op)]],
        Field(
            min_length=1,
            max_length=MOST_OPERATIONS,
            examples=[
                [
                    {"op": "create", "task": {"title": "Write the report"}},
                    {"op": "update", "id": 1, "if_match": '"1-3"', "task": {"status": "completed"}},
                    {"op": "assign", "id": 2, "assigned_user_id": 2},
                    {"op": "delete", "id": 3},
                ]
            ],
        ),
        BeforeValidator(_few_fields),
    ]


class BatchResult(Answer):
    """The result of an operation."""

    status: Annotated[int, Field(description="As the operation's own endpoint answers", examples=[201])]
    task: Annotated[TaskRead | None, Field(description="Missing after `delete` and after a failure")] = None
    error: Annotated[
        Problem | None,
        Field(description="Only after a failure, as the operation's own endpoint answers"),
    ] = None


class BatchAnswer(Answer):
    """The results, one for each operation, in the same order."""

    results: list[BatchResult]
