"""A mail server for trials: it accepts every mail, delivers none, and shows them at port 8025.

SMTP listens on port 1025, without encryption or login. The last hundred mails are kept in memory.
"""

import signal
import sys
from collections import deque
from email import message_from_bytes, policy
from email.message import EmailMessage
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from aiosmtpd.controller import Controller

SMTP_PORT, HTTP_PORT = 1025, 8025

caught: deque[EmailMessage] = deque(maxlen=100)


class Catcher:
    """The handler that aiosmtpd calls for each mail."""

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  # aiosmtpd's name
        message = message_from_bytes(envelope.content, policy=policy.default)
        caught.appendleft(message)
        sys.stdout.write(f"Caught a mail to {', '.join(envelope.rcpt_tos)}: {message['subject']}\n")
        return "250 OK"


def page() -> str:
    """The caught mails, newest first, in the form that a person would read."""
    mails = []
    for message in list(caught):
        body = message.get_body(("plain", "html"))
        head = "\n".join(f"{name}: {message[name]}" for name in ("Date", "From", "To", "Subject"))
        text = body.get_content() if body is not None else ""
        mails.append(f"<pre>{escape(head)}\n\n{escape(text)}</pre>")
    return f"<!DOCTYPE html><meta charset=utf-8><title>Mail</title><h1>{len(mails)} mails</h1>{'<hr>'.join(mails)}"


class Page(BaseHTTPRequestHandler):
    """The only page."""

    def do_GET(self) -> None:  # http.server's name
        content = page().encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_arguments: Any) -> None:
        """Log nothing, because visits of this page do not matter."""


def main() -> None:
    """Catch and show mails until a signal to stop comes."""
    everywhere = "0.0.0.0"  # noqa: S104  # other containers reach it through their network
    smtp = Controller(Catcher(), hostname=everywhere, port=SMTP_PORT)
    smtp.start()
    Thread(target=ThreadingHTTPServer((everywhere, HTTP_PORT), Page).serve_forever, daemon=True).start()
    stop_signals = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop_signals)
    signal.sigwait(stop_signals)
    smtp.stop()


if __name__ == "__main__":
    main()
