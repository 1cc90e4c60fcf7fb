"""Errors of the domain, which services raise, and input problems in the API's form.

`web/problems.py` turns them into answers.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel

# An answer lists at most this many problems, each text with at most this many characters.
MOST_PROBLEMS = 100
LONGEST_TEXT = 1000


class AppError(Exception):
    """An error with a status, a stable code for programs and one sentence for a person."""

    status: int = 500
    code: str = "internal_error"
    detail: str = "Something went wrong on our side"

    def __init__(
        self,
        detail: str | None = None,
        *,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.detail = detail or type(self).detail
        self.code = code or type(self).code
        self.headers = dict(headers or {})
        self.errors = list(errors or [])
        super().__init__(self.detail)


def fault_of(error: Exception) -> Exception | None:
    """The error whose traceback belongs into the log: a fault of the program.

    None for a fault from outside, such as an unreachable database or a full disk: its message says enough.
    """
    return None if isinstance(error, AppError | OSError) else error


class BadRequest(AppError):
    status, code, detail = 400, "bad_request", "The request can't be understood"


class NotAuthenticated(AppError):
    status, code, detail = 401, "invalid_token", "Invalid token"

    def __init__(self, detail: str | None = None, *, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"WWW-Authenticate": "Bearer"})


class Forbidden(AppError):
    status, code, detail = 403, "forbidden", "You may not do this"


class NotFound(AppError):
    status, code, detail = 404, "not_found", "Not found"


class NotAcceptable(AppError):
    status, code, detail = (
        406,
        "not_acceptable",
        "This endpoint answers with none of the media types in `Accept`",
    )


class Conflict(AppError):
    status, code, detail = 409, "conflict", "The request conflicts with the current state"


class Gone(AppError):
    status, code, detail = 410, "gone", "This is not kept any more"


class PreconditionFailed(AppError):
    status, code = 412, "precondition_failed"
    detail = "Somebody else changed this first: get it again and repeat your change"


class ContentTooLarge(AppError):
    status, code, detail = 413, "content_too_large", "The body is larger than this endpoint takes"


class UnsupportedMediaType(AppError):
    status, code, detail = 415, "unsupported_media_type", "Send the body as application/json"


class InvalidInput(AppError):
    """Bad input. `errors` name the places: `#/title` in the body, `?status` in the query."""

    status, code, detail = 422, "invalid_input", "The input is not valid"


class TooManyRequests(AppError):
    """Too many requests: `retry_after` says in how many seconds the next one may come."""

    status, code, detail = 429, "too_many_requests", "Too many requests: wait before the next one"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after)})


class ServiceUnavailable(AppError):
    """A fault that may soon be over: `retry_after` says in how many seconds to try again."""

    status, code, detail = 503, "service_unavailable", "The service can't answer just now: try again shortly"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after)})


class DatabaseUnavailable(ServiceUnavailable):
    code, detail = "database_unavailable", "The database can't be reached just now: try again shortly"


class DatabaseReadOnly(DatabaseUnavailable):
    code, detail = "database_read_only", "The database is read-only at present: nothing can be changed"


class InsufficientStorage(AppError):
    status, code, detail = 507, "insufficient_storage", "The storage is full: nothing was changed"


# -- errors that several services raise ------------------------------------------------------------


def task_not_found() -> NotFound:
    """The error for a task that does not exist, or that the caller may not see."""
    return NotFound("Task not found", code="task_not_found")


def project_not_found() -> NotFound:
    """The error for a project that does not exist, or that the caller may not see."""
    return NotFound("Project not found", code="project_not_found")


def user_not_found() -> NotFound:
    """The error for an account that does not exist, is switched off, or may not be chosen here."""
    return NotFound("User not found", code="user_not_found")


def view_not_found() -> NotFound:
    """The error for a view that does not exist, or that the caller may not see."""
    return NotFound("View not found", code="view_not_found")


def webhook_not_found() -> NotFound:
    """The error for a webhook that does not exist, or that the caller may not see."""
    return NotFound("Webhook not found", code="webhook_not_found")


def admin_required() -> Forbidden:
    """The error for a member who asks for what only admins get."""
    return Forbidden("Admin access required", code="admin_required")


# -- input problems --------------------------------------------------------------------------------


def pointer_part(name: str | int) -> str:
    """The name of a field, or the place in an array, as a part of a pointer (RFC 6901)."""
    return str(name).replace("~", "~0").replace("/", "~1")


def _pointer(location: Sequence[str | int]) -> str:
    """The pointer to a mistake, from Pydantic's location."""
    place, *path = location
    if place == "body":
        return "#" + "".join(f"/{pointer_part(part)}" for part in path)
    if place == "query":
        return f"?{path[0]}" if path else "?"  # Without the place in a repeated parameter.
    if place == "path":
        return "/{" + ".".join(str(part) for part in path) + "}"
    return ".".join(str(part) for part in location)


