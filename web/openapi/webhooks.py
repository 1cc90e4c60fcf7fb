"""The requests of webhooks in the OpenAPI document: each type of event with its payload."""

from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from schemas.events import Event, EventType, Ping

_ABOUT = {
    "task.created": "A task was created",
    "task.updated": "Fields of a task were changed",
    "task.status_changed": "A task was started, completed or reopened",
    "task.state_changed": "A task moved to another state of its project with the same status",
    "task.assigned": "A task was assigned to another account",
    "task.moved": "A task moved into a project, out of it, or to another project",
    "task.blocked": "A task was blocked",
    "task.unblocked": "A task is no longer blocked",
    "task.deleted": "A task was deleted",
    "task.imported": "A task was imported",
    "comment.created": "Somebody commented on a task",
    "comment.updated": "A comment was changed",
    "comment.deleted": "A comment was deleted",
    "project.created": "A project was created",
    "project.updated": "The name, description or states of a project changed, or it was archived or restored",
    "project.deleted": "A project was deleted",
    "member.added": "An account became a member of a project",
    "member.updated": "The role of a member changed",
    "member.removed": "An account stopped being a member of a project",
}
_HEADERS = {
    "webhook-id": "The id of the message, the same at every attempt: ignore one that was received already",
    "webhook-timestamp": "The time of this attempt, in seconds since 1970",
    "webhook-signature": "`v1,` and the signature in base64; after a rotation two signatures, separated by a space",
}


def webhooks_described(schemas: dict[str, Any]) -> dict[str, Any]:
    """The `webhooks` part of the document. The schemas that it needs are added to `schemas`."""
    _, definitions = models_json_schema(
        [(Event, "serialization"), (Ping, "serialization")], ref_template="#/components/schemas/{model}"
    )
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    described = {type_: _operation(type_, _ABOUT[type_], "Event") for type_ in get_args(EventType)}
    described["webhook.ping"] = _operation("webhook.ping", "A test of a webhook", "Ping")
    return described


def _operation(type_: str, about: str, model: str) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "header", "required": True, "description": text, "schema": {"type": "string"}}
        for name, text in _HEADERS.items()
    ]
    return {
        "post": {
            "operationId": f"webhook_{type_.replace('.', '_')}",
            "summary": about,
            "tags": ["webhooks"],
            # Receivers authenticate a request by its signature.
            "security": [],
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}},
            },
            "responses": {
                "2XX": {"description": "Delivered. After anything else it is sent again"},
                "410": {"description": "Gone. The webhook is disabled at once"},
            },
        }
    }
