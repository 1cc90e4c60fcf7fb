"""The allowed hosts, and the limit of requests a minute."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from request_context import Origin, origin_var
from security.tokens import create_access_token
from web.limits import HostCheck, RateLimit


async def served(_scope: Scope, receive: Receive, send: Send) -> None:
    """The smallest application."""
    await receive()
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})


def call(app: ASGIApp, address: str = "192.0.2.1", **headers: str) -> tuple[int, dict[str, str]]:
    """Make a request, and return the status and the headers of its answer."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.request", "body": b""}

    async def come() -> None:
        origin_var.set(Origin(address, "test"))
        await app(scope, receive, send)

    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope: Any = {"type": "http", "method": "GET", "path": "/", "query_string": b"", "headers": raw}
    asyncio.run(come())
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("[2001:db8::1]", 204),
        ("[2001:db8::1]:8000", 204),
        ("[2001:db8::2]:8000", 400),
        ("only.example.com:8443", 204),
        ("only.example.com", 400),
        ("only.example.com:80", 400),
        ("deep.below.example.org:1", 204),
        ("notexample.org", 400),
        ("[2001:db8::1]:@other.test", 400),
        ("only.example.com:8443/", 400),
        ("other.test/.example.org", 400),
        ("other.test?.example.org:80", 400),
        ("deep.example.org:@other.test", 400),
        ("", 400),
    ],
)
def test_a_host_is_served_by_its_name_with_or_without_a_port(host: str, status: int) -> None:
    app = HostCheck(served, ["[2001:db8::1]", "only.example.com:8443", "*.example.org"])
    assert call(app, host=host)[0] == status


def test_a_request_without_a_host_is_refused_and_what_is_no_request_passes() -> None:
    assert call(HostCheck(served, ["example.org"]))[0] == 400
    passed: list[Any] = []

    async def lifespan(*parts: Any) -> None:
        passed.extend(parts)

    parts: Any = ({"type": "lifespan"}, "receive", "send")
    for app in (HostCheck(lifespan, ["example.org"]), RateLimit(lifespan, 1)):
        asyncio.run(app(*parts))
    assert passed == [*parts] * 2


def test_a_minute_begins_again_for_a_caller_who_waited_as_long_as_was_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=100.5)
    monkeypatch.setattr("web.limits.time", SimpleNamespace(monotonic=lambda: clock.now))
    app = RateLimit(served, 2)
    assert [call(app)[1]["ratelimit"] for _ in range(2)] == [
        '"default";r=1;t=20',
        '"default";r=0;t=20',
    ]
    status, headers = call(app)
    assert (status, headers["retry-after"], headers["ratelimit"]) == (429, "20", '"default";r=0;t=20')
    clock.now += 19.4
    assert call(app)[0] == 429
    clock.now += 0.1
    status, headers = call(app)
    assert (status, headers["ratelimit"]) == (204, '"default";r=1;t=60')


def test_an_account_is_counted_wherever_it_is_and_strangers_by_their_network() -> None:
    app = RateLimit(served, 2)
    ada, bob = (f"Bearer {create_access_token({'sub': name})}" for name in ("1", "2"))
    assert [call(app, f"192.0.2.{number}", authorization=ada)[0] for number in range(3)] == [204, 204, 429]
    assert call(app, "192.0.2.1", authorization=bob)[0] == 204
    assert [call(app, f"2001:db8::{number}")[0] for number in range(3)] == [204, 204, 429]
    assert call(app, "2001:db8:0:1::1")[0] == 204
    assert call(app, "192.0.2.1", authorization="Bearer forged")[0] == 204
