"""The OpenAPI document: its introduction, its tags, and the steps that complete it."""

import threading
from typing import Any, get_args

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.encoders import jsonable_encoder
from pydantic.json_schema import models_json_schema
from starlette.routing import BaseRoute, Route

import auth
from config import settings
from models import Role, TaskStatus
from schemas.accounts import ProgramTokenRead, UserRead
from schemas.common import Extent
from schemas.events import EventPattern, EventType
from schemas.flow import ChartName, Interval
from schemas.flow_answers import FlowAnswer
from schemas.problems import Problem
from schemas.tasks import SortBy, TaskImport
from schemas.views import CalendarRead
from schemas.webhooks import WebhookRead
from security.callers import Scope
from services.tasks import fields
from tables.history import TaskHistoryKind
from tables.notification_kinds import NotificationKind
from tables.notifications import Delivery
from tables.projects import ProjectRole, WipPolicy
from tables.views import SortOrder
from tables.webhooks import DeliveryState, DisabledReason
from web.openapi import errors, examples, headers, shape
from web.openapi.webhooks import webhooks_described
from web.problems import PROBLEM_MEDIA_TYPE
from web.strict_input import StrictRoute

DESCRIPTION = f"""
A program for tasks and shared projects, with figures about how work flows.

**The first three calls**

1. `POST /auth/register` with a username, an email and a password creates an account.
2. `POST /auth/login` with the username and the password answers an `access_token`. The page
   [/docs]({settings.root}/docs) asks for them after you press **Authorize**.
3. `POST /tasks` with `{{"title": "Write the report"}}` creates a task; `PUT /tasks/{{id}}` with
   `{{"status": "completed"}}` completes it, and `GET /analytics/user-completion-stats` counts it.

Send the token as `Authorization: Bearer <access_token>`. Times are in UTC. Lists have the address of their next
page in the header `Link`. The header `X-Request-ID` of every answer is the request's id in the log; a request may
send its own. Read-only fields may be sent back with the values they have. Errors are `application/problem+json`:
`detail` is for people, `code` for programs.

[The guide]({settings.root}/guide) shows it all step by step, and [explains every code]({settings.root}/guide/errors).
"""

# The order in which somebody new needs them.
TAGS = [
    {"name": "tasks", "description": "Creating, finding, changing, importing and exporting tasks"},
    {
        "name": "projects",
        "description": "Shared projects: members with roles, and a workflow of states with limits",
    },
    {"name": "comments", "description": "Comments on tasks, with mentions"},
    {"name": "views", "description": "Saved filters of an account or a project"},
    {"name": "calendars", "description": "Due tasks as calendars, for calendar programs"},
    {"name": "analytics", "description": "Statistics about tasks"},
    {"name": "flow", "description": "Flow of work: throughput, cycle times, aging, forecasts"},
    {"name": "events", "description": "Changes as events, which can be read, waited for, or streamed"},
    {"name": "webhooks", "description": "Sending events to other programs as they happen"},
    {"name": "notifications", "description": "Notifications, and how they are delivered"},
    {"name": "auth", "description": "Accounts, logging in, and tokens for programs"},
    {"name": "users", "description": "Looking up accounts to assign tasks to; managing accounts (admins)"},
    {"name": "system", "description": "The program itself"},
    {
        "name": "glossary",
        "description": f"What [each figure]({settings.root}/guide/flow#what-each-figure-means) means, and the"
        f" fields and operators of [filters]({settings.root}/guide/asking)",
    },
]
# Lists of allowed values that become schemas with these names.
CHOICES: dict[str, tuple[Any, ...]] = {
    "TaskStatus": get_args(TaskStatus),
    "Role": get_args(Role),
    "Scope": get_args(Scope),
    "ProjectRole": get_args(ProjectRole),
    "SortBy": get_args(SortBy),
    "SortOrder": get_args(SortOrder),
    "Interval": get_args(Interval),
    "ChartName": get_args(ChartName),
    "NotificationKind": get_args(NotificationKind),
    "NotificationDelivery": get_args(Delivery),
    "TaskHistoryKind": get_args(TaskHistoryKind),
    "EventType": get_args(EventType),
    "EventPattern": get_args(EventPattern),
    "WebhookDeliveryState": get_args(DeliveryState),
    "WebhookDisabledReason": get_args(DisabledReason),
    "WipPolicy": get_args(WipPolicy),
    "Extent": get_args(Extent),
}
# Parts of schemas that become schemas with these names, each with its description.
PARTS = {
    "DayOrTime": (
        {"anyOf": [{"type": "string", "format": "date"}, {"type": "string", "format": "date-time"}]},
        "A day or a time.",
    )
}
# FastAPI names a form after its endpoint.
NAMES = {"Body_login": "LoginForm"}
# Answers that add fields to another answer. The last ones are TypedDicts, which do not know their base.
BASES = {
    model.__name__: base.__name__
    for base in (FlowAnswer, CalendarRead, ProgramTokenRead, UserRead, WebhookRead)
    for model in base.__subclasses__()
} | {
    "CycleTimes": "Durations",
    "StatusDurations": "Durations",
    "StateDurations": "Durations",
    "ConePoint": "CountsByChance",
}
READ_ONLY = {"TaskRead": tuple(fields.READ_ONLY)}
TOKEN = {
    "type": "http",
    "scheme": "bearer",
    "description": "An access token from `POST /auth/login`, or a program's token: `tp_...`",
}


