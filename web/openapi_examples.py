"""Examples of requests and answers in the OpenAPI document, recorded from the program.

`tests/contract/test_examples.py` makes the requests and compares the answers with the file; on demand it
writes the file again. So the examples are what the program really answers.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

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


def show(operation: dict[str, Any]) -> None:
    """Put the recorded examples of an operation's success into the document."""
    found = recorded().get(operation["operationId"], {})
    for parameter in operation.get("parameters", ()):
        if parameter["name"] in found.get("parameters", {}):
            parameter["example"] = found["parameters"][parameter["name"]]
            parameter["schema"].pop("examples", None)
    sent = operation.get("requestBody", {}).get("content", {})
    for media_type, body in found.get("request", {}).items():
        if media_type in sent:
            sent[media_type] = {"schema": sent[media_type]["schema"], "example": body}
    for status, answers in found.get("responses", {}).items():
        content = operation["responses"].get(status, {}).get("content", {})
        for media_type, body in answers.items():
            if media_type in content:
                content[media_type]["example"] = body


def errors(operation_id: str, status: str) -> dict[str, Any]:
    """The recorded errors of an operation with this status, by code."""
    return recorded().get(operation_id, {}).get("responses", {}).get(status, {})
