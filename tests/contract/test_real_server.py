"""HEAD, a caller's address, and requests without an end, on a real server with each of uvicorn's parsers."""

import contextlib
import logging
import socket
from typing import Any

import httpx
import pytest
from fastapi.testclient import TestClient

from config import settings
from configuration.addresses import networks
from main import app
from tests.support.api import PASSWORD, Api
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until

PARSERS = ("httptools", "h11")
# The buffers of both sides take some megabytes that the server does not read.
MOST_TAKEN = 64 * 2**20
# Headers that differ between two answers to one request, and the header of a body without a length.
OF_ONE_ANSWER = {"date", "x-request-id", "transfer-encoding"}

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def kept_headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OF_ONE_ANSWER}


@pytest.mark.parametrize("parser", PARSERS)
def test_head_answers_like_get_without_a_body(
    api: Api, parser: Any, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()
    task = ada.task("Write the report", description="x" * 10_000)
    headers = {"Authorization": f"Bearer {ada.token}"}
    paths = [
        "/health",
        "/",
        "/docs",
        "/openapi.json",
        "/nowhere",
        "/tasks",
        "/tasks?limit=0",
        "/tasks/import",
    ]
    paths += [
        f"/tasks/{task['id']}",
        f"/tasks/{task['id']}/history",
        "/tasks/export",
        "/auth/me/export",
        "/health/",
    ]
    with served(app, http=parser) as url, httpx.Client(base_url=url, headers=headers) as client:
        for path in paths:
            wanted, got = client.get(path), client.head(path)
            assert (got.status_code, got.content) == (wanted.status_code, b""), path
            assert kept_headers(got) == kept_headers(wanted), path
            if "transfer-encoding" not in wanted.headers:
                assert got.headers["content-length"] == str(len(wanted.content)), path
        tag = client.get(f"/tasks/{task['id']}").headers["etag"]
        assert client.head(f"/tasks/{task['id']}", headers={"If-None-Match": tag}).status_code == 304
    assert [record for record in caplog.records if record.exc_info] == []


@pytest.mark.parametrize("parser", PARSERS)
def test_a_body_in_chunks_is_bounded_whatever_length_is_told(api: Api, parser: Any) -> None:
    token = api.person().token
    body = b'{"title": "' + b"x" * 2**21 + b'"}'
    head = (
        f"POST /tasks HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with (
        served(app, http=parser) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection,
    ):
        connection.settimeout(SECONDS)
        with contextlib.suppress(ConnectionError):
            connection.sendall(head.encode() + b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n")
        # One parser refuses the two headers itself.
        assert connection.recv(100).split()[1] in (b"400", b"413")


# The beginning of a request, and what then comes without an end.
CHUNKED = (
    b"POST /auth/logout HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    b"Content-Type: application/json\r\n\r\n2\r\n{}\r\n"
)
ENDLESS = {
    "path": (b"GET /health?", b"a" * 2**16),
    "header": (b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: ", b"a" * 2**16),
    "headers": (b"GET /health HTTP/1.1\r\nHost: x\r\n", b"x-a: b\r\n" * 2**13),
    "extension of a chunk": (CHUNKED + b"2;", b"a" * 2**16),
    "trailer": (CHUNKED + b"0\r\nX-Long: ", b"a" * 2**16),
    "trailers": (CHUNKED + b"0\r\n", b"x-a: b\r\n" * 2**13),
}


@pytest.mark.parametrize("parser", PARSERS)
@pytest.mark.parametrize("what", ENDLESS)
def test_a_request_whose_head_or_end_never_ends_is_cut_off(
    client: TestClient, parser: Any, what: str
) -> None:
    beginning, part = ENDLESS[what]
    with (
        served(app, http=parser) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection,
    ):
        connection.settimeout(SECONDS)
        sent = 0
        with contextlib.suppress(ConnectionError):
            connection.sendall(beginning)
            while sent < MOST_TAKEN:
                connection.sendall(part)
                sent += len(part)
        assert sent < MOST_TAKEN
        # The server goes on.
        assert httpx.get(f"{url}/health").status_code == 200


@pytest.mark.parametrize("parser", PARSERS)
def test_what_comes_behind_a_body_is_no_header(client: TestClient, parser: Any) -> None:
    with (
        served(app, http=parser) as url,
        socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2]))) as connection,
    ):
        connection.settimeout(SECONDS)
        for _ in range(2):
            # A proxy that hands trailers on has not looked at them.
            connection.sendall(CHUNKED + b"0\r\nX-Request-ID: from-behind\r\n\r\n")
            answer = b""
            while not answer.endswith(b"}"):
                part = connection.recv(4096)
                assert part, answer
                answer += part.lower()
            assert b"x-request-id: " in answer
            assert b"from-behind" not in answer


