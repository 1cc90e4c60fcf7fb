"""Examples of requests and answers in the OpenAPI document, recorded from the program.

`tests/contract/test_examples.py` makes the requests and compares the answers with the file; on demand it
writes the file again. So the examples are what the program really answers.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from web.openapi.shape import NULL, Part, named, operations

FILE = Path(__file__).with_name("examples.json")


class Recorded(TypedDict, total=False):
    """The recorded examples of an operation."""

    # Parameters by name.
    parameters: dict[str, Any]
    # The sent body by media type.
    request: dict[str, Any]
    # Answers by status and media type; errors by status and code.
    responses: dict[str, dict[str, Any]]


@cache
def recorded() -> dict[str, Recorded]:
    """The recorded examples by operation id."""
    found: dict[str, Recorded] = json.loads(FILE.read_text())
    return found


def show(document: Part) -> None:
    """Put the recorded requests and answers into the document."""
    values: dict[str, Any] = {}
    for _, _, operation in operations(document):
        found = recorded().get(operation["operationId"], {})
        _show_parameters(operation, found.get("parameters", {}), values)
        content = operation.get("requestBody", {}).get("content", {})
        for media_type, body in found.get("request", {}).items():
            if media_type in content:
                content[media_type] = {"schema": content[media_type]["schema"], "example": body}
        for status, answers in found.get("responses", {}).items():
            content = operation["responses"].get(status, {}).get("content", {})
            for media_type, body in answers.items():
                if media_type in content and status < "300":
                    content[media_type]["example"] = body


def show_event(document: Part) -> None:
    """Put the recorded event into the webhooks that send events."""
    ((event, *_),) = recorded()["list_events"]["responses"]["200"].values()
    for item in document["webhooks"].values():
        media = item["post"]["requestBody"]["content"]["application/json"]
        if named(media["schema"]) == "Event":
            media["example"] = event


def drop_shown(document: Part) -> None:
    """Drop the examples of fields that a recorded request or answer shows too.

    A schema in which no type tells what a value looks like keeps the example of its first field.
    """
    schemas: Part = document["components"]["schemas"]
    shown: set[int] = set()
    for _, _, operation in operations(document):
        bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (media for body in bodies for media in body.get("content", {}).values()):
            if "example" in media:
                _note_shown(schemas, media["schema"], media["example"], shown)
    for schema in schemas.values():
        fields = schema.get("properties", {}).values()
        examples = [each for each in fields if "examples" in each]
        for field in examples if any(map(_tells_its_values, fields)) else examples[1:]:
            if id(field) in shown:
                del field["examples"]


def _tells_its_values(field: Part) -> bool:
    """Whether the type of a field tells what its values look like."""
    if {"$ref", "anyOf", "const", "default", "enum"} & field.keys() or "date" in field.get("format", ""):
        return True
    return field.get("type") not in ("string", "integer", "number", "array", "object")


def _note_shown(schemas: Part, schema: Part, value: Any, shown: set[int]) -> None:
    """Note the fields of the schema that have a value in the example."""
    if isinstance(value, list):
        for each in value:
            _note_shown(schemas, schema.get("items", {}), each, shown)
    elif isinstance(value, dict):
        kinds = [each for each in schema.get("anyOf", [schema]) if each != NULL]
        fields = schemas.get(named(kinds[0]), kinds[0]).get("properties", {})
        for name in fields.keys() & value.keys():
            if value[name] is not None:
                shown.add(id(fields[name]))
                _note_shown(schemas, fields[name], value[name], shown)


def _show_parameters(operation: Part, given: dict[str, Any], values: dict[str, Any]) -> None:
    """Give equal parameters the same value, so that the document has them once.

    Only those that are required get one, because the page fills it into the form of a request.
    """
    for parameter in operation.get("parameters", ()):
        if parameter.get("required") and parameter["name"] in given:
            parameter["schema"].pop("examples", None)
            parameter["example"] = values.setdefault(json.dumps(parameter), given[parameter["name"]])


def errors(operation_id: str, status: str) -> dict[str, Any]:
    """The recorded errors of an operation with this status, by code."""
    return recorded().get(operation_id, {}).get("responses", {}).get(status, {})
