"""The access log: a line for each request with its time, address, method, path, status and duration.

A thread writes the lines a moment later, many at once, because formatting and writing one line takes a tenth
of the time of a short request. The thread belongs to no event loop.
"""

import atexit
import logging
import threading
import time
from collections import deque
from typing import NamedTuple

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from config import settings
from logging_config import in_one_write, logger, redacted
from request_context import origin_var, request_id_var

# More lines collect in this time, which makes writing cheaper.
PAUSE_SECONDS = 0.1
PROBES = frozenset({"/health", "/ready", "/metrics"})
# A page of the program loads dozens of files from here, which tell nothing beside the page itself.
_PARTS_OF_PAGES = ("/assets/", "/docs/assets/", "/guide/assets/")

_logger = logger.getChild("access")


class Entry(NamedTuple):
    """An answered request."""

    answered_at: float
    address: str
    method: str
    path: bytes
    query: bytes
    status: int
    seconds: float
    request_id: str

    def record(self) -> logging.LogRecord:
        target = self.path + (b"?" + self.query if self.query else b"")
        shown = redacted(target.decode("utf-8", "backslashreplace"))
        duration = round(self.seconds * 1000, 1)
        record = _logger.makeRecord(
            _logger.name,
            logging.INFO,
            __file__,
            0,
            '%s "%s %s" %s %s ms %s',
            (self.address, self.method, shown, self.status, duration, self.request_id),
            None,
        )
        record.created, record.msecs = self.answered_at, self.answered_at % 1 * 1000
        record.__dict__["fields"] = {
            "request_id": self.request_id,
            "address": self.address,
            "method": self.method,
            "path": shown,
            "status": self.status,
            "duration_ms": duration,
        }
        return record


class Entries:
    """The entries that are still to be written."""

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._filled = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def add(self, entry: Entry) -> None:
        """Have an entry written soon."""
        self._entries.append(entry)
        if not self._filled.is_set():
            self._filled.set()
            if self._thread is None:
                self._start()

    def write(self) -> None:
        """Write all waiting entries."""
        with in_one_write():
            while self._entries:
                try:
                    entry = self._entries.popleft()
                except IndexError:
                    break
                if _logger.isEnabledFor(logging.INFO):
                    _logger.handle(entry.record())

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="access-log", daemon=True)
                self._thread.start()
                atexit.register(self.write)

    def _serve(self) -> None:
        while self._filled.wait():
            time.sleep(PAUSE_SECONDS)
            self._filled.clear()
            self.write()


access_log = Entries()


class AccessLog:
    """Writes a line for each request, when its answer was handed to the server or has broken off."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        began, status, is_whole = time.perf_counter(), 0, False

        async def send_and_note(message: Message) -> None:
            nonlocal status, is_whole
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body"):
                is_whole = True
                # Noted before sending, because work after the answer is not part of the request's time.
                _note(scope, status, time.perf_counter() - began)
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            if status and not is_whole:
                _note(scope, status, time.perf_counter() - began)


def _note(scope: Scope, status: int, seconds: float) -> None:
    path: str = scope["path"]
    below_root = path.removeprefix(settings.root)
    if below_root in PROBES or (status < 400 and below_root.startswith(_PARTS_OF_PAGES)):
        return
    access_log.add(
        Entry(
            time.time(),
            origin_var.get().address,
            scope["method"],
            scope.get("raw_path") or path.encode("utf-8", "surrogateescape"),
            scope.get("query_string", b""),
            status,
            seconds,
            request_id_var.get(),
        )
    )
