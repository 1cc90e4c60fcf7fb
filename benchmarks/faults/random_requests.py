"""Ten thousand requests of random method, path, headers, query and body against a real server.

`python -m benchmarks.faults.random_requests [--requests 10000] [--parser httptools|h11] [--seed 1]`

No request may get a 5xx except 503, leave a traceback in the log, or get more than a megabyte when it is refused.
`/health` answers within 100 ms each time meanwhile, and the memory stays level.
"""

import argparse
import asyncio
import json
import random
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx

from tests.support.server import ServerProcess

CONCURRENT = 4
LARGEST_REFUSAL = 1024 * 1024
SLOWEST_HEALTH_SECONDS = 0.1
MOST_GROWTH = 1.15
IDS = ("1", "2", "999999", "0", "-1", "x", "9" * 25, "%2e", "throughput")
METHODS = ("GET", "GET", "GET", "POST", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW")
WORDS = (
    "status",
    "limit",
    "skip",
    "cursor",
    "sort_by",
    "tag",
    "project",
    "filter",
    "tz",
    "query",
    "signature",
    "from",
)
VALUES = (
    "1",
    "-1",
    "pending",
    "x" * 300,
    "%00",
    "%ff",
    "%F0%9F%99%82",
    "2026-11-26",
    "null",
    "9" * 30,
    "%22",
    "a;b",
    "",
)
HEADERS = (
    ("If-Match", '"1-1"'), ("If-Match", "W/" * 200), ("If-None-Match", "*"), ("Accept", "text/csv"),
    ("Accept", "text/html"), ("X-Forwarded-For", "6.6.6.6, 127.0.0.1:1"), ("X-Forwarded-Proto", "https,http"),
    ("X-Request-ID", "\x7f" * 20), ("Content-Encoding", "gzip"), ("Idempotency-Key", "k" * 300),
    ("Last-Event-ID", "nonsense"), ("Range", "bytes=0-1"), ("Expect", "100-continue"), ("Origin", "null"),
    ("Cookie", "a=b; " * 50), ("User-Agent", "\xe9\xff"), ("If-Match", '"a",' * 2000), ("Transfer-Encoding", "gzip"),
)  # fmt: skip
TYPES = (
    "application/json",
    "text/csv",
    "application/x-www-form-urlencoded",
    "application/x-ndjson",
    "nonsense",
    "",
)


MANY_FIELDS = json.dumps({f"f{each}": each for each in range(60_000)}).encode()
LARGE = (b"[" * 500_000, b"[]," * 300_000, b'"' * 900_000, b"a&" * 400_000, b"title\n" * 9_000)


class Requests:
    """Makes random requests."""

    def __init__(self, chance: random.Random, operations: list[tuple[str, str]], token: str) -> None:
        self._chance, self._operations, self._token = chance, operations, token

    def one(self) -> bytes:
        """A request as it goes over the wire."""
        choice, body = self._chance.choice, self._body()
        method, path = choice(self._operations)
        if self._chance.random() < 0.2:
            method = choice(METHODS)
        lines = [f"{method} {self._path(path)}{self._query()} HTTP/1.1", "Host: localhost"]
        if self._chance.random() < 0.6:
            lines.append(f"Authorization: Bearer {self._token}")
        elif self._chance.random() < 0.3:
            lines.append(f"Authorization: Bearer {'x.' * self._chance.randint(0, 2000)}")
        for name, value in self._chance.sample(HEADERS, self._chance.choice((0, 0, 1, 2))):
            lines.append(f"{name}: {value}")
        if body:
            lines += [f"Content-Type: {choice(TYPES)}", f"Content-Length: {len(body)}"]
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body

    def _path(self, path: str) -> str:
        if self._chance.random() < 0.1:
            return "/" + "".join(self._chance.choices("abc/%.~;", k=self._chance.randint(0, 60)))
        return re.sub(r"\{[^}]*\}", lambda _: self._chance.choice(IDS), path)

    def _query(self) -> str:
        kind = self._chance.random()
        if kind < 0.5:
            return ""
        if kind < 0.53:
            return "?" + "a&" * 20_000
        many = self._chance.choice((1, 2, 3, 25, 150))
        return "?" + "&".join(
            f"{self._chance.choice(WORDS)}={self._chance.choice(VALUES)}" for _ in range(many)
        )

    def _body(self) -> bytes:
        kind = self._chance.random()
        if kind < 0.4:
            return b""
        if kind < 0.42:
            return MANY_FIELDS
        if kind < 0.44:
            return self._chance.choice(LARGE)
        fields = self._chance.sample(
            (
                "title",
                "status",
                "tags",
                "username",
                "email",
                "password",
                "token",
                "name",
                "operations",
                "chart",
                "url",
            ),
            4,
        )
        values: list[Any] = [
            "x",
            1,
            None,
            [],
            {},
            [1, "a", None] * 30,
            "\x00",
            "\ud800",
            1e308,
            {"a": {"b": []}},
            True,
        ]
        content: Any = {field: self._chance.choice(values) for field in fields}
        return json.dumps([content] * 3 if kind > 0.9 else content).encode()


class Watch:
    """Collects the failures, the slowest health check and the use of memory."""

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.wrong: list[str] = []
        self.slowest_health = 0.0
        self.memory: list[int] = []


async def send(port: int, request: bytes, watch: Watch) -> None:
    """Send a request, and look at the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        answer = await asyncio.wait_for(reader.read(8 * LARGEST_REFUSAL), 40)
        while more := await asyncio.wait_for(reader.read(LARGEST_REFUSAL), 40):
            answer += more
    except (ConnectionError, TimeoutError) as error:
        answer = b""
        if isinstance(error, TimeoutError) and b"/events" not in request:
            watch.wrong.append(f"no end: {request[:200]!r}")
    finally:
        writer.close()
    match = re.match(rb"HTTP/1.1 (\d+)", answer)
    status = int(match[1]) if match else 0
    watch.statuses[status] = watch.statuses.get(status, 0) + 1
    if status >= 500 and status != 503:
        watch.wrong.append(f"{status}: {request[:300]!r}")
    if status >= 400 and len(answer) > LARGEST_REFUSAL:
        watch.wrong.append(f"{len(answer)} bytes of refusal: {request[:300]!r}")


def memory_of(process: int) -> int:
    """The memory of a process, in KiB."""
    match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert match is not None
    return int(match[1])


async def look_at_health(url: str, watch: Watch, process: int) -> None:
    """Ask all the time for the server's health and its memory."""
    async with httpx.AsyncClient(base_url=url) as client:
        while True:
            began = time.perf_counter()
            await client.get("/health")
            watch.slowest_health = max(watch.slowest_health, time.perf_counter() - began)
            watch.memory.append(memory_of(process))
            await asyncio.sleep(0.05)


async def attack(server: ServerProcess, requests: Requests, number: int, watch: Watch) -> None:
    """Send all requests, a few at once."""
    left = iter(range(number))

    async def work() -> None:
        for _ in left:
            await send(server.port, requests.one(), watch)

    assert server.process is not None
    health = asyncio.create_task(look_at_health(server.url, watch, server.process.pid))
    await asyncio.gather(*(work() for _ in range(CONCURRENT)))
    health.cancel()


def main() -> int:
    """Run it; the exit status is 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--parser", default="httptools")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    watch = Watch()
    with tempfile.TemporaryDirectory() as folder:
        server = ServerProcess(Path(folder), LOG_LEVEL="WARNING")
        server.start("--http", arguments.parser, "--log-level", "warning")
        try:
            with httpx.Client(base_url=server.url) as client:
                account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
                client.post("/auth/register", json=account)
                form = {"username": "ada", "password": account["password"]}
                token = client.post("/auth/login", data=form).json()["access_token"]
                for title in ("one", "two"):
                    client.post("/tasks", json={"title": title}, headers={"Authorization": f"Bearer {token}"})
                # Endpoints that end the session or are slow on purpose are left out.
                left_out = (
                    "/auth/me",
                    "/auth/logout",
                    "/auth/logout-all",
                    "/events/stream",
                    "/test-background",
                )
                operations = [
                    (method.upper(), path)
                    for path, methods in client.get("/openapi.json").json()["paths"].items()
                    for method in methods
                    if path not in left_out
                ]
            chance = random.Random(arguments.seed)  # noqa: S311  # the same requests for the same seed
            asyncio.run(attack(server, Requests(chance, operations, token), arguments.requests, watch))
        finally:
            server.end()
        written = server.output() + server.log()
    if "Traceback" in written:
        watch.wrong.append("a traceback: " + written[max(0, written.index("Traceback") - 500) :][:3000])
    if watch.slowest_health > SLOWEST_HEALTH_SECONDS:
        watch.wrong.append(f"/health took {watch.slowest_health * 1000:.0f} ms")
    half = watch.memory[len(watch.memory) // 2]
    if watch.memory[-1] > half * MOST_GROWTH:
        watch.wrong.append(f"memory grew from {half} to {watch.memory[-1]} KiB in the second half")
    print(f"statuses {dict(sorted(watch.statuses.items()))}")
    print(
        f"/health at most {watch.slowest_health * 1000:.0f} ms; memory {watch.memory[0]}, {half}, {watch.memory[-1]} KiB"
    )
    for each in watch.wrong[:20]:
        print("WRONG", each)
    return 1 if watch.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
