"""The headers of answers, as the OpenAPI document declares them."""

import re

from config import settings
from web.openapi_shape import Part, operations

_TEXT, _NUMBER = {"type": "string"}, {"type": "integer", "minimum": 0}
HEADERS: dict[str, Part] = {
    "X-Request-ID": {
        "description": "Names the request in the log: the caller's own, if it sent one",
        "schema": _TEXT,
    },
    "ETag": {
        "description": "The version, for `If-Match` and `If-None-Match`",
        "schema": _TEXT,
        "example": '"1-1"',
    },
    "Location": {"description": "The path of what was made", "schema": _TEXT, "example": "/tasks/1"},
    "Link": {
        "description": 'The address of the next page, with `rel="next"`; missing on the last one',
        "schema": _TEXT,
        "example": '<https://tasks.example.com/tasks?limit=100&cursor=WyJj>; rel="next"',
    },
    "X-Total-Count": {"description": "With `total=true`: how many there are on all pages", "schema": _NUMBER},
    "Retry-After": {"description": "How many seconds to wait before the next try", "schema": _NUMBER},
    "WWW-Authenticate": {"description": "How to authenticate", "schema": _TEXT, "example": "Bearer"},
    "Idempotency-Replayed": {
        "description": "`true`, if this is the answer to an earlier request with the same key",
        "schema": {"type": "string", "enum": ["true"]},
    },
    "RateLimit": {
        "description": "How many requests are left, and for how many seconds",
        "schema": _TEXT,
        "example": '"default";r=59;t=42',
    },
    "RateLimit-Policy": {
        "description": "How many requests a minute each caller has",
        "schema": _TEXT,
        "example": '"default";q=60;w=60',
    },
}
# Come with every answer.
ALWAYS = ("X-Request-ID", *(("RateLimit", "RateLimit-Policy") if settings.rate_limit_per_minute else ()))
OF_ERRORS = {"401": ("WWW-Authenticate",), "429": ("Retry-After",), "503": ("Retry-After",)}


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
    # A resource that shows a secret once is made with a shape of its own.
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
            response["headers"] = {
                name: {"$ref": f"#/components/headers/{name}"} for name in dict.fromkeys(names)
            }
    document["components"]["headers"] = {name: each for name, each in HEADERS.items() if name in used}


def _made(document: Part, path: str) -> str:
    """The schema of what a collection holds: what lies below its path answers with it."""
    for below, item in document["paths"].items():
        if "get" in item and re.fullmatch(rf"{re.escape(path)}/{{\w+}}", below):
            return _answer(item["get"])
    return ""


def _is_conditional(operation: Part) -> bool:
    return "if-none-match" in _parameters(operation)


def _parameters(operation: Part) -> set[str]:
    return {each["name"].lower() for each in operation.get("parameters", ())}


def _answer(operation: Part) -> str:
    """The name of the schema of the one resource that an operation answers with; empty for anything else."""
    for status, response in operation["responses"].items():
        if status < "300":
            schema = response.get("content", {}).get("application/json", {}).get("schema", {})
            return str(schema.get("$ref", ""))
    return ""


def _of_success(operation: Part) -> list[str]:
    """The headers that follow from what an operation takes."""
    asked = _parameters(operation)
    names = []
    if asked & {"cursor", "after"} or ("flow" in operation["tags"] and "format" in asked):
        names.append("Link")
    if "total" in asked:
        names.append("X-Total-Count")
    return names