def _printable(text: str) -> str:
    """A text that can be sent as UTF-8, whatever characters a client put into a quoted name."""
    return text.encode("utf-8", "backslashreplace").decode()


LENGTHS = {"too_short": ("least", "min_length"), "too_long": ("most", "max_length")}


def _fields_at(model: type[BaseModel], path: Iterable[str | int]) -> list[str]:
    """The fields of the model at a path within a body, such as `states` and `0`."""
    for part in path:
        if isinstance(part, str):
            field = model.model_fields.get(part)
            inner = None if field is None else _model_in(field.annotation)
            if inner is None:
                return []
            model = inner
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a value, or an element of a list, has by its annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def input_problems(
    problems: Iterable[Any], allowed: Sequence[str] | type[BaseModel] = ()
) -> list[dict[str, str]]:
    """Convert Pydantic's errors to the API's form. Input is not repeated, because it may be a secret.

    `allowed` are the fields that may stand in place of an unknown one, or the model of the whole body.
    """
    found = []
    for problem in problems:
        location, message = problem["loc"], problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "json_invalid":
            location, message = (
                ("body",),
                f"Not valid JSON at character {problem['loc'][-1]}: {problem['ctx']['error']}",
            )
        elif problem["type"] == "extra_forbidden":
            known = allowed if isinstance(allowed, Sequence) else _fields_at(allowed, location[1:-1])
            message = "Unknown field" + (f"; allowed: {', '.join(known)}" if known else "")
        elif problem["type"] in LENGTHS and problem["ctx"]["field_type"] == "Value":
            # Pydantic measures a text as a list, if its characters were checked first.
            bound, length = LENGTHS[problem["type"]]
            length = problem["ctx"][length]
            message = f"String should have at {bound} {length} character{'' if length == 1 else 's'}"
        elif problem["type"] in ("model_type", "model_attributes_type", "dict_type"):
            message = "Input should be a JSON object"
        elif problem["type"] == "string_unicode":
            message = "Input should be text without lone surrogates"
        found.append({"pointer": _pointer(location), "detail": message})
    return found


def _sendable(problem: dict[str, str]) -> dict[str, str]:
    """Shorten long names in a problem, and make them printable: a client may have sent a name of a megabyte."""
    return {
        name: _printable(text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}...")
        for name, text in problem.items()
    }


def invalid_input(problems: list[dict[str, str]], number: int | None = None) -> InvalidInput:
    """One error for all problems. Its sentence names the first problem and the number of others.

    `number` is the number of all problems, if these are only the first of them.
    """
    others = (number or len(problems)) - 1
    more = f" (and {others:,} more)" if others else ""
    problems = [_sendable(problem) for problem in problems[:MOST_PROBLEMS]]
    first = problems[0]
    where = "The body" if first["pointer"] == "#" else first["pointer"]
    return InvalidInput(f"{where}: {first['detail']}{more}", errors=problems)


def invalid_at(pointer: str, detail: str) -> InvalidInput:
    """The error for one mistake, whose place is `#/title` in the body, `?status` in the query, or `header.If-Match`."""
    return invalid_input([{"pointer": pointer, "detail": detail}])
