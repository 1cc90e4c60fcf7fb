"""Sending the mails of notifications: in batches over a few connections, in a thread of their own.

Nothing else waits for the mail server. A row is sent by whoever has the claim on it and has time enough left;
what fails is tried again, later each time, and in the end kept as failed with what the server said.
"""

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import aiosmtplib
from sqlalchemy import bindparam, select, update

from config import settings
from database import AnyRow, database
from logging_config import logger
from models import notifications
from services import email_service
from services.background_tasks import email_tasks
from services.background_tasks.notification_tasks import claim_statement, people_of
from services.email_service import Mail, MailServer

BATCH = 20
LONGEST_DELAY = 3600.0
# How long the mail server is left alone, at most, after it could not be reached.
LONGEST_PAUSE = 60.0

_COLUMNS = tuple(
    notifications.c[name]
    for name in (
        "id",
        "user_id",
        "kind",
        "task_id",
        "task_title",
        "actor_id",
        "created_at",
        "due_at",
        "state",
        "attempts",
        "next_attempt_at",
    )
)
_CLAIM = (
    claim_statement(notifications.c.state == "mail", batch=BATCH)
    .values(attempts=notifications.c.attempts + 1)
    .returning(*_COLUMNS)
)
_DIGEST_DUE = (notifications.c.state == "digest", notifications.c.next_attempt_at <= bindparam("now"))
# All that is in one person's digest, at once: on Postgres a second process waits here and then finds none due.
_CLAIM_DIGEST = (
    update(notifications)
    .where(
        *_DIGEST_DUE,
        notifications.c.user_id
        == select(notifications.c.user_id)
        .where(*_DIGEST_DUE)
        .order_by(notifications.c.next_attempt_at, notifications.c.id)
        .limit(1)
        .scalar_subquery(),
    )
    .values(next_attempt_at=bindparam("until"), attempts=notifications.c.attempts + 1)
    .returning(*_COLUMNS)
)
# Only by whoever still has the claim.
_RESULT = (
    update(notifications)
    .where(
        notifications.c.id == bindparam("row_id"),
        notifications.c.next_attempt_at == bindparam("claimed_until"),
    )
    .values(
        {
            name: bindparam(name)
            for name in ("state", "attempts", "next_attempt_at", "delivered_at", "last_error")
        }
    )
)


class _Pause:
    """How long the mail server is left alone after it could not be reached: longer each time."""

    def __init__(self) -> None:
        self.failures = 0
        self._until = 0.0

    def begin(self) -> None:
        self.failures += 1
        longest = min(LONGEST_PAUSE, settings.mail_retry_seconds * 2 ** min(self.failures - 1, 10))
        self._until = time.monotonic() + longest * random.uniform(0.5, 1)  # noqa: S311  # so that processes spread

    def end(self) -> None:
        self.failures, self._until = 0, 0.0

    def is_over(self) -> bool:
        return time.monotonic() >= self._until


mail_pause = _Pause()


def deliver_mails(ending: threading.Event) -> None:
    """Send what is due, until there is no more or the program ends."""
    if not settings.smtp_server:
        asyncio.run(_go_without_server())
    elif mail_pause.is_over():
        asyncio.run(_deliver(ending))


async def _go_without_server() -> None:
    """What waits for a mail server that is not set any more, and digests: into the log."""
    while rows := await claim_mails():
        for mail, _ in await _mails(rows):
            if mail is not None:
                email_service.log_unsent(mail.to, mail.subject)
        await _write([_delivered(row) for row in rows])


async def _deliver(ending: threading.Event) -> None:
    # One goes ahead: while the mail server can't be reached, it is not asked several times at once.
    goes_on = await _serve(ending, rounds=1)
    # A server may close a connection after so many mails: then they go on over new ones.
    while goes_on and not ending.is_set():
        goes_on = any(await asyncio.gather(*(_serve(ending) for _ in range(settings.smtp_connections))))


async def _serve(ending: threading.Event, rounds: int | None = None) -> bool:
    """Send one batch after another over one connection; whether any mail was sent."""
    sent = 0
    rows = await claim_mails()
    if not rows:
        return False
    try:
        async with email_service.mail_server() as server:
            mail_pause.end()
            while rows:
                sent += await _send(server, rows, ending)
                rounds = None if rounds is None else rounds - 1
                if ending.is_set() or not server.is_open or rounds == 0:
                    break
                rows = await claim_mails()
    except (aiosmtplib.SMTPException, OSError) as error:
        mail_pause.begin()
        logger.warning("The mail server can't be reached; mails are sent later: %s", _said(error))
        await _write([_retried(row, error) for row in rows])
        return False
    return sent > 0


