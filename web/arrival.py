"""Bounds of a request while it arrives: its head, and everything else that is no body.

The program sees a request only when its head is complete. uvicorn keeps all of the head until then, whatever its length,
and copies a long header again with each piece: one header of 130 MB kept everybody waiting for eight seconds at a time.
h11, the other parser that uvicorn may use, has bounds of its own. Both wait for a head for ever.

A server may ignore the wish to upgrade to another protocol. Java's client and `curl --http2` send it with every first
request. httptools then ends the request behind its head: its body was lost, or read as the next request.
"""

import sys
from collections.abc import Callable
from typing import Any

from httptools import HttpRequestParser
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from config import settings

# The most bytes without the end of a head and without any body. A head that the program itself may answer has 64 KiB of
# headers and 64 KiB of query.
LONGEST_SILENCE = 256 * 1024
TOO_LONG = "The request's head is too long."


class _NoTrailers(list[tuple[bytes, bytes]]):
    """Takes the fields behind a body in place of the headers, and keeps none."""

    def append(self, _field: tuple[bytes, bytes]) -> None:
        """Drop the field: uvicorn would add it to the headers, although no proxy has checked it."""


_no_trailers = _NoTrailers()


def bound_arrival() -> None:
    """Have uvicorn cut off endless heads and connections without a request, and read the body of each request.

    Its methods are replaced, because it has no settings for these, and calls the program only after the head.
    """
    if hasattr(HttpToolsProtocol, "silence"):
        return
    protocol: Any
    for protocol in (HttpToolsProtocol, H11Protocol):
        protocol.waiting = None
        protocol.connection_made = _connection_made(protocol.connection_made)
        protocol.connection_lost = _connection_lost(protocol.connection_lost)
    protocol = HttpToolsProtocol
    # The bytes since the last end of a head, or the last piece of a body.
    protocol.silence = 0
    protocol.data_received = _data_received(HttpToolsProtocol.data_received)
    protocol.on_headers_complete = _on_headers_complete(HttpToolsProtocol.on_headers_complete)
    protocol.on_body = _on_body(HttpToolsProtocol.on_body)
    # Whether the last head asks for another protocol, the bytes that have just arrived, and the bytes to read instead.
    protocol.is_set_aside, protocol.arrived, protocol.again = False, b"", None
    protocol.on_message_complete = _on_message_complete(HttpToolsProtocol.on_message_complete)
    protocol._unsupported_upgrade_warning = _without_upgrade(HttpToolsProtocol._unsupported_upgrade_warning)  # noqa: SLF001


def _data_received(receive: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    def data_received(self: Any, data: bytes) -> None:
        self.silence += len(data)
        self.arrived = data
        receive(self, data)
        while self.again is not None:
            (head, self.arrived), self.again = self.again, None
            receive(self, head)
            receive(self, self.arrived)
        self.arrived = b""
        if self.silence > LONGEST_SILENCE and not self.transport.is_closing():
            self.logger.warning(TOO_LONG)
            if self.cycle is None or self.cycle.response_complete:
                self.send_400_response(TOO_LONG)
            else:
                # Another answer may have begun.
                self.transport.close()

    return data_received


def _on_headers_complete(complete: Callable[[Any], None]) -> Callable[[Any], None]:
    def on_headers_complete(self: Any) -> None:
        self.silence = 0
        if self.parser.should_upgrade() and not self._should_upgrade() and _asks_for_upgrade(self.headers):
            self.is_set_aside = True
            return
        complete(self)
        # A request that becomes a WebSocket has no path yet, and uvicorn reads its headers once more.
        if "path" in self.scope:
            self.headers = _no_trailers

    return on_headers_complete


def _asks_for_upgrade(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"upgrade" for name, _ in headers)


def _on_message_complete(end: Callable[[Any], None]) -> Callable[[Any], None]:
    def on_message_complete(self: Any) -> None:
        if not self.is_set_aside:
            end(self)

    return on_message_complete


def _without_upgrade(warn: Callable[[Any], None]) -> Callable[[Any], None]:
    def unsupported_upgrade(self: Any) -> None:
        if not self.is_set_aside:
            warn(self)
            return
        # uvicorn calls this while it handles the parser's error, which tells where the head has ended.
        error = sys.exception()
        assert error is not None
        first = b"%b %b HTTP/%b" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        fields = [b"%b: %b" % field for field in self.headers if field[0] != b"upgrade"]
        # The parser reads no further. A view, because a copy for each of many requests would take long.
        self.again = b"\r\n".join([first, *fields, b"", b""]), memoryview(self.arrived)[error.args[0] :]
        self.is_set_aside, self.parser = False, HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    return unsupported_upgrade


def _on_body(take: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    def on_body(self: Any, body: bytes) -> None:
        self.silence = 0
        take(self, body)

    return on_body


def _connection_made(make: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def connection_made(self: Any, transport: Any) -> None:
        make(self, transport)
        _look_later(self, _NOTHING)

    return connection_made


def _connection_lost(lose: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    def connection_lost(self: Any, error: Exception | None) -> None:
        if self.waiting is not None:
            self.waiting.cancel()
        lose(self, error)

    return connection_lost


# Stands for the last request of a connection that has had none.
_NOTHING = object()


def _look_later(connection: Any, last: object) -> None:
    """Look after the time that a request may take whether the connection still waits for one after the last."""
    if seconds := settings.request_timeout_seconds:
        connection.waiting = connection.loop.call_later(seconds, _look, connection, last)


def _look(connection: Any, last: object) -> None:
    """Close a connection that has brought no head since the last look.

    uvicorn itself closes one that is quiet after an answer, and the program ends a request whose body does not arrive.
    """
    cycle = connection.cycle
    is_without_head = cycle is None or cycle.response_complete
    if not is_without_head or connection.timeout_keep_alive_task is not None:
        _look_later(connection, None)
    elif last is (cycle or _NOTHING):
        connection.transport.close()
    else:
        _look_later(connection, cycle)
