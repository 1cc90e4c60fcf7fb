"""Drills of retries: creates that are sent several times with one key, while servers are killed."""

import http.client
import json
import random
import signal
import threading
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from benchmarks.faults.clients import account, log_in
from benchmarks.faults.space import must, space, wait_until
from benchmarks.servers import HOST
from tests.support.server import ServerProcess

CLIENTS = 32
MOST_COPIES = 5
KILL_EVERY_SECONDS = 3.0


class Retries:
    """Sends each key's create one to five times, to any of the servers, each until it is answered with 201."""

    def __init__(self, ports: Sequence[int], tokens: Sequence[str], seed: int = 1) -> None:
        self._ports, self._tokens = ports, tokens
        self._chance = random.Random(seed)  # noqa: S311  # which server does not matter
        self._here = threading.local()
        self._connections: list[http.client.HTTPConnection] = []
        self._lock = threading.Lock()
        # The answers to each key, and how many of them said that they were replays.
        self.answers: dict[int, list[bytes]] = defaultdict(list)
        self.first: dict[int, int] = defaultdict(int)
        self.failures = 0

    def run(self, keys: int) -> int:
        """Send all requests, and return their number."""
        copies = [number for number in range(keys) for _ in range(self._chance.randint(1, MOST_COPIES))]
        with ThreadPoolExecutor(CLIENTS) as pool:
            list(pool.map(self._send, copies))
        for connection in self._connections:
            connection.close()
        return len(copies)

    def _send(self, number: int) -> None:
        token = self._tokens[number % len(self._tokens)]
        headers = {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            "Idempotency-Key": f"key {number}",
        }
        body = json.dumps({"title": f"Task {number}"})
        while True:
            port = self._chance.choice(self._ports)
            connection = self._connection(port)
            try:
                connection.request("POST", "/tasks", body, headers)
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException):
                connection.close()
                with self._lock:
                    self.failures += 1
                continue
            if response.status == 201:
                break
            must(response.status == 503, f"answered with {response.status}: {content.decode()}")
        place, tag = response.getheader("Location"), response.getheader("ETag")
        with self._lock:
            self.answers[number].append(f"{place} {tag} ".encode() + content)
            self.first[number] += response.getheader("Idempotency-Replayed") is None

    def _connection(self, port: int) -> http.client.HTTPConnection:
        kept: dict[int, http.client.HTTPConnection] = self._here.__dict__.setdefault("kept", {})
        if port not in kept:
            kept[port] = http.client.HTTPConnection(HOST, port, timeout=30)
            self._connections.append(kept[port])
        return kept[port]


class Killer:
    """Kills one server after the other, and starts it again."""

    def __init__(self, servers: Sequence[ServerProcess], every: float = KILL_EVERY_SECONDS) -> None:
        self._servers, self._every = servers, every
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._kill)
        self.kills = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def _kill(self) -> None:
        while not self._ending.wait(self._every):
            server = self._servers[self.kills % len(self._servers)]
            server.end(signal.SIGKILL)
            self.kills += 1
            server.start()


def retried(kind: str, keys: int = 10_000) -> str:
    """Send creates one to five times over two processes that are killed: one task and one answer for each key."""
    with space(kind) as home:
        servers = [home.server(name).start() for name in "ab"]
        ports = [server.port for server in servers]
        names = [f"person{number}" for number in range(8)]
        for name in names:
            account(ports[0], name)
        retries = Retries(ports, [log_in(ports[0], name) for name in names])
        with Killer(servers) as killer:
            sent = retries.run(keys)
        must(len(retries.answers) == keys, "a key was never answered")
        differing = [number for number, answers in retries.answers.items() if len(set(answers)) > 1]
        must(not differing, f"{len(differing)} keys had different answers")
        twice = [number for number, first in retries.first.items() if first > 1]
        must(not twice, f"{len(twice)} keys were written twice")
        titles = sorted(home.titles().values())
        must(titles == sorted(f"Task {number}" for number in range(keys)), f"{len(titles)} tasks")
        for table in ("task_history", "notifications", "idempotency_keys"):
            must(home.count(f"SELECT count(*) FROM {table}") == keys, f"not {keys} rows in {table}")
        wait_until(
            lambda: home.count("SELECT count(*) FROM notifications WHERE state = 'waiting'") == 0,
            90,
            "what the dead servers left is delivered",
        )
        lost = sum(first == 0 for first in retries.first.values())
        return (
            f"{sent} requests for {keys} keys, {killer.kills} kills, {retries.failures} connections broken:"
            f" {len(titles)} tasks; {lost} whose first answer was lost; each key's answers the same bytes"
        )
