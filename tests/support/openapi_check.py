"""A test client that checks every answer that a test gets against the OpenAPI document."""

import asyncio
import functools
import json
import re
import sys
from importlib.util import find_spec
from typing import Any

import httpx2
import jsonschema_rs
from anyio.from_thread import BlockingPortal
from fastapi.testclient import TestClient

# The client tries to import this at each request. If it is not installed, Python would look for it in every folder.
if find_spec("sniffio") is None:
    sys.modules["sniffio"] = None  # type: ignore[assignment]  # as the documentation of sys.modules says

# Every answer may have these headers, which HTTP itself, browsers and proxies read. It must declare any other one.
USUAL_HEADERS = {
    *("cache-control", "content-length", "content-type", "date", "server", "vary"),
    *("content-security-policy", "cross-origin-resource-policy", "referrer-policy", "set-cookie"),
    *("strict-transport-security", "x-content-type-options", "x-frame-options"),
    *("access-control-allow-origin", "access-control-expose-headers", "x-accel-buffering"),
}
ROUTING_STATUSES = {404, 405}  # No endpoint is reached, so none can declare it.


@functools.cache
def _loop_of(portal: BlockingPortal) -> asyncio.AbstractEventLoop:
    return portal.call(asyncio.get_running_loop)


class OneHop(httpx2.BaseTransport):
    """Hands a whole request to the event loop at once. The usual transport goes there eight times a request."""

    def __init__(
        self, app: Any, portal: BlockingPortal, client: tuple[str, int] = ("testclient", 50000)
    ) -> None:
        self._transport = httpx2.ASGITransport(app, client=client)
        self._loop = _loop_of(portal)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()

        async def answer() -> tuple[httpx2.Response, bytes]:
            response = await self._transport.handle_async_request(request)
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            return response, b"".join([part async for part in response.stream])

        # The portal's own call goes to the event loop and back twice.
        response, content = asyncio.run_coroutine_threadsafe(answer(), self._loop).result()
        return httpx2.Response(
            response.status_code,
            headers=response.headers.raw,
            stream=httpx2.ByteStream(content),
            request=request,
        )


class CheckedClient(TestClient):
    """Checks status, media type and body of every answer against the OpenAPI document."""

    def __init__(
        self, app: Any, portal: BlockingPortal | None = None, client: tuple[str, int] = ("testclient", 50000)
    ) -> None:
        super().__init__(app, client=client)
        if portal is not None:
            self.portal = portal
            self._transport = OneHop(app, portal, client)

    def request(self, method: str, url: Any, **options: Any) -> Any:
        """Make the request and check its answer."""
        answer = super().request(method, url, **options)
        document: dict[str, Any] = self.app.openapi()  # type: ignore[attr-defined]
        path = answer.request.url.path.removesuffix("/") or "/"
        checks = _checks_of(document)
        operation = checks.operation(path, answer.request.method.lower().replace("head", "get"))
        if operation is None:
            assert answer.status_code in ROUTING_STATUSES or not path.startswith(
                ("/auth", "/tasks", "/analytics")
            )
            return answer
        declared = operation["responses"].get(str(answer.status_code))
        assert declared is not None, (
            f"{method} {path} answered an undeclared {answer.status_code}: {answer.text}"
        )
        declared = resolved(document, declared)
        names = {name.lower() for name in declared.get("headers", {})}
        undeclared = {*answer.headers} - USUAL_HEADERS - names
        assert not undeclared, f"{method} {path} answered {answer.status_code} with undeclared {undeclared}"
        content = declared.get("content", {})
        if answer.content:
            media_type = answer.headers["content-type"].partition(";")[0]
            assert media_type in content, (
                f"{method} {path} answered {media_type}, declared are {list(content)}"
            )
            if media_type.endswith("json"):
                checks.validator(content[media_type]["schema"]).validate(answer.json())
        return answer


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or the component that it refers to."""
    if "$ref" in part:
        _, _, kind, name = part["$ref"].split("/")
        found: dict[str, Any] = document["components"][kind][name]
        return found
    return part


class _Checks:
    """Finds an operation in a document, and checks answers against its schemas."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self._templates = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", template)), operations)
            for template, operations in document["paths"].items()
            if "{" in template
        ]
        # A validator made of a schema and all components would copy these, which takes longer than most requests.
        self._components = jsonschema_rs.Registry([("urn:document", document)])
        # The document stays, and so no other schema gets the id of one of its schemas.
        self._validators: dict[int, Any] = {}
        self._by_text: dict[str, Any] = {}

    def operation(self, path: str, method: str) -> dict[str, Any] | None:
        operations: dict[str, Any] | None = self.document["paths"].get(path)
        if operations is not None:
            return operations.get(method)
        for template, found in self._templates:
            if method in found and template.fullmatch(path):
                operation: dict[str, Any] = found[method]
                return operation
        return None

    def validator(self, schema: dict[str, Any]) -> Any:
        if id(schema) not in self._validators:
            # Dozens of answers have the same schema.
            text = json.dumps(schema).replace('"#/components/', '"urn:document#/components/')
            if text not in self._by_text:
                self._by_text[text] = jsonschema_rs.Draft202012Validator(
                    json.loads(text), validate_formats=True, registry=self._components
                )
            self._validators[id(schema)] = self._by_text[text]
        return self._validators[id(schema)]


_kept: dict[int, _Checks] = {}


def _checks_of(document: dict[str, Any]) -> _Checks:
    """The checks of a document, which are made once: most tests ask the same one."""
    if id(document) not in _kept:
        _kept[id(document)] = _Checks(document)
    return _kept[id(document)]
