"""Example errors of each operation in the OpenAPI document, made by the operation's own rules.

An example of bad input comes from giving the operation's model bad input. Errors that depend on data, such as
a taken name, are recorded from the program: see `web/openapi/examples.py`.
"""

import re
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from errors import (
    AppError,
    DatabaseUnavailable,
    InsufficientStorage,
    InvalidInput,
    input_problems,
    invalid_at,
    invalid_input,
)
from web import idempotency
from web.openapi.shape import camel
from web.problems import PROBLEM_MEDIA_TYPE, problem, title_of
from web.strict_input import StrictRoute
from web.strict_query import allowed_query, is_model, query_models

REQUEST_ID = "5f0c6a0d"
# Parameters that many operations take, each with a value that is refused.
_BAD_VALUES = {"limit": "0", "tz": "Mars/Base"}
# The first entry that matches an operation's method and path is its typical error of this status. Errors
# recorded from the program come before these.
_GIVEN: tuple[tuple[int, str, str, str], ...] = (
    (
        403,
        "POST /auth/register",
        "registration_closed",
        "Registration is closed: ask an admin for an account",
    ),
    (403, "POST /auth/login", "account_inactive", "This account is not active"),
    (403, "POST /auth/page/", "other_origin", "This is for the program's own pages"),
    (403, "DELETE /auth/me|POST /auth/(email|password)$", "wrong_password", "The password is wrong"),
    (
        403,
        "GET /metrics",
        "forbidden",
        "Metrics are closed to this address: see METRICS_TOKEN and METRICS_ALLOWED",
    ),
    (404, ".*{task_id}[^{]*$", "task_not_found", "Task not found"),
    (404, ".*{comment_id}", "comment_not_found", "Comment not found"),
    (404, ".*{user_id}", "user_not_found", "User not found"),
    (404, "(GET|PATCH|DELETE) /views/", "view_not_found", "View not found"),
    (404, "POST /calendars", "view_not_found", "View not found"),
    (404, ".*/calendars?/", "calendar_not_found", "Calendar not found"),
    (404, ".*{delivery_id}", "delivery_not_found", "Delivery not found"),
    (404, ".*{webhook_id}", "webhook_not_found", "Webhook not found"),
    (404, ".*", "project_not_found", "Project not found"),
    (409, "POST /auth/logout", "no_session", "This token belongs to no session: it ends when it expires"),
    (409, "POST /auth/tokens", "too_many_tokens", "An account has 100 tokens at most: revoke one first"),
    (
        409,
        ".* /(auth|users)/",
        "last_admin",
        "This is the last active admin: make another account an admin first",
    ),
    (409, "POST /calendars", "too_many_calendars", "An account has 100 calendars at most: delete one first"),
    (409, "POST /webhooks$", "too_many_webhooks", "An account can have 20 webhooks: delete one first"),
    (409, ".* /webhooks/", "webhook_disabled", "The webhook is off: switch it on first"),
    (
        409,
        ".*/analytics/",
        "too_little_history",
        "Too little history for a forecast: 3 tasks were completed in 2 whole weeks before 2026-11-26; it takes at"
        " least 10 in 4 weeks",
    ),
    (
        409,
        "PATCH /projects/",
        "state_in_use",
        "Tasks are in the state doing: say in `replaced_states` where they go",
    ),
    (
        409,
        ".*/members/",
        "last_manager",
        "This is the last manager of the project: make another member a manager first",
    ),
    (
        409,
        "POST /tasks(/batch)?$",
        "wip_limit_reached",
        "The state Doing (doing) has a limit of 2 tasks, and holds 2",
    ),
    (409, ".* /tasks", "project_archived", "The project is archived: its tasks can only be read"),
    (
        410,
        ".*",
        "events_expired",
        "Events are kept for 30 days, and this one is older: begin again without `after`",
    ),
    (429, ".*/stream", "too_many_streams", "An account can have 10 streams at once: end one first"),
    (429, ".*", "too_many_attempts", "Too many attempts: wait 30 seconds before the next one"),
    (503, "GET /ready", "not_ready", "Not ready. database: can't be reached"),
)


