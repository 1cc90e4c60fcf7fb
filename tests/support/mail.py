"""A real mail server on loopback that keeps mails, and can be made to refuse or delay them."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from benchmarks.servers import free_port
from tests.support.waiting import SECONDS


class MailCatcher:
    """The server: `mails` were accepted, `refused` ones got the answer `refusal`, `greetings` are clients' names."""

    def __init__(self, port: int, **options: Any) -> None:
        self.port = port
        self._options = options
        self.mails: list[EmailMessage] = []
        self.refused: list[EmailMessage] = []
        self.connections = 0
        self.greetings: list[str] = []
        self.refusal: str | None = None
        self.delay = 0.0
        self._arrived = threading.Condition()
        self._controller: Controller | None = None

    # aiosmtpd finds these methods by their names.
    async def handle_EHLO(  # noqa: N802
        self, _server: Any, session: Any, _envelope: Any, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        self.greetings.append(hostname)
        session.host_name = hostname
        return responses

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        await asyncio.sleep(self.delay)
        message = message_from_bytes(envelope.content, policy=policy.default)
        if self.refusal is not None:
            self.refused.append(message)
            return self.refusal
        with self._arrived:
            self.mails.append(message)
            self._arrived.notify_all()
        return "250 OK"

    def start(self) -> None:
        """Listen; after `stop` the port is the same."""
        self._controller = Controller(self, hostname="127.0.0.1", port=self.port, **self._options)
        self._controller.start()

    def stop(self) -> None:
        """Be down: connections are refused."""
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def wait_for(self, count: int, seconds: float = SECONDS) -> list[EmailMessage]:
        """Wait for `count` mails, and return all; an assertion fails if they do not come."""
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.mails) >= count, seconds)
        assert arrived, f"{len(self.mails)} mails of {count} have arrived"
        return self.mails


@contextmanager
def mail_catcher(**options: Any) -> Iterator[MailCatcher]:
    """A mail server that listens, on a free port; `options` are those of aiosmtpd's controller."""
    catcher = MailCatcher(free_port(), **options)
    catcher.start()
    try:
        yield catcher
    finally:
        catcher.stop()
