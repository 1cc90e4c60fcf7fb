"""Example errors of each operation in the OpenAPI document, made by the operation's own rules.

An example of bad input comes from giving the operation's model bad input. Errors that depend on data, such as
a taken name, are recorded from the program: see `web/openapi_examples.py`.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from errors import AppError, InvalidInput, input_problems, invalid_input
from web.openapi_shape import camel
from web.problems import PROBLEM_MEDIA_TYPE, problem, title_of
from web.strict_input import StrictRoute, allowed_query, query_models

REQUEST_ID = "5f0c6a0de1f44c4c9f43d35f0f4c2d5b"
_SCHEMA = {"$ref": "#/components/schemas/Problem"}
# The error if nothing is found, by the last parameter of the path.
_NOT_FOUND = {
    "task_id": ("task_not_found", "Task not found"),
    "user_id": ("user_not_found", "User not found"),
    "project_id": ("project_not_found", "Project not found"),
}


def error_response(status: int, example: Mapping[str, Any]) -> dict[str, Any]:
    """An error as a response in the document."""
    content = {PROBLEM_MEDIA_TYPE: {"schema": _SCHEMA, "example": example}}
    return {"description": title_of(status), "content": content}


def example(route: StrictRoute, status: int) -> dict[str, Any]:
    """An example of an error with this status, as the operation gives it."""
    if status == 422:
        error: AppError = _bad_input(route)
    else:
        kinds: list[type[AppError]] = [AppError, *AppError.__subclasses__()]
        kind = next(kind for kind in kinds if kind.status == status)
        code, detail = _words(route, status) or (kind.code, kind.detail)
        return problem(status, code, detail) | {"request_id": REQUEST_ID}
    return problem(status, error.code, error.detail, error.errors) | {"request_id": REQUEST_ID}


def _words(route: StrictRoute, status: int) -> tuple[str, str] | None:
    """The code and detail of this operation, if those of the status say too little."""
    if status == 403 and route.caller is not None:
        return _forbidden(route)
    if status == 404 and (names := re.findall(r"{(\w+)}", route.path)):
        return _NOT_FOUND.get(names[-1])
    if status == 413:
        return "content_too_large", f"The body may have at most {route.body_limit:,} bytes here"
    if status == 415:
        return "unsupported_media_type", f"Send the body as {' or '.join(route.media_types())}"
    return None


def _forbidden(route: StrictRoute) -> tuple[str, str]:
    if route.caller is not None and route.caller[1]:
        return "admin_required", "Admin access required"
    if route.scope is None:
        return "session_required", "A program's token is not accepted here: log in"
    return "missing_scope", f"The token lacks the scope `{route.scope}`"


def _refused(model: type[BaseModel], place: str, *tries: dict[str, Any]) -> InvalidInput | None:
    """The error for the first of these values that the model refuses."""
    for value in tries:
        try:
            model.model_validate(value)
        except ValidationError as error:
            problems = [{**each, "loc": (place, *each["loc"])} for each in error.errors()]
            return invalid_input(input_problems(problems, list(model.model_fields)))
    return None


def _bad_input(route: StrictRoute) -> InvalidInput:
    body = route.body_field.field_info.annotation if route.body_field is not None else None
    if isinstance(body, type) and issubclass(body, BaseModel):
        error = _refused(body, "body", {}, {"colour": "red"})
        if error is not None:
            return error
    elif "json" in str((route.openapi_extra or {}).get("requestBody", "")):
        return invalid_input([{"pointer": "#/0/title", "detail": "Field required"}])
    for model in query_models(route.dependant).values():
        numbered = ["limit"] if "limit" in model.model_fields else []
        error = _refused(model, "query", {}, dict.fromkeys(numbered, "0"))
        if error is not None:
            return error
    for field in route.dependant.query_params:
        if field.field_info.is_required() and field.name not in query_models(route.dependant):
            return invalid_input([{"pointer": f"?{field.alias}", "detail": "Field required"}])
    numbers = [field for field in route.dependant.path_params if field.field_info.annotation is int]
    if numbers:
        detail = "Input should be a valid integer, unable to parse string as an integer"
        return invalid_input([{"pointer": f"/{{{numbers[-1].name}}}", "detail": detail}])
    known = [name for name, _ in allowed_query(route.dependant)]
    taken = f"allowed: {', '.join(known)}" if known else "this endpoint takes none"
    return invalid_input([{"pointer": "?colour", "detail": f"Unknown query parameter; {taken}"}])


def component_name(response: Mapping[str, Any]) -> str:
    """The name of an error that several operations share: its code and, for bad input, the first pointer."""
    shown = response.get("content", {}).get(PROBLEM_MEDIA_TYPE, {}).get("example")
    if shown is None:
        return camel(response["description"])
    places = [each["pointer"] for each in shown.get("errors", ())[:1]] or re.findall(
        r"`.+?`", shown["detail"]
    )
    return camel(" ".join([shown["code"].replace("_", " "), *places]))
