"""Headers of answers, declared in the OpenAPI document."""

import re

from config import settings
from web import idempotency
from web.openapi.shape import Part, operations

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
HEADERS: dict[str, Part] = {
    "ETag": {
        "description": "The version of the resource, for `If-Match` and `If-None-Match`",
        "schema": _TEXT,
        "example": '"1-1"',
    },
    "Location": {"description": "The path of the new resource", "schema": _TEXT, "example": "/tasks/1"},
    "Link": {
        "description": 'The address of the next page, with `rel="next"`; missing on the last page',
        "schema": _TEXT,
        "example": '<https://tasks.example.com/tasks?cursor=WyJj>; rel="next"',
    },
    "Content-Disposition": {"description": "The name of the file to save", "schema": _TEXT},
    "Accept-Encoding": {"description": "The encodings that a body may have", "schema": _TEXT},
    "X-Total-Count": {"description": "The number of all items, if `total=true`", "schema": _NUMBER},
    "Retry-After": {
        "description": "The seconds to wait before trying again",
        "schema": _NUMBER,
    },
    "WWW-Authenticate": {
        "description": "The scheme to authenticate with",
        "schema": _TEXT,
        "example": "Bearer",
    },
    **idempotency.REPLAYED,
    "RateLimit": {
        "description": "The number of requests that are left, and the seconds until the next minute begins",
        "schema": _TEXT,
        "example": '"default";r=59;t=42',
    },
    "RateLimit-Policy": {
        "description": "The number of requests that each caller may make in a minute",
        "schema": _TEXT,
        "example": '"default";q=60;w=60',
    },
}
# Every answer has it, so the introduction explains it once.
REQUEST_ID: Part = {"X-Request-ID": {"schema": _TEXT}}
# These headers come with every answer, if the settings turn the limit on.
ALWAYS = ("RateLimit", "RateLimit-Policy") if settings.rate_limit_per_minute else ()
OF_ERRORS = {
    "401": ("WWW-Authenticate",),
    "415": ("Accept-Encoding",),
    "429": ("Retry-After",),
    "503": ("Retry-After",),
}


def declare(document: Part) -> None:
    """Declare the headers of every response."""
    versioned = {
        _answer(operation)
        for _, _, operation in operations(document)
        if _is_conditional(operation) and _answer(operation)
    }
    made = {
        operation["operationId"]: _made(document, path)
        for method, path, operation in operations(document)
        if method == "post" and "201" in operation["responses"] and _made(document, path)
    }
    # The answer that shows a secret once has a schema of its own.
    versioned |= {
        _answer(each) for *_, each in operations(document) if made.get(each["operationId"]) in versioned
    }
    used = set()
    for _, _, operation in operations(document):
        of_success = _of_success(operation)
        of_success += ["Location"] if operation["operationId"] in made else []
        of_success += ["ETag"] if _answer(operation) in versioned or _is_conditional(operation) else []
        for status, response in operation["responses"].items():
            names = [*response.get("headers", {}), *ALWAYS]
            if status < "300":
                names += of_success
            elif status == "304":
                names.append("ETag")
            else:
                names += OF_ERRORS.get(status, ())
            used |= {*names}
            response["headers"] = REQUEST_ID | {
                name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(names)
            }
    document["components"]["headers"] = {name: each for name, each in HEADERS.items() if name in used}


def _made(document: Part, path: str) -> str:
    """The schema of a collection's items, which is the answer of the path below it."""
    for below, item in document["paths"].items():
        if "get" in item and re.fullmatch(rf"{re.escape(path)}/{{\w+}}", below):
            return _answer(item["get"])
    return ""


def _is_conditional(operation: Part) -> bool:
    return "if-none-match" in _parameters(operation)


def _parameters(operation: Part) -> set[str]:
    return {each["name"].lower() for each in operation.get("parameters", ())}


def _answer(operation: Part) -> str:
    """The schema of the single resource that an operation answers with; empty for any other answer."""
    for status, response in operation["responses"].items():
        if status < "300":
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            return str(schema.get("$ref", ""))
    return ""


def _of_success(operation: Part) -> list[str]:
    """The headers of a success that follow from an operation's parameters."""
    asked = _parameters(operation)
    names = []
    if asked & {"cursor", "after"} or ("flow" in operation["tags"] and "format" in asked):
        names.append("Link")
    if "total" in asked:
        names.append("X-Total-Count")
    return names
