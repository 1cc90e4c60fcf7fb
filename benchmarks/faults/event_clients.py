"""Clients that follow the feed in a drill, each in its own way, and clients that write its events."""

import http.client
import json
import random
import threading
import time
from collections.abc import Sequence
from typing import Any, Self

from benchmarks.faults.clients import call
from benchmarks.servers import HOST

FAILURES = (OSError, http.client.HTTPException, ValueError, AssertionError)


class Busy:
    """Threads that go on until the `with` block ends, whatever happens to the servers."""

    def __init__(self, works: Sequence[Any]) -> None:
        self.ending = threading.Event()
        self._threads = [threading.Thread(target=work, daemon=True) for work in works]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        for thread in self._threads:
            thread.join(30)


class Changers(Busy):
    """Clients that make tasks, change them several times, and delete some."""

    def __init__(self, ports: Sequence[int], tokens: Sequence[str], clients: int, pause: float = 0.0) -> None:
        super().__init__([lambda number=number: self._change(number) for number in range(clients)])
        self._ports, self._tokens, self._pause = ports, tokens, pause
        self.answered = 0

    def _change(self, number: int) -> None:
        token = self._tokens[number % len(self._tokens)]
        while not self.ending.is_set():
            port = random.choice(self._ports)  # noqa: S311  # any will do
            try:
                status, task = call(port, "POST", "/tasks", {"title": "Task"}, token, timeout=5)
                if status != 201:
                    time.sleep(0.05)
                    continue
                path = f"/tasks/{task['id']}"
                call(port, "PATCH", path, {"status": "in_progress", "priority": 1}, token, timeout=5)
                call(port, "PATCH", path, {"status": "completed"}, token, timeout=5)
                if number % 4 == 0:
                    call(port, "DELETE", path, None, token, timeout=5)
                self.answered += 1
            except FAILURES:
                time.sleep(0.05)
            time.sleep(self._pause)


class Follower(Busy):
    """Follows the feed; `ids` are the events in the order in which they arrived."""

    def __init__(self, ports: Sequence[int], token: str, how: str) -> None:
        super().__init__([{"after": self._poll, "wait": self._poll, "stream": self._stream}[how]])
        self.how, self._ports, self._token = how, ports, token
        self.ids: list[str] = []
        self.tasks: list[int] = []

    def _take(self, event: Any) -> None:
        self.ids.append(event["id"])
        self.tasks.append(event["data"]["task_id"])

    def _place(self) -> str:
        after = f"&after={self.ids[-1]}" if self.ids else ""
        return f"scope=all{after}"

    def _poll(self) -> None:
        wait = "&wait=2" if self.how == "wait" else ""
        while not self.ending.is_set():
            port = random.choice(self._ports)  # noqa: S311
            try:
                status, events = call(
                    port, "GET", f"/events?limit=500{wait}&{self._place()}", token=self._token, timeout=10
                )
            except FAILURES:
                time.sleep(0.05)
                continue
            if status == 200:
                for event in events:
                    self._take(event)
            time.sleep(0.2 if self.how == "after" else 0.01)

    def _stream(self) -> None:
        while not self.ending.is_set():
            port = random.choice(self._ports)  # noqa: S311
            connection = http.client.HTTPConnection(HOST, port, timeout=20)
            try:
                # Until the first event arrives there is no id to go on behind, so the feed is read from its first page.
                if not self.ids:
                    status, events = call(
                        port, "GET", "/events?limit=1&scope=all", token=self._token, timeout=5
                    )
                    if status != 200 or not events:
                        time.sleep(0.05)
                        continue
                    self._take(events[0])
                headers = {"Authorization": f"Bearer {self._token}", "Last-Event-ID": self.ids[-1]}
                connection.request("GET", "/events/stream?scope=all", headers=headers)
                answer = connection.getresponse()
                while answer.status == 200 and not self.ending.is_set():
                    line = answer.readline()
                    if not line:
                        break
                    # A killed server may cut a line, which is no whole event.
                    if line.startswith(b"data: ") and line.endswith(b"\n"):
                        self._take(json.loads(line[6:]))
            except FAILURES:
                time.sleep(0.05)
            finally:
                connection.close()
