"""The domain's errors, and the one place that turns them into HTTP.

Services raise these; `install_error_handlers` makes `application/problem+json` (RFC 9457) of them
and of everything that FastAPI and Starlette refuse by themselves.
"""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from logging_config import logger, request_id_var


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
        errors: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        self.detail = detail or type(self).detail
        self.code = code or type(self).code
        self.headers = dict(headers or {})
        self.errors = list(errors or [])
        super().__init__(self.detail)


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
    status, code, detail = 406, "not_acceptable", "None of the media types in `Accept` is to be had here"


class Conflict(AppError):
    status, code, detail = 409, "conflict", "The request conflicts with the current state"


class PreconditionFailed(AppError):
    status, code = 412, "precondition_failed"
    detail = "Somebody else changed this first: get it again and repeat your change"


class ContentTooLarge(AppError):
    status, code, detail = 413, "content_too_large", "The body is larger than this endpoint takes"


class UnsupportedMediaType(AppError):
    status, code, detail = 415, "unsupported_media_type", "Send the body as application/json"


class InvalidInput(AppError):
    """Bad input; `errors` says where: `#/title` in the body, `?status` in the query."""

    status, code, detail = 422, "invalid_input", "The input is not valid"


class TooManyRequests(AppError):
    status, code, detail = 429, "too_many_requests", "Too many requests: wait before the next one"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after)})


class ServiceUnavailable(AppError):
    status, code, detail = 503, "service_unavailable", "The service can't answer just now: try again shortly"

    def __init__(self, detail: str | None = None, *, retry_after: int = 1, code: str | None = None) -> None:
        super().__init__(detail, code=code, headers={"Retry-After": str(retry_after)})


class DatabaseUnavailable(ServiceUnavailable):
    code, detail = "database_unavailable", "The database can't be reached just now: try again shortly"


class InsufficientStorage(AppError):
    status, code, detail = 507, "insufficient_storage", "The storage is full: nothing was changed"


class InputProblem(BaseModel):
    """Where the input is wrong, and how."""

    pointer: str = Field(examples=["#/title", "?status"])
    detail: str = Field(examples=["String should have at most 200 characters"])


class Problem(BaseModel):
    """An error as RFC 9457 describes it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "about:blank",
                    "title": "Not Found",
                    "status": 404,
                    "detail": "Task not found",
                    "code": "task_not_found",
                    "request_id": "5f0c6a0de1f44c4c9f43d35f0f4c2d5b",
                }
            ]
        }
    )

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[InputProblem] = Field(default=[], description="For bad input: each thing that is wrong")


# As RFC 9110 has them: older versions of Python know older names.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


def _title(status: int) -> str:
    return _TITLES.get(status) or HTTPStatus(status).phrase


PROBLEM_MEDIA_TYPE = "application/problem+json"
CODES_BY_STATUS = {
    400: BadRequest.code,
    401: NotAuthenticated.code,
    403: Forbidden.code,
    404: NotFound.code,
    405: "method_not_allowed",
    406: NotAcceptable.code,
    413: ContentTooLarge.code,
    415: UnsupportedMediaType.code,
}


def problem_response(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    errors: Iterable[Mapping[str, str]] = (),
) -> JSONResponse:
    """An error as it goes out."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id_var.get(),
    }
    if problems := list(errors):
        body["errors"] = problems
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=PROBLEM_MEDIA_TYPE)


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the errors with these statuses."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": _title(status),
            "content": {PROBLEM_MEDIA_TYPE: {"schema": schema, "example": _example(status)}},
        }
        for status in sorted(set(statuses))
    }


def _example(status: int) -> dict[str, Any]:
    """An error of this status as it usually is."""
    kinds: list[type[AppError]] = [AppError, *AppError.__subclasses__()]
    kind = next(kind for kind in kinds if kind.status == status)
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": _title(status),
        "status": status,
        "detail": kind.detail,
        "code": kind.code,
        "request_id": "5f0c6a0de1f44c4c9f43d35f0f4c2d5b",
    }
    if kind is InvalidInput:
        wrong = {"pointer": "#/title", "detail": "String should have at least 1 character"}
        example |= {"detail": f"{wrong['pointer']}: {wrong['detail']}", "errors": [wrong]}
    return example


