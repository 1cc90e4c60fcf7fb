"""Errors as answers: `application/problem+json` (RFC 9457) for everything that is refused or fails.

`install_error_handlers` answers the errors of `errors.py`, and the errors that FastAPI and Starlette raise by
themselves.
"""

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from errors import (
    AppError,
    ContentTooLarge,
    Forbidden,
    NotAcceptable,
    NotAuthenticated,
    NotFound,
    UnsupportedMediaType,
    input_problems,
    invalid_at,
    invalid_input,
)
from logging_config import logger, redacted
from request_context import request_id_var
from storage.faults import fault_log

# The titles of RFC 9110, because older versions of Python have older names.
_TITLES = {413: "Content Too Large", 422: "Unprocessable Content"}


def title_of(status: int) -> str:
    """The title of an error status."""
    return _TITLES.get(status) or HTTPStatus(status).phrase


PROBLEM_MEDIA_TYPE = "application/problem+json"
CODES_BY_STATUS = {
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
    errors: Iterable[Mapping[str, Any]] = (),
) -> JSONResponse:
    """The response for an error."""
    body = problem(status, code, detail, errors)
    return JSONResponse(body, status_code=status, headers=dict(headers or {}), media_type=PROBLEM_MEDIA_TYPE)


def problem(status: int, code: str, detail: str, errors: Iterable[Mapping[str, str]] = ()) -> dict[str, Any]:
    """The body of an error response."""
    members: dict[str, Any] = {
        "type": "about:blank",
        "title": title_of(status),
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": request_id_var.get(),
    }
    if problems := list(errors):
        members["errors"] = problems
    return members


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The declared errors of an endpoint, which `web/openapi/errors.py` completes with examples."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {"description": title_of(status), "content": {PROBLEM_MEDIA_TYPE: {"schema": schema}}}
        for status in sorted(set(statuses))
    }


def _body_model(request: Request) -> type[BaseModel] | tuple[()]:
    body_field = getattr(request.scope.get("route"), "body_field", None)
    model = getattr(getattr(body_field, "field_info", None), "annotation", None)
    return model if isinstance(model, type) and issubclass(model, BaseModel) else ()


def _why_unread(error: HTTPException) -> str:
    """The reason why a body could not be read, as the end of a sentence; empty if it is not known."""
    if isinstance(error.__cause__, UnicodeDecodeError):
        return ": it is not UTF-8"
    return ": it is nested too deep" if isinstance(error.__cause__, RecursionError) else ""


def error_response(request: Request, error: Exception) -> JSONResponse:
    """The response to a request that ended with `error`."""
    if isinstance(error, RequestValidationError):
        error = invalid_input(input_problems(error.errors(), _body_model(request)))
    if isinstance(error, HTTPException) and isinstance(error.__cause__, AppError):
        # `auth.get_current_user` raises our errors in the form that the endpoints of any program understand.
        error = error.__cause__
    if isinstance(error, HTTPException) and error.status_code == 400:
        # FastAPI and Starlette raise this for a body that they can't read.
        error = invalid_at("#", f"can't be read as the media type it was sent as{_why_unread(error)}")
    if isinstance(error, AppError):
        fault_log.add(error)
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
        "Request %s failed: %s %s",
        request_id_var.get(),
        request.method,
        redacted(request.url.path),
        exc_info=error,
    )
    return problem_response(AppError.status, AppError.code, AppError.detail)


async def _handle(request: Request, error: Exception) -> JSONResponse:
    return error_response(request, error)


def install_error_handlers(app: FastAPI) -> None:
    """Answer every error of `app` as `application/problem+json`."""
    for kind in (AppError, HTTPException, RequestValidationError):
        app.add_exception_handler(kind, _handle)
