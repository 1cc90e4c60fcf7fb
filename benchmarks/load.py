"""A load generator: keep-alive clients on raw sockets, which are cheap, so that the server is measured and not they.

It checks the status of every answer and counts the failures by kind.
"""

import asyncio
import gc
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import uvloop

from benchmarks.servers import HOST

# A whole HTTP request and the status that it must be answered with.
Call: TypeAlias = tuple[bytes, int]

# Gives a client its next call; None ends the client.
Source: TypeAlias = Callable[[], Call | None]


_CLOSE = b"\r\nconnection: close\r\n"  # as uvicorn writes it


def request(method: str, path: str, token: str = "", body: bytes = b"") -> bytes:
    """The bytes of one request; a body is JSON."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {HOST}", "Accept: */*"]
    if token:
        lines.append(f"Authorization: Bearer {token}")
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def form(path: str, body: bytes) -> bytes:
    """The bytes of one posted form."""
    head = f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: application/x-www-form-urlencoded\r\n\r\n" + body


def answer_length(received: bytearray) -> int | None:
    """The bytes of the whole answer with this beginning; None if its length is not known yet."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = received[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        return end + 4 + int(head[at + 17 :].partition(b"\r\n")[0])
    if b"\r\ntransfer-encoding: chunked" in head:
        # The length is known when the last chunk, which is empty, has arrived.
        return len(received) if received.endswith(b"\r\n0\r\n\r\n") else None
    return end + 4


@dataclass(slots=True)
class Group:
    """Clients that run together and are counted together."""

    sources: Sequence[Source]
    ports: Sequence[int]
    pause: float = 0.0
    """The seconds that each client waits after an answer before it asks again."""


@dataclass(slots=True)
class Result:
    """The answers and failures of one group."""

    seconds: float = 0.0
    in_time: int = 0
    """Answers that came before the end, for the rate."""
    latencies: list[float] = field(default_factory=list)
    """The seconds of every right answer, including those after the end."""
    failures: Counter[str] = field(default_factory=Counter)

    @property
    def answered(self) -> int:
        return len(self.latencies)

    @property
    def failed(self) -> int:
        return self.failures.total()

    @property
    def rate(self) -> float:
        return self.in_time / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """The milliseconds within which this share of the right answers came."""
        if not self.latencies:
            return float("nan")
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000


class _Client(asyncio.Protocol):
    """One connection that asks, waits for the whole answer, checks it and asks again."""

    def __init__(self, run: "_Run", result: Result, source: Source, port: int, pause: float) -> None:
        self._run = run
        self._result = result
        self._source = source
        self._port = port
        self._pause = pause
        self._transport: asyncio.Transport | None = None
        self._asked = 0.0  # 0: no call is in flight
        self._expected = 0
        self._status = 0
        self._length: int | None = None
        self._received = bytearray()

    async def connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: self, HOST, self._port)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's.
        self._transport = cast("asyncio.Transport", transport)

    def ask(self) -> None:
        assert self._transport is not None
        call = None if time.perf_counter() >= self._run.end else self._source()
        if call is None:
            self._leave()
            return
        data, self._expected = call
        self._length = None
        self._asked = time.perf_counter()
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        if self._length is None:
            self._length = answer_length(received)
        if self._length is not None and len(received) >= self._length:
            self._status = int(received[9:12])
            self._answered()

    def _answered(self) -> None:
        now = time.perf_counter()
        if self._status == self._expected:
            self._result.latencies.append(now - self._asked)
            if now <= self._run.end:
                self._result.in_time += 1
        else:
            self._result.failures[f"status {self._status}"] += 1
        self._asked = 0.0
        closing = _CLOSE in self._received
        self._received.clear()
        if closing:
            self._again()
        elif self._pause:
            asyncio.get_running_loop().call_later(self._pause, self.ask)
        else:
            self.ask()

    def connection_lost(self, _: Exception | None) -> None:
        if self._asked:
            self._asked = 0.0
            self._result.failures["connection lost"] += 1
            self._again()

    def _again(self) -> None:
        """Go on with a new connection in the place of one that the server closed."""
        if self._transport is not None:
            self._transport.close()
        successor = _Client(self._run, self._result, self._source, self._port, self._pause)
        self._run.replace(self, successor)

    def refused(self) -> None:
        self._result.failures["no connection"] += 1

    def _leave(self) -> None:
        assert self._transport is not None
        self._transport.close()
        self._run.left(self)

    def give_up(self) -> None:
        """Count the call in flight as never answered, because the grace period is over."""
        if self._asked:
            self._asked = 0.0
            self._result.failures["no answer"] += 1
        if self._transport is not None:
            self._transport.abort()


class _Run:
    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._clients: set[_Client] = set()
        self._empty = asyncio.Event()
        self._reconnects: set[asyncio.Task[None]] = set()
        self.end = 0.0

    def left(self, client: _Client) -> None:
        self._clients.discard(client)
        if not self._clients:
            self._empty.set()

    def replace(self, old: _Client, new: _Client) -> None:
        self._clients.add(new)
        self._clients.discard(old)
        task = asyncio.get_running_loop().create_task(self._reconnect(new))
        self._reconnects.add(task)
        task.add_done_callback(self._reconnects.discard)

    async def _reconnect(self, client: _Client) -> None:
        while time.perf_counter() < self.end:
            try:
                await client.connect()
            except OSError:
                client.refused()
                # Without this pause a client would ask a server that is gone as fast as the loop turns.
                await asyncio.sleep(0.2)
            else:
                client.ask()
                return
        self.left(client)

    async def go(self, groups: Sequence[Group], grace: float) -> list[Result]:
        results = []
        for group in groups:
            results.append(result := Result())
            for number, source in enumerate(group.sources):
                port = group.ports[number % len(group.ports)]
                self._clients.add(_Client(self, result, source, port, group.pause))
        waiting = list(self._clients)
        await asyncio.gather(*(client.connect() for client in waiting))
        start = time.perf_counter()
        self.end = start + self._seconds
        for client in waiting:
            client.ask()
        try:
            await asyncio.wait_for(self._empty.wait(), self._seconds + grace)
        except TimeoutError:
            for client in list(self._clients):
                client.give_up()
        took = min(self._seconds, time.perf_counter() - start)
        for result in results:
            result.seconds = took
        return results


def drive(groups: Sequence[Group], seconds: float, grace: float = 15.0) -> list[Result]:
    """Run the groups side by side; ends early when no client has anything left to ask."""

    async def main() -> list[Result]:
        return await _Run(seconds).go(groups, grace)

    gc.collect()
    gc.disable()
    try:
        return uvloop.run(main())
    finally:
        gc.enable()


def load(sources: Sequence[Source], ports: Sequence[int], seconds: float) -> Result:
    """Run one group alone."""
    return drive([Group(sources, ports)], seconds)[0]