def _pointer(location: Sequence[str | int]) -> str:
    """Where the input is wrong, from Pydantic's location."""
    place, *path = location
    if place == "body":
        escaped = (str(part).replace("~", "~0").replace("/", "~1") for part in path)
        return "#" + "".join(f"/{part}" for part in escaped)
    if place == "query":
        return f"?{path[0]}" if path else "?"  # Without the place in a repeated parameter.
    if place == "path":
        return "/{" + ".".join(str(part) for part in path) + "}"
    return ".".join(str(part) for part in location)


def _printable(text: str) -> str:
    """Text that can be sent as UTF-8, whatever a client put into a name that is quoted back."""
    return text.encode("utf-8", "backslashreplace").decode()


LENGTHS = {"too_short": ("least", "min_length"), "too_long": ("most", "max_length")}


def input_problems(problems: Iterable[Any], allowed: Sequence[str] = ()) -> list[dict[str, str]]:
    """Pydantic's errors in the API's shape; what was sent is not repeated, for it may be a secret."""
    found = []
    for problem in problems:
        location, message = problem["loc"], problem["msg"].removeprefix("Value error, ")
        if problem["type"] == "json_invalid":
            location, message = (
                ("body",),
                f"Not valid JSON at character {problem['loc'][-1]}: {problem['ctx']['error']}",
            )
        elif problem["type"] == "extra_forbidden":
            message = "Unknown field" + (f"; allowed: {', '.join(allowed)}" if allowed else "")
        elif problem["type"] in LENGTHS and problem["ctx"]["field_type"] == "Value":
            # A text whose characters were checked first is measured as if it were a list.
            bound, length = LENGTHS[problem["type"]]
            length = problem["ctx"][length]
            message = f"String should have at {bound} {length} character{'' if length == 1 else 's'}"
        elif problem["type"] == "string_unicode":
            message = "Input should be text without lone surrogates"
        found.append({"pointer": _printable(_pointer(location)), "detail": _printable(message)})
    return found


def invalid_input(problems: list[dict[str, str]]) -> InvalidInput:
    """One error for all that is wrong with the input, its sentence naming the first."""
    first = problems[0]
    more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
    where = "The body" if first["pointer"] == "#" else first["pointer"]
    return InvalidInput(f"{where}: {first['detail']}{more}", errors=problems)


def _allowed_fields(request: Request) -> list[str]:
    body_field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(body_field, "field_info", None), "annotation", None)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def error_response(request: Request, error: Exception) -> JSONResponse:
    """The answer to a request that ended in `error`."""
    if isinstance(error, RequestValidationError):
        error = invalid_input(input_problems(error.errors(), _allowed_fields(request)))
    if isinstance(error, HTTPException) and error.status_code == 400:
        # What FastAPI and Starlette could not parse: bytes that are no UTF-8, brackets nested too deep.
        error = invalid_input([{"pointer": "#", "detail": "can't be read as the media type it was sent as"}])
    if isinstance(error, AppError):
        return problem_response(
            error.status, error.code, error.detail, headers=error.headers, errors=error.errors
        )
    if isinstance(error, HTTPException):
        detail = error.detail
        if error.status_code == 413:
            detail = ContentTooLarge.detail
        elif error.status_code == 404 and detail == "Not Found":
            detail = "There is nothing at this path: see /docs"
        elif error.status_code == 405:
            detail = f"This path does not take {request.method}"
        code = CODES_BY_STATUS.get(error.status_code, "error")
        return problem_response(error.status_code, code, detail, headers=error.headers)
    logger.error(
        "Request %s failed: %s %s", request_id_var.get(), request.method, request.url.path, exc_info=error
    )
    return problem_response(AppError.status, AppError.code, AppError.detail)


async def _handle(request: Request, error: Exception) -> JSONResponse:
    return error_response(request, error)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of `app` as `application/problem+json`."""
    for kind in (AppError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _handle)
