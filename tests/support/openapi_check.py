"""A test client that checks every answer that a test gets against the OpenAPI document."""

import json
import re
from functools import lru_cache
from typing import Any

import httpx2
import jsonschema_rs
from anyio.from_thread import BlockingPortal
from fastapi.testclient import TestClient

# Clients use these headers, so every answer that has one must declare it.
CHECKED_HEADERS = {
    *("etag", "location", "link", "retry-after", "www-authenticate", "x-request-id", "x-total-count"),
    *("idempotency-replayed", "ratelimit", "ratelimit-policy"),
}
ROUTING_STATUSES = {404, 405}  # No endpoint is reached, so none can declare it.


class OneHop(httpx2.BaseTransport):
    """Hands a whole request to the event loop at once. The usual transport goes there eight times a request."""

    def __init__(
        self, app: Any, portal: BlockingPortal, client: tuple[str, int] = ("testclient", 50000)
    ) -> None:
        self._transport = httpx2.ASGITransport(app, client=client)
        self._portal = portal

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        request.read()

        async def answer() -> tuple[httpx2.Response, bytes]:
            response = await self._transport.handle_async_request(request)
            assert isinstance(response.stream, httpx2.AsyncByteStream)
            return response, b"".join([part async for part in response.stream])

        response, content = self._portal.call(answer)
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
        operation = _operation(document, path, answer.request.method.lower().replace("head", "get"))
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
        undeclared = CHECKED_HEADERS & {*answer.headers} - {
            name.lower() for name in declared.get("headers", {})
        }
        assert not undeclared, f"{method} {path} answered {answer.status_code} with undeclared {undeclared}"
        content = declared.get("content", {})
        if answer.content:
            media_type = answer.headers["content-type"].partition(";")[0]
            assert media_type in content, (
                f"{method} {path} answered {media_type}, declared are {list(content)}"
            )
            if media_type.endswith("json"):
                _validator(id(document), json.dumps(content[media_type]["schema"]), self.app).validate(
                    answer.json()
                )
        return answer


def resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """A part of the document, or the component that it refers to."""
    if "$ref" in part:
        _, _, kind, name = part["$ref"].split("/")
        found: dict[str, Any] = document["components"][kind][name]
        return found
    return part


def _operation(document: dict[str, Any], path: str, method: str) -> dict[str, Any] | None:
    found: dict[str, Any] | None = None
    if path in document["paths"]:
        operations: dict[str, Any] = document["paths"][path]
        return operations.get(method)
    for template, operations in document["paths"].items():
        if (
            "{" in template
            and re.fullmatch(re.sub(r"{\w+}", "[^/]+", template), path)
            and method in operations
        ):
            found = operations[method]
            break
    return found


@lru_cache(maxsize=512)
def _validator(_document: int, schema: str, app: Any) -> Any:
    components = {"components": app.openapi()["components"]}
    return jsonschema_rs.Draft202012Validator({**json.loads(schema), **components}, validate_formats=True)