@pytest.mark.parametrize("parser", PARSERS)
def test_a_request_that_would_rather_use_another_protocol_keeps_its_body(
    client: TestClient, parser: Any
) -> None:
    """Java's client and `curl --http2` ask for HTTP/2 with their first request."""
    form = b"username=ada&password=GET /nowhere HTTP/1.1"
    head = (
        b"POST /auth/login HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\nContent-Type: application/x-www-form-urlencoded\r\n"
    )
    whole = head + b"Content-Length: %d\r\n\r\n" % len(form)
    chunked = head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(form)

    def answers(*parts: bytes) -> list[bytes]:
        with socket.create_connection(
            ("127.0.0.1", int(url.rpartition(":")[2])), timeout=SECONDS
        ) as connection:
            last = b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            for part in (*parts, last):
                connection.sendall(part)
                # The server reads each part by itself.
                httpx.get(f"{url}/health")
            received = b""
            while more := connection.recv(65536):
                received += more
        return [status.split()[0] for status in received.split(b"HTTP/1.1 ")[1:]]

    with served(app, http=parser) as url:
        assert answers(whole + form) == [b"401", b"200"]
        assert answers(whole, form[:30], form[30:]) == [b"401", b"200"]
        assert answers(head[:50], head[50:] + chunked[len(head) :], form + b"\r\n0\r\n\r\n") == [
            b"401",
            b"200",
        ]
        if parser == "httptools":
            # h11 reads nothing behind such a request before it is answered.
            assert answers((whole + form) * 3) == [b"401", b"401", b"401", b"200"]


@pytest.mark.parametrize("parser", PARSERS)
def test_only_trusted_proxies_tell_where_a_request_comes_from_whatever_the_server_believes(
    api: Api, parser: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(settings, "trusted_proxies", networks("10.0.0.0/8"))
    ada = api.person()
    options = {"http": parser, "forwarded_allow_ips": "*"}

    def seen(url: str, forwarded: str) -> tuple[str, str]:
        told = {"X-Forwarded-For": forwarded, "X-Forwarded-Proto": "https"}
        with httpx.Client(base_url=url, headers=told) as client:
            form = {"username": "ada", "password": PASSWORD}
            client.headers["Authorization"] = (
                "Bearer " + client.post("/auth/login", data=form).json()["access_token"]
            )
            (address,) = [each["address"] for each in client.get("/auth/sessions").json() if each["current"]]
            return address, client.get("/tasks?limit=1").headers["link"].partition("//")[0]

    for title in ("one", "two"):
        ada.task(title)
    with served(app, **options) as url, caplog.at_level(logging.INFO, "uvicorn.access"):
        assert seen(url, "6.6.6.6") == ("127.0.0.1", "<http:")
        assert "6.6.6.6" not in caplog.text
        monkeypatch.setattr(settings, "trusted_proxies", networks("127.0.0.1"))
        assert seen(url, "6.6.6.6, 198.51.100.1") == ("198.51.100.1", "<https:")
        assert "198.51.100.1" in caplog.text


@pytest.mark.parametrize("parser", PARSERS)
def test_a_connection_that_brings_no_head_is_closed(
    client: TestClient, parser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "request_timeout_seconds", 0.1)
    with served(app, http=parser, timeout_keep_alive=60) as url, contextlib.ExitStack() as opened:

        def connection(*parts: bytes) -> socket.socket:
            made = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=SECONDS)
            for part in parts:
                made.sendall(part)
            return opened.enter_context(made)

        def received(connection: socket.socket) -> bytes:
            # A closed connection is reset by what is sent to it.
            with contextlib.suppress(ConnectionError):
                return connection.recv(4096)
            return b""

        def is_answered(connection: socket.socket) -> bool:
            answer = b""
            while not answer.endswith(b'{"message":"ok"}'):
                part = received(connection)
                answer += part
                if not part:
                    return False
            return answer.startswith(b"HTTP/1.1 200")

        whole = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"

        def answered() -> socket.socket | None:
            """A connection with an answer; on a busy machine its request may have come too late."""
            made = connection(whole)
            return made if is_answered(made) else None

        kept, later = wait_until(answered), wait_until(answered)
        assert kept is not None
        assert later is not None
        later.sendall(b"GET /hea")
        for waiting in (connection(), connection(b"GET /health HTTP/1.1\r\nHost:"), later):
            assert received(waiting) == b""
        # One that is quiet after an answer has the time that uvicorn is told to give it.
        monkeypatch.setattr(settings, "request_timeout_seconds", SECONDS)
        kept.sendall(whole)
        assert is_answered(kept)
