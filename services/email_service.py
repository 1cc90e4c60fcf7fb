"""Sending mail by SMTP; if no server is set, only a line in the log."""

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import Policy
from email.utils import format_datetime, make_msgid
from urllib.parse import urlsplit

import aiosmtplib

from config import mailbox, settings
from logging_config import logger

# A mail takes several SMTP commands, and each may take as long as the setting allows.
COMMANDS = 3


@dataclass(frozen=True)
class Mail:
    """A mail to one person. All attempts have the same `message_id`, so that a duplicate is recognised."""

    to: str
    subject: str
    text: str
    html: str | None = None
    message_id: str | None = None


def sender() -> tuple[str, str]:
    """The name, which may be empty, and the address of the sender of all mail."""
    return mailbox(settings.smtp_from or settings.smtp_username or "task-platform@localhost")


def sender_domain() -> str:
    """The domain of the sender, which the ids of mails end with."""
    return sender()[1].rpartition("@")[2] or "localhost"


def helo_name() -> str:
    """The name for greeting a mail server: many relays refuse a name that is not a full host name."""
    host = settings.smtp_helo_name or urlsplit(settings.public_url).hostname or "localhost"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host if host.isascii() else host.encode("idna").decode()
    return f"[IPv6:{address}]" if address.version == 6 else f"[{address}]"


class _Subject(str):
    """A subject that stands in the mail as it is.

    The library would decode encoded words in a title (`=?utf-8?q?...?=`), and write their characters as they are, even
    line breaks. Such a title could add headers, or replace the text.
    """

    __slots__ = ()
    name = "Subject"

    def fold(self, *, policy: Policy) -> str:
        """The lines of the header, as the library asks for them."""
        charset = "us-ascii" if self.isascii() and "=?" not in self else "utf-8"
        lines = Header(str(self), charset, header_name=self.name).encode(linesep=policy.linesep)
        return f"{self.name}: {lines}{policy.linesep}"


def compose(mail: Mail) -> EmailMessage:
    """The mail as it is sent. Headers are single lines of printable characters, so no title can end one."""
    message = EmailMessage()
    name, address = sender()
    message["From"] = Address(one_line(name), addr_spec=address)
    message["To"] = mail.to
    message["Subject"] = _Subject(one_line(mail.subject))
    message["Date"] = format_datetime(datetime.now(UTC))
    message["Message-ID"] = mail.message_id or make_msgid(domain=sender_domain())
    # Keeps holiday notices from answering.
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    if mail.html is not None:
        message.add_alternative(mail.html, subtype="html")
    return message


def one_line(text: str) -> str:
    """The text in one line: unprintable characters become spaces."""
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


class MailServer:
    """An open connection to the mail server."""

    def __init__(self, client: aiosmtplib.SMTP) -> None:
        self._client = client

    async def send(self, mail: Mail) -> None:
        """Send a mail; raises aiosmtplib.SMTPException or OSError (TimeoutError) if that fails."""
        try:
            async with asyncio.timeout(COMMANDS * settings.smtp_timeout_seconds):
                await self._client.send_message(compose(mail), recipients=[mail.to])
        except TimeoutError:
            # The server's next answer could be about this mail, so the connection is of no more use.
            self._client.close()
            raise

    @property
    def is_open(self) -> bool:
        return self._client.is_connected


@asynccontextmanager
async def mail_server() -> AsyncIterator[MailServer]:
    """Connect to the mail server of the settings; raises aiosmtplib.SMTPException or OSError."""
    assert settings.smtp_server is not None
    client = aiosmtplib.SMTP(
        hostname=settings.smtp_server,
        port=settings.smtp_port,
        username=settings.smtp_username,
        local_hostname=helo_name(),
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        timeout=settings.smtp_timeout_seconds,
    )
    try:
        async with asyncio.timeout(COMMANDS * settings.smtp_timeout_seconds):
            await client.connect()
        yield MailServer(client)
        # The mails are taken already, so a failing goodbye does not matter.
        if client.is_connected:
            try:
                await client.quit(timeout=1)
            except (aiosmtplib.SMTPException, OSError):
                client.close()
    finally:
        client.close()


def log_unsent(to_email: str, subject: str) -> None:
    """Log a mail that would have been sent if a server were set."""
    logger.info("Email to %s not sent, because no SMTP server is set: %s", to_email, subject)


async def send_email_async(to_email: str, subject: str, body: str) -> None:
    """Send a mail; without `SMTP_SERVER` log its subject and recipient instead.

    Raises aiosmtplib.SMTPException or OSError if the server does not take it.
    """
    if not settings.smtp_server:
        log_unsent(to_email, subject)
        return
    async with mail_server() as server:
        await server.send(Mail(to_email, subject, body))
