"""A receiver of webhooks: a real HTTP server on loopback that verifies events and can be made to misbehave."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from standardwebhooks import Webhook

from tests.support.waiting import SECONDS


@dataclass(frozen=True)
class Received:
    """A request that arrived."""

    headers: Mapping[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    def verified(self, secret: str) -> Any:
        """The event, if it was signed by this secret; raises WebhookVerificationError."""
        return Webhook(secret).verify(self.body, dict(self.headers))


# The answer of a receiver: a status, headers, and a body.
Answer = tuple[int, dict[str, str], bytes]


class Receiver:
    """The server: `received` has the requests; `answer` makes the answers, and may take its time."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.answer: Callable[[BaseHTTPRequestHandler], Answer | None] = lambda _: (200, {}, b"")
        self._arrived = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:  # as the server calls it
                length = int(self.headers["content-length"])
                body = self.rfile.read(length)
                if len(body) < length:
                    # The sender died before it had sent all of the request.
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                receiver.note(Received(headers, body))
                answer = receiver.answer(self)
                if answer is None:
                    self.close_connection = True
                    return
                status, extra, content = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **extra}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """Ignore clients that go away."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def note(self, received: Received) -> None:
        """Remember a request."""
        with self._arrived:
            self.received.append(received)
            self._arrived.notify_all()

    def wait_for(self, count: int, seconds: float = SECONDS) -> list[Received]:
        """Wait for `count` requests, and return all; an assertion fails if they do not come."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.received) >= count, seconds)
        assert arrived, f"{len(self.received)} of {count} have arrived"
        return list(self.received)

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def receiver() -> Iterator[Receiver]:
    """A receiver that listens, on a free port."""
    made = Receiver()
    try:
        yield made
    finally:
        made.stop()