def install_openapi(app: FastAPI) -> None:
    """Complete the document when it is asked for the first time.

    This takes a second, so that a thread does it while the event loop serves others.
    """
    generate, making = app.openapi, threading.Lock()

    def openapi() -> dict[str, Any]:
        with making:
            if app.openapi_schema is None:
                app.openapi_schema = _complete(generate(), app)
            return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    (place,) = (number for number, each in enumerate(app.routes) if _path_of(each) == app.openapi_url)
    answer: Any = app.routes[place].endpoint  # type: ignore[attr-defined]

    async def answer_beside_the_loop(request: Request) -> Response:
        await run_in_threadpool(app.openapi)
        response: Response = await answer(request)
        return response

    app.router.routes[place] = Route(str(app.openapi_url), answer_beside_the_loop, include_in_schema=False)


def _path_of(route: BaseRoute) -> str | None:
    return getattr(route, "path", None)


def _complete(document: dict[str, Any], app: FastAPI) -> dict[str, Any]:
    components = document["components"]
    document["servers"] = [{"url": settings.root or "/"}]
    # These schemas are not the model of any endpoint.
    _, found = models_json_schema(
        [(Problem, "serialization"), (TaskImport, "validation"), (FlowAnswer, "serialization")],
        ref_template="#/components/schemas/{model}",
    )
    components["schemas"].update(found["$defs"])
    document["webhooks"] = webhooks_described(components["schemas"])
    components["securitySchemes"] = {
        auth.bearer.scheme_name: jsonable_encoder(auth.bearer.model, by_alias=True, exclude_none=True),
        "Token": TOKEN,
    }
    routes = {route.operation_id: route for route in app.routes if isinstance(route, StrictRoute)}
    for method, _, operation in shape.operations(document):
        route = routes[operation["operationId"]]
        is_closed = "security" in operation
        operation["security"] = [{name: []} for name in components["securitySchemes"]] if is_closed else []
        if not route.media_types():
            operation["responses"].pop("415", None)
        _show_errors(operation, route)
        operation["responses"] = errors.server_errors(method) | operation["responses"]
    # The other fields of an OAuth2 form are accepted and not used.
    form = components["schemas"]["Body_login"]["properties"]
    components["schemas"]["Body_login"]["properties"] = {
        "username": {**form["username"], "examples": ["ada"]},
        "password": {**form["password"], "examples": ["correct horse battery"]},
    }
    shape.drop_repeated_summaries(document)
    shape.in_order_of_tags(document)
    shape.drop_noise(document)
    shape.mark_read_only(document, READ_ONLY)
    shape.name_choices(document, CHOICES)
    shape.name_parts(document, PARTS)
    shape.rename_schemas(document, NAMES)
    shape.shorten_null(document)
    examples.show(document)
    examples.show_event(document)
    examples.drop_shown(document)
    shape.share_fields(document, BASES)
    headers.declare(document)
    shape.share_responses(document, errors.component_name)
    shape.share_parameters(document)
    shape.share_examples(document)
    shape.drop_unused_schemas(document)
    return document


def _show_errors(operation: dict[str, Any], route: StrictRoute) -> None:
    """Show an example of each error, or several if several are recorded."""
    for status, response in operation["responses"].items():
        content = response.get("content", {}).get(PROBLEM_MEDIA_TYPE)
        if status < "400" or content is None:
            continue
        shown = examples.errors(operation["operationId"], status)
        if len(shown) > 1:
            content["examples"] = {code: {"value": value} for code, value in shown.items()}
        else:
            content["example"] = next(iter(shown.values()), None) or errors.example(route, int(status))
