"""Writing events as messages of Server-Sent Events."""

from collections.abc import Iterable, Iterator
from typing import Any

from services.events.event import as_json

# After this many bytes of messages, the event loop serves others.
BYTES_AT_ONCE = 256 * 1024
# JSON leaves these line ends as they are. Many clients end a line at each of them, although the standard of
# these streams does not.
_LINE_ENDS = {"\x85".encode(): b"\\u0085", "\u2028".encode(): b"\\u2028", "\u2029".encode(): b"\\u2029"}


def message(event: dict[str, Any]) -> bytes:
    """The event as a message of Server-Sent Events."""
    data = as_json(event)
    for line_end, escaped in _LINE_ENDS.items():
        data = data.replace(line_end, escaped)
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (event["id"].encode(), event["type"].encode(), data)


def pieces(events: Iterable[dict[str, Any]]) -> Iterator[bytes]:
    """The events as messages, some of them together. Long ones take seconds, so this is no work for an event loop."""
    waiting, size = list[bytes](), 0
    for each in events:
        waiting.append(message(each))
        size += len(waiting[-1])
        if size >= BYTES_AT_ONCE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)
