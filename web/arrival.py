"""Bounds of a request while it arrives: its head, and everything else that is no body.

The program sees a request only when its head is complete. uvicorn keeps all of the head until then, whatever its length,
and copies a long header again with each piece: one header of 130 MB kept everybody waiting for eight seconds at a time.
h11, the other parser that uvicorn may use, has bounds of its own.
"""

from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
    """Have uvicorn cut off a request that goes on without an end.

    Its methods are replaced, because it has no setting for this, and calls the program only after the head.
    """
    if hasattr(HttpToolsProtocol, "silence"):
        return
    protocol: Any = HttpToolsProtocol
    # The bytes since the last end of a head, or the last piece of a body.
    protocol.silence = 0
    protocol.data_received = _data_received(HttpToolsProtocol.data_received)
    protocol.on_headers_complete = _on_headers_complete(HttpToolsProtocol.on_headers_complete)
    protocol.on_body = _on_body(HttpToolsProtocol.on_body)


def _data_received(receive: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    def data_received(self: Any, data: bytes) -> None:
        self.silence += len(data)
        receive(self, data)
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
        complete(self)
        # A request that becomes a WebSocket has no path yet, and uvicorn reads its headers once more.
        if "path" in self.scope:
            self.headers = _no_trailers

    return on_headers_complete


def _on_body(take: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    def on_body(self: Any, body: bytes) -> None:
        self.silence = 0
        take(self, body)

    return on_body
