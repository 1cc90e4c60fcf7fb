"""Clients that go on whatever happens, and remember the promises that they got."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any, Self
from urllib.parse import urlencode

from benchmarks.servers import HOST

PASSWORD = "correct horse battery"  # noqa: S105  # of accounts that live as long as a drill
NO_ANSWER = 0


def call(
    port: int, method: str, path: str, body: Any = None, token: str | None = None, timeout: float = 30
) -> tuple[int, Any]:
    """Make one request; its status and what its JSON says."""
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout)
    try:
        return _request(connection, method, path, body, token)
    finally:
        connection.close()


def _request(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any, token: str | None
) -> tuple[int, Any]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    content = None
    if isinstance(body, str):
        content, headers["Content-Type"] = body, "application/x-www-form-urlencoded"
    elif body is not None:
        content, headers["Content-Type"] = json.dumps(body), "application/json"
    connection.request(method, path, content, headers)
    response = connection.getresponse()
    text = response.read()
    if response.status == 503 and not response.getheader("Retry-After"):
        raise AssertionError("a 503 without Retry-After")
    kind = response.getheader("Content-Type", "")
    return response.status, json.loads(text) if "json" in kind else text.decode()


def account(port: int, name: str) -> tuple[int, str]:
    """Register somebody, and return their id and a token."""
    form = {"username": name, "email": f"{name}@example.com", "password": PASSWORD}
    status, made = call(port, "POST", "/auth/register", form)
    assert status == 200, made
    return made["id"], log_in(port, name)


def log_in(port: int, name: str, password: str = PASSWORD) -> str:
    """A token for somebody."""
    status, token = call(port, "POST", "/auth/login", urlencode({"username": name, "password": password}))
    assert status == 200, token
    return str(token["access_token"])


class Writers:
    """Threads that create tasks as fast as they are answered, until they are told to stop."""

    def __init__(
        self,
        ports: Sequence[int],
        tokens: Sequence[str],
        clients: int = 32,
        status: str = "pending",
        pause: float = 0.0,
    ) -> None:
        self.acknowledged: dict[int, str] = {}
        self.answers: Counter[int] = Counter()
        # When each answer came and how long it took.
        self.times: list[tuple[float, int, float]] = []
        self._ports, self._tokens, self._status, self._pause = ports, tokens, status, pause
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._write, args=(number,)) for number in range(clients)]
        self._number = 0

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for thread in self._threads:
            thread.join()

    def _write(self, number: int) -> None:
        port = self._ports[number % len(self._ports)]
        token = self._tokens[number % len(self._tokens)]
        connection = http.client.HTTPConnection(HOST, port, timeout=30)
        while not self._ending.is_set():
            with self._lock:
                self._number += 1
                title = f"Task {self._number}"
            began = time.monotonic()
            try:
                status, task = _request(
                    connection, "POST", "/tasks", {"title": title, "status": self._status}, token
                )
            except (OSError, http.client.HTTPException):
                status, task = NO_ANSWER, None
                connection.close()
            now = time.monotonic()
            with self._lock:
                self.answers[status] += 1
                self.times.append((now, status, now - began))
                if status == 201:
                    self.acknowledged[task["id"]] = title
            time.sleep(self._pause if status == 201 else 0.05)
        connection.close()

    def slowest(self) -> float:
        """The longest that an answer took."""
        return max(took for _, _, took in self.times)

    def percentiles(self, since: float, until: float) -> tuple[float, float]:
        """The median and the 99th percentile of the answer times in this period, in milliseconds."""
        took = sorted(1000 * seconds for at, _, seconds in self.times if since <= at <= until)
        return took[len(took) // 2], took[len(took) * 99 // 100]
