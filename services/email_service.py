"""Sending mail, by SMTP where a server is set, and saying so in the log where none is."""

from email.message import EmailMessage

import aiosmtplib

from config import settings
from logging_config import logger


async def send_email_async(to_email: str, subject: str, body: str) -> None:
    """Send a mail; without `SMTP_SERVER` log its subject and recipient instead.

    Raises aiosmtplib.SMTPException or OSError where the server does not take it.
    """
    if not settings.smtp_server:
        logger.info("Email to %s not sent, for no SMTP server is set: %s", to_email, subject)
        return
    message = EmailMessage()
    message["From"] = settings.smtp_from or settings.smtp_username or "task-platform@localhost"
    message["To"] = to_email
    # A header is one line: what is left of a title's line ends is a space.
    message["Subject"] = " ".join(subject.split())
    message.set_content(body)
    await aiosmtplib.send(
        message,
        hostname=settings.smtp_server,
        port=settings.smtp_port,
        username=settings.smtp_username,
        password=settings.smtp_password.get_secret_value() if settings.smtp_password else None,
        use_tls=settings.smtp_security == "tls",
        start_tls=settings.smtp_security == "starttls",
        timeout=settings.smtp_timeout_seconds,
    )