async def _send(server: MailServer, rows: Sequence[AnyRow], ending: threading.Event) -> int:
    """Send the mails of the claimed rows, and write down what became of each; how many were sent."""
    sent = 0
    for mail, about in await _mails(rows):
        if ending.is_set() or not server.is_open or _ends_soon(about[0]):
            await _write([_released(row) for row in about])
            continue
        try:
            if mail is not None:
                await server.send(mail)
        except Exception as error:  # noqa: BLE001  # a mail that can't be sent must not keep the others from it
            logger.warning(
                "Mail for notification %s was not sent (attempt %s): %s",
                about[0].id,
                about[0].attempts,
                _said(error),
            )
            await _write([_retried(row, error) for row in about])
        else:
            sent += 1
            await _write([_delivered(row) for row in about])
    return sent


async def claim_mails() -> list[AnyRow]:
    """Rows that are due, single ones or else one person's digest, which are then ours to send for a while."""
    return await _claim(_CLAIM) or await _claim(_CLAIM_DIGEST)


async def _claim(statement: Any) -> list[AnyRow]:
    """Rows that nobody else sends before the claim ends; longer than any mail can take."""
    now = datetime.now(UTC)
    lease = timedelta(seconds=10 + 2 * email_service.COMMANDS * settings.smtp_timeout_seconds)
    rows: list[AnyRow] = await database.write_async(
        lambda db: list(db.execute(statement, {"now": now, "until": now + lease}))
    )
    return sorted(rows, key=lambda row: row.id)


def _ends_soon(row: AnyRow) -> bool:
    """Whether the claim could end while the mail is being sent, so that somebody else would send it too."""
    longest = timedelta(seconds=email_service.COMMANDS * settings.smtp_timeout_seconds)
    ends: datetime = row.next_attempt_at
    return ends - datetime.now(UTC) < longest


async def _mails(rows: Sequence[AnyRow]) -> list[tuple[Mail | None, Sequence[AnyRow]]]:
    """Each mail with the rows it is about; none for somebody who is gone or disabled."""
    ids = {row.user_id for row in rows} | {row.actor_id for row in rows}
    people: dict[int, Any] = await database.read_async(lambda db: people_of(db, ids))
    grouped = groupby(rows, key=lambda row: (row.user_id, row.state) if row.state == "digest" else row.id)
    found: list[tuple[Mail | None, Sequence[AnyRow]]] = []
    for _, group in grouped:
        about = list(group)
        person = people.get(about[0].user_id)
        if person is None or not person.is_active:
            found.append((None, about))
        elif about[0].state == "digest":
            found.append((email_tasks.digest_of(about, people), about))
        else:
            found.append((email_tasks.mail_of(about[0], people), about))
    return found


# -- what becomes of a row -----------------------------------------------------------------------------


async def _write(results: list[dict[str, Any]]) -> None:
    if results:
        await database.write_async(lambda db: db.execute(_RESULT, results))


def _result(row: AnyRow, **values: Any) -> dict[str, Any]:
    return {
        "row_id": row.id,
        "claimed_until": row.next_attempt_at,
        "attempts": row.attempts,
        "delivered_at": None,
        "last_error": None,
        **values,
    }


def _delivered(row: AnyRow) -> dict[str, Any]:
    return _result(row, state="delivered", next_attempt_at=None, delivered_at=datetime.now(UTC))


def _released(row: AnyRow) -> dict[str, Any]:
    """Not tried: somebody else's turn."""
    return _result(row, state=row.state, attempts=row.attempts - 1, next_attempt_at=datetime.now(UTC))


def _retried(row: AnyRow, error: Exception) -> dict[str, Any]:
    """Tried in vain: later again, or, after too many times, never."""
    said = _said(error)
    if row.attempts >= settings.mail_attempts:
        return _result(row, state="failed", next_attempt_at=None, last_error=said)
    delay = min(LONGEST_DELAY, settings.mail_retry_seconds * 2 ** min(row.attempts - 1, 20))
    later = datetime.now(UTC) + timedelta(seconds=delay * random.uniform(0.5, 1.5))  # noqa: S311  # spreads a crowd
    return _result(row, state=row.state, next_attempt_at=later, last_error=said)


def _said(error: Exception) -> str:
    return (str(error) or type(error).__name__)[:1000]
