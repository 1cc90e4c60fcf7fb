"""The headers of every answer, and the limits that settings turn on."""

import asyncio
import ipaddress
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient

from config import settings
from main import create_app
from request_context import address_group, caller_address
from tests.support.api import PASSWORD, Api
from web import limits
from web.routing import Router

pytestmark = pytest.mark.one_database


@pytest.fixture
def make_client(monkeypatch: pytest.MonkeyPatch, database_url: str) -> Any:
    """An application made with these settings."""

    def make(**values: Any) -> TestClient:
        for name, value in values.items():
            monkeypatch.setattr(settings, name, value)
        return TestClient(create_app(), raise_server_exceptions=False)

    return make


def test_every_answer_says_what_a_browser_may_make_of_it(client: TestClient, api: Api) -> None:
    ada = api.person()
    for answer in (
        ada.get("/tasks"),
        client.get("/tasks"),
        client.get("/nowhere"),
        client.get("/openapi.json"),
    ):
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"
        assert headers["cache-control"] == "no-store"
        assert "strict-transport-security" not in headers
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_the_documentations_pages_keep_their_own_policy(client: TestClient) -> None:
    headers = client.get("/docs").headers
    assert headers.get_list("content-security-policy") == [headers["content-security-policy"]]
    assert "script-src 'self'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"


def test_browsers_are_told_to_stay_with_https_where_that_is_what_is_public(make_client: Any) -> None:
    client = make_client(public_url="https://tasks.example.com")
    assert client.get("/health").headers["strict-transport-security"] == "max-age=31536000"


def test_pages_of_other_origins_are_let_in_by_a_setting_only(client: TestClient, make_client: Any) -> None:
    asked = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "PUT"}
    assert client.options("/tasks/1", headers=asked).status_code == 405
    open_to_app = make_client(cors_origins=["https://app.example.com"])
    preflight = open_to_app.options("/tasks/1", headers=asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, asked["Origin"])
    assert preflight.headers["x-request-id"]
    answer = open_to_app.get("/tasks", headers={"Origin": "https://app.example.com"})
    assert answer.headers["access-control-allow-origin"] == "https://app.example.com"
    exposed = answer.headers["access-control-expose-headers"]
    # Every header that is meant for programs.
    for name in ("Content-Disposition", "ETag", "Link", "Location", "WWW-Authenticate", "X-Total-Count"):
        assert name in exposed
    head = open_to_app.options("/tasks/1", headers={**asked, "Access-Control-Request-Method": "HEAD"})
    assert head.status_code == 200
    assert "access-control-allow-credentials" not in answer.headers
    other = open_to_app.get("/tasks", headers={"Origin": "https://evil.example.com"})
    assert "access-control-allow-origin" not in other.headers


def test_pages_of_other_origins_read_every_error(make_client: Any) -> None:
    """Otherwise a browser tells them only that the network has failed."""
    client = make_client(cors_origins=["https://app.example.com"], request_timeout_seconds=1e-6)
    mine, other = {"Origin": "https://app.example.com"}, {"Origin": "https://evil.example.com"}
    too_long = {"X-Filler": "a" * 70_000}
    for answer in (
        client.get("/tasks", headers=mine | too_long),
        client.post("/auth/login", data={"username": "ada", "password": PASSWORD}, headers=mine),
    ):
        assert answer.status_code in (422, 503)
        assert answer.headers["access-control-allow-origin"] == mine["Origin"]
        assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in client.get("/tasks", headers=other | too_long).headers


def test_only_hosts_that_are_named_are_served(make_client: Any) -> None:
    client = make_client(allowed_hosts=["api.example.com", "*.example.org"])
    expected = {
        "api.example.com": 200,
        "API.example.com:8000": 200,
        "a.example.org": 200,
        "example.org": 400,
        "evil.com": 400,
        "api.example.com.evil.com": 400,
    }
    assert {host: client.get("/health", headers={"Host": host}).status_code for host in expected} == expected
    assert client.get("/health", headers={"Host": "evil.com"}).json()["code"] == "unknown_host"


def test_a_limit_a_minute_counts_each_caller_apart(make_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # All of this happens within one minute of the clock.
    monkeypatch.setattr(limits, "time", SimpleNamespace(monotonic=lambda: 90.0))
    client = make_client(rate_limit_per_minute=5)
    api = Api(client)
    ada = api.person()
    answers = [ada.get("/health") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=5;w=60'
    assert answers[0].headers["ratelimit"].startswith('"default";r=4;t=')
    assert answers[5].headers["ratelimit"].startswith('"default";r=0;t=')
    assert (answers[5].json()["code"], 1 <= int(answers[5].headers["retry-after"]) <= 60) == (
        "rate_limited",
        True,
    )
    assert [client.get("/health").status_code for _ in range(6)] == [200] * 5 + [429]


def test_a_request_that_takes_too_long_is_ended(make_client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Router()

    @slow.get("/slow")
    async def read_slow() -> None:
        """Take a while."""
        await asyncio.sleep(30)

    monkeypatch.setattr("main.ROUTERS", (slow,))
    client = make_client(request_timeout_seconds=0.05)
    answer = client.get("/slow")
    assert (answer.status_code, answer.json()["code"]) == (503, "request_timeout")
    assert int(answer.headers["retry-after"]) > 0


def test_a_read_waits_as_long_as_it_was_asked_to_whatever_the_time_limit(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = api.person()
    monkeypatch.setattr(settings, "request_timeout_seconds", 1)
    answer = ada.get("/events?wait=1.1")
    assert (answer.status_code, answer.json()) == (200, [])


TRUSTED = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("::1/128")]


@pytest.mark.parametrize(
    ("peer", "header", "address"),
    [
        (("203.0.113.9", 4000), "", "203.0.113.9"),
        (("203.0.113.9", 4000), "198.51.100.1", "203.0.113.9"),
        (("10.1.2.3", 4000), "198.51.100.1", "198.51.100.1"),
        (("10.1.2.3", 4000), "6.6.6.6, 198.51.100.1", "198.51.100.1"),
        (("10.1.2.3", 4000), "198.51.100.1, 10.9.9.9", "198.51.100.1"),
        (("10.1.2.3", 4000), "10.7.7.7, 10.9.9.9", "10.7.7.7"),
        (("10.1.2.3", 4000), "198.51.100.1:1234", "198.51.100.1"),
        (("::1", 4000), "[2001:db8::7]:1234", "2001:db8::7"),
        (("10.1.2.3", 4000), "6.6.6.6, nonsense", "10.1.2.3"),
        # A stranger that names its own address and port is not believed about the address beside it.
        (("203.0.113.9", 4000), "203.0.113.9:4000, 6.6.6.6", "203.0.113.9"),
        (("203.0.113.9", 0), "203.0.113.9", "203.0.113.9"),
        (("testclient", 50000), "198.51.100.1", "testclient"),
        (None, "", "-"),
    ],
)
def test_an_address_is_believed_from_trusted_proxies_only(peer: Any, header: str, address: str) -> None:
    assert caller_address(peer, header, TRUSTED) == address


def test_an_ipv6_subscriber_is_one_address() -> None:
    assert address_group("2001:db8:1:2:3::4") == address_group("2001:db8:1:2:ffff::1") == "2001:db8:1:2::/64"
    assert address_group("::ffff:198.51.100.1") == "198.51.100.1"
    assert address_group("testclient") == "testclient"
