"""What the OpenAPI document says of the requests that webhooks make: each type of event with its payload."""

from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from schemas.events import Event, EventType, Ping

_ABOUT = {
    "task.created": "A task was made",
    "task.updated": "Fields of a task were changed",
    "task.status_changed": "A task was begun, completed or reopened",
    "task.state_changed": "A task went to another state of its project, with the same status",
    "task.assigned": "A task was given to another account",
    "task.moved": "A task went into a project, out of it, or to another one",
    "task.blocked": "A task was blocked",
    "task.unblocked": "A task is no longer blocked",
    "task.deleted": "A task was deleted",
    "task.imported": "A task was imported",
    "comment.created": "Somebody commented on a task",
    "comment.updated": "A comment was changed",
    "comment.deleted": "A comment was deleted",
    "project.created": "A project was made",
    "project.updated": "The name, description, states or archive of a project were changed",
    "project.deleted": "A project was deleted",
    "member.added": "An account became a member of a project",
    "member.updated": "A member was given another role",
    "member.removed": "An account ceased to be a member of a project",
}
_HEADERS = {
    "webhook-id": "Tells an event that was received already: the same at every attempt",
    "webhook-timestamp": "When this attempt was made, in seconds since 1970",
    "webhook-signature": "`v1,` and the signature in base64; during a rotation two, with a space between",
}


def webhooks_described(schemas: dict[str, Any]) -> dict[str, Any]:
    """The `webhooks` of the document; the schemas that they need are added to those that are there."""
    _, definitions = models_json_schema(
        [(Event, "serialization"), (Ping, "serialization")], ref_template="#/components/schemas/{model}"
    )
    for name, schema in definitions["$defs"].items():
        schemas.setdefault(name, schema)
    described = {type_: _operation(type_, _ABOUT[type_], "Event") for type_ in get_args(EventType)}
    described["webhook.ping"] = _operation("webhook.ping", "A webhook is tried out", "Ping")
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
            "parameters": parameters,
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"$ref": f"#/components/schemas/{model}"}}},
            },
            "responses": {
                "2XX": {
                    "description": "The event is delivered. Any other answer is a failure, and it is tried again"
                },
                "410": {"description": "The receiver is gone: the webhook is switched off at once"},
            },
        }
    }
