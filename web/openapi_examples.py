"""Examples of requests and answers in the OpenAPI document, recorded from the program.

`tests/contract/test_examples.py` makes the requests and compares the answers with the file; on demand it
writes the file again. So the examples are what the program really answers.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

from web.openapi_shape import Part, operations

FILE = Path(__file__).with_name("openapi_examples.json")


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