def server_errors(method: str) -> dict[str, Any]:
    """The errors that every operation of this method can give through no fault of the caller, by status."""
    kinds: list[type[AppError]] = [AppError, DatabaseUnavailable]
    if method != "get":
        kinds.append(InsufficientStorage)
    return {
        str(kind.status): {
            "description": title_of(kind.status),
            "content": {
                PROBLEM_MEDIA_TYPE: {
                    "schema": {"$ref": "#/components/schemas/Problem"},
                    "example": problem(kind.status, kind.code, kind.detail) | {"request_id": REQUEST_ID},
                }
            },
        }
        for kind in kinds
    }


def example(route: StrictRoute, status: int) -> dict[str, Any]:
    """An example of an error with this status, as the operation gives it."""
    if status == 422:
        error = _bad_input(route)
        shown = problem(status, error.code, error.detail, error.errors)
    else:
        kinds: list[type[AppError]] = [AppError, *AppError.__subclasses__()]
        kind = next(kind for kind in kinds if kind.status == status)
        shown = problem(status, *(_words(route, status) or (kind.code, kind.detail)))
    return shown | {"request_id": REQUEST_ID}


def _words(route: StrictRoute, status: int) -> tuple[str, str] | None:
    """The code and detail of an error of this operation; None if those of the status are precise enough."""
    called = f"{min(route.methods or ('GET',))} {route.path}"
    for given, pattern, code, detail in _GIVEN:
        if given == status and re.match(pattern, called):
            return code, detail
    if status == 403 and route.caller is not None:
        return _forbidden(route)
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


def _refused(model: type[BaseModel], place: str, value: Any) -> list[dict[str, str]]:
    """The problems of a value that the model refuses."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        problems = [{**each, "loc": (place, *each["loc"])} for each in error.errors()]
        return input_problems(problems, model)
    return []


def _bad_input(route: StrictRoute) -> InvalidInput:
    """A mistake that many operations refuse in the same way, if this operation can refuse it."""
    body = route.body_field.field_info.annotation if route.body_field is not None else None
    if is_model(body):
        return invalid_input(_refused(body, "body", [] if "application/json" in route.media_types() else {}))
    for model in query_models(route.dependant).values():
        for name, value in _BAD_VALUES.items():
            if name in model.model_fields:
                problems = _refused(model, "query", {name: value})
                return invalid_input([each for each in problems if each["pointer"] == f"?{name}"])
    known = [name for name, _ in allowed_query(route.dependant)]
    if known and idempotency.PARAMETER in (route.openapi_extra or {}).get("parameters", ()):
        return idempotency.bad_key()
    for field in route.dependant.query_params:
        if field.field_info.is_required() and field.name not in query_models(route.dependant):
            return invalid_at(f"?{field.alias}", "Field required")
    taken = f"allowed: {', '.join(known)}" if known else "this endpoint takes none"
    return invalid_at("?colour", f"Unknown query parameter; {taken}")


# Shorter words for frequent parts of the names.
_SHORT = (("InvalidInput", "Bad"), ("MissingScope", "Needs"), (r"(\w+)NotFound", r"No\1"))


def component_name(response: Mapping[str, Any]) -> str:
    """The name of an error that several operations share: its code and, for bad input, the first pointer."""
    shown = response.get("content", {}).get(PROBLEM_MEDIA_TYPE, {}).get("example")
    if shown is None:
        return camel(response["description"].partition(".")[0])
    places = [
        each["pointer"].removeprefix("header.").replace("#", "body") for each in shown.get("errors", ())[:1]
    ] or re.findall(r"`.+?`", shown["detail"])
    name = camel(" ".join([shown["code"].replace("_", " "), *places]))
    for long, short in _SHORT:
        name = re.sub(f"^{long}", short, name)
    return name
