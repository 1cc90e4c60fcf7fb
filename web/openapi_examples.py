"""What the OpenAPI document shows of each operation's requests and answers: recorded from the program.

`tests/contract/test_examples.py` makes the requests, compares the answers with the file, and writes the file anew
when it is told to. So what is shown is what the program answers.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any, TypedDict

FILE = Path(__file__).with_name("openapi_examples.json")


class Recorded(TypedDict, total=False):
    """What was recorded of an operation."""

    # Values of parameters, by name.
    parameters: dict[str, Any]
    # The body that was sent, by its media type.
    request: dict[str, Any]
    # What was answered: by status and media type, for an error by status and code.
    responses: dict[str, dict[str, Any]]


@cache
def recorded() -> dict[str, Recorded]:
    """What was recorded, by the id of the operation."""
    found: dict[str, Recorded] = json.loads(FILE.read_text())
    return found


def show(operation: dict[str, Any]) -> None:
    """Put what was recorded of a operation's successes into the document."""
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
    """The errors of a status that were recorded of an operation, by their codes."""
    return recorded().get(operation_id, {}).get("responses", {}).get(status, {})
