"""Records the answers to requests, as examples for the OpenAPI document."""

import json
import re
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.support.api import Person
from tests.support.openapi_check import resolved
from web.openapi.errors import REQUEST_ID
from web.openapi.examples import Recorded

# Patterns of random values, each with the text that replaces them.
MASKS = (
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
    (re.compile(r"\btr_[\w-]{20,}"), "tr_k7Qm0rJ2v9XbT4cY8nLzW1aHs6DfGpEuRi3oKjMxNqA"),
    (re.compile(r"\btp_[\w-]{20,}"), "tp_AbCdEfGhIjKlMnOpQrStUvWxYz0123456789"),
    (re.compile(r"\bwhsec_[\w+/=-]{20,}"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    (re.compile(r"\b[0-9a-f]{32}\b"), REQUEST_ID),
    (re.compile(r"\btestclient\b"), "203.0.113.7"),
    (re.compile(r"http://127\.0\.0\.1:\d+/hook"), "https://example.com/hooks/tasks"),
    (re.compile(r'("last_four": ?)"[^"]{4}"'), r'\1"6789"'),
    (re.compile(r'("duration_ms": ?)\d+'), r"\g<1>12"),
    (re.compile(r"http://testserver"), "https://tasks.example.com"),
    (
        re.compile(r"\bv\d+\.[\w-]{30,}|(?<![\w-])[\w-]{43}(?![\w-])"),
        "k7Qm0rJ2v9XbT4cY8nLzW1aHs6DfGpEuRi3oKjMxNqA",
    ),
)


def masked(text: str) -> str:
    """The text without the values that differ between runs."""
    for pattern, instead in MASKS:
        text = pattern.sub(instead, text)
    return text


class Recorder:
    """Makes requests as somebody, and keeps the first answer of each kind for each operation."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._document = document
        self.found: dict[str, Recorded] = {}

    def call(self, person: Person, method: str, path: str, **options: Any) -> Any:
        """Make the request, and keep it with its answer."""
        answer = person.call(method, path, **options)
        self.keep(method, path, answer, options)
        return answer

    def keep(self, method: str, path: str, answer: Any, options: dict[str, Any]) -> None:
        """Keep a request with its answer."""
        template, values = self._template(urlsplit(path).path, method.lower())
        operation = self._document["paths"][template][method.lower()]
        entry = self.found.setdefault(operation["operationId"], Recorded(responses={}))
        responses = entry["responses"]
        status = str(answer.status_code)
        if status >= "400":
            problem = json.loads(masked(answer.text)) | {"request_id": REQUEST_ID}
            responses.setdefault(status, {}).setdefault(problem["code"], problem)
            return
        media_type = answer.headers.get("content-type", "").partition(";")[0]
        if "parameters" not in entry:
            values |= _query(urlsplit(path).query) | _query(options.get("params", {}))
            typed = {name: self._typed(operation, name, each) for name, each in values.items()}
            entry["parameters"] = json.loads(masked(json.dumps(typed)))
        if "json" in options:
            entry.setdefault("request", {}).setdefault("application/json", _plain(options["json"]))
        if "data" in options:
            entry.setdefault("request", {})["application/x-www-form-urlencoded"] = options["data"]
        if "content" in options and (sent := options["headers"]["Content-Type"]) != "application/json":
            entry.setdefault("request", {})[sent] = options["content"].decode()
        if answer.content and media_type:
            body: Any = masked(answer.text)
            if media_type.endswith("json"):
                body = _short(_plain(json.loads(body)))
            elif len(body) > 2000:
                return
            responses.setdefault(status, {}).setdefault(media_type, body)

    def _template(self, path: str, method: str) -> tuple[str, dict[str, Any]]:
        if method in self._document["paths"].get(path, {}):
            return path, {}
        for template, item in self._document["paths"].items():
            pattern = re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", template)
            if (match := re.fullmatch(pattern, path)) and method in item:
                return template, match.groupdict()
        raise AssertionError(f"{method} {path} is no operation")

    def _typed(self, operation: dict[str, Any], name: str, value: Any) -> Any:
        """The value in the type of its parameter: numbers as numbers, several values as a list."""
        parameters = [resolved(self._document, each) for each in operation["parameters"]]
        schema = next(each["schema"] for each in parameters if each["name"] == name)
        if schema.get("type") == "array":
            values = value if isinstance(value, list) else [value]
            return [_number(each, schema["items"].get("type")) for each in values]
        return _number(value, schema.get("type"))


def _number(value: Any, kind: Any) -> Any:
    if kind == "integer":
        return int(value)
    return value == "true" if kind == "boolean" else value


def _query(query: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query) if isinstance(query, str) else query.items():
        found[name] = [*_listed(found[name]), value] if name in found else value
    return found


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _plain(body: Any) -> Any:
    """The body as JSON; a list at the top is cut to its first element, for a short page."""
    body = json.loads(masked(json.dumps(body)))
    return body[:1] if isinstance(body, list) else body


def _short(value: Any) -> Any:
    """An answer for a short page: a list of objects keeps the first, and definitions keep the shortest."""
    if isinstance(value, list):
        return [_short(each) for each in (value[:1] if value and isinstance(value[0], dict) else value)]
    if not isinstance(value, dict):
        return value
    if "definitions" in value:
        value["definitions"] = dict([min(value["definitions"].items(), key=lambda each: len(each[1]))])
    return {name: _short(each) for name, each in value.items()}
