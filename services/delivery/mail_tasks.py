"""Sending mails: in batches over a few connections, in a thread of their own.

Nothing else waits for the mail server. A row is sent by the process that holds the claim on it and has enough
time left. A mail that fails is tried again, later each time, and in the end kept as failed with the server's
answer.
"""

import asyncio
import random
import threading
import time
from collections.abc import Sequence
from functools import partial
from itertools import groupby
from typing import Any

import aiosmtplib
from sqlalchemy import bindparam, case, delete, select, update

from account_models import account_mails
from config import settings
from database import AnyRow, database
from errors import fault_of
from logging_config import logger
from services import email_service
from services.accounts import account_mail
from services.delivery import notification_mails
from services.delivery.notification_tasks import MAILED, may_be_mailed, people_of, unwanted_among
from services.delivery.outbox import (
    DUE_NEXT,
    Letter,
    Outbox,
    claim_statement,
    ends_soon,
    is_claimed,
    later_statement,
    message_of,
)
from services.email_service import Mail, MailServer
from tables.notifications import notifications

BATCH = 20
# The longest pause after the mail server could not be reached.
LONGEST_PAUSE_SECONDS = 60.0

# -- mails about accounts ------------------------------------------------------------------------------

_CLAIM_ABOUT_ACCOUNTS = (
    claim_statement(account_mails, batch=BATCH)
    .values(attempts=account_mails.c.attempts + 1)
    .returning(*(account_mails.c[name] for name in ("id", "attempts", "next_attempt_at")))
)


async def _letters_about_accounts(rows: Sequence[AnyRow]) -> list[Letter]:
    def compose(row: AnyRow) -> Any:
        return database.write_async(lambda db: account_mail.compose(db, row))

    return [Letter([row], partial(compose, row)) for row in rows]


_ABOUT_ACCOUNTS = Outbox(
    "Account mail",
    (_CLAIM_ABOUT_ACCOUNTS,),
    _letters_about_accounts,
    later_statement(account_mails),
    delete(account_mails).where(is_claimed(account_mails)),
)

# -- mails of notifications ----------------------------------------------------------------------------

_COLUMNS = tuple(notifications.c[name] for name in (*MAILED, "state", "attempts", "next_attempt_at"))
_CLAIM = (
    claim_statement(notifications, notifications.c.state == "mail", batch=BATCH)
    .values(attempts=notifications.c.attempts + 1)
    .returning(*_COLUMNS)
)
_DIGEST_DUE = (notifications.c.state == "digest", notifications.c.next_attempt_at <= bindparam("now"))
# All rows of one person's digest at once: on Postgres a second process waits here and then finds none due.
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


async def _letters_of_notifications(rows: Sequence[AnyRow]) -> list[Letter]:
    """One mail for each row, or one for a whole digest; none for an account that is gone or disabled."""
    ids = {row.user_id for row in rows} | {row.actor_id for row in rows}
    people: dict[int, Any] = await database.read_async(lambda db: people_of(db, ids))

    async def compose(about: Sequence[AnyRow]) -> Mail | None:
        person = people.get(about[0].user_id)
        if person is None or not may_be_mailed(person):
            return None
        # Checked last, because meanwhile the reader may have left the project, or have completed the task.
        unwanted = await database.read_async(lambda db: unwanted_among(db, [row.id for row in about]))
        about = [row for row in about if row.id not in unwanted]
        if not about:
            return None
        is_digest = about[0].state == "digest"
        return (
            notification_mails.digest_of(about, people)
            if is_digest
            else notification_mails.mail_of(about[0], people)
        )

    grouped = groupby(rows, key=lambda row: (row.user_id, row.state) if row.state == "digest" else row.id)
    return [Letter(about, partial(compose, about)) for about in (list(group) for _, group in grouped)]


_OF_NOTIFICATIONS = Outbox(
    "Mail for notification",
    (_CLAIM, _CLAIM_DIGEST),
    _letters_of_notifications,
    later_statement(notifications).values(
        state=case((DUE_NEXT.is_(None), "failed"), else_=notifications.c.state)
    ),
    update(notifications)
    .where(is_claimed(notifications))
    .values(state="delivered", next_attempt_at=None, delivered_at=bindparam("sent_at"), last_error=None),
)

# Mails about accounts go first, because a person waits for the link.
OUTBOXES = (_ABOUT_ACCOUNTS, _OF_NOTIFICATIONS)


async def claim_mails() -> tuple[Outbox, list[AnyRow]] | None:
    """Claim due rows of one outbox for a while; None if there are none."""
    return await database.write_async(_claim)


def _claim(db: Any) -> tuple[Outbox, list[AnyRow]] | None:
    return next(((outbox, rows) for outbox in OUTBOXES if (rows := outbox.claim(db))), None)


# -- sending -------------------------------------------------------------------------------------------


class _Pause:
    """The pause after the mail server could not be reached, which grows each time."""

    def __init__(self) -> None:
        self.failures = 0
        self._until = 0.0

    def begin(self) -> None:
        self.failures += 1
        longest = min(LONGEST_PAUSE_SECONDS, settings.mail_retry_seconds * 2 ** min(self.failures - 1, 10))
        self._until = time.monotonic() + longest * random.uniform(0.5, 1)  # noqa: S311  # spreads processes

    def end(self) -> None:
        self.failures, self._until = 0, 0.0

    def is_over(self) -> bool:
        return time.monotonic() >= self._until


mail_pause = _Pause()


def deliver_mails(ending: threading.Event) -> None:
    """Send due mails until there are no more or the program ends."""
    if not settings.smtp_server:
        asyncio.run(_go_without_server())
    elif mail_pause.is_over():
        asyncio.run(_deliver(ending))


async def _go_without_server() -> None:
    """Log the subjects of waiting mails, because a mail server is no longer set."""
    while claimed := await claim_mails():
        outbox, rows = claimed
        for letter in await outbox.letters(rows):
            if (mail := await letter.compose()) is not None:
                email_service.log_unsent(mail.to, mail.subject)
        await outbox.delivered(rows)


async def _deliver(ending: threading.Event) -> None:
    # One connection goes ahead, so that an unreachable server is not asked several times at once.
    goes_on = await _serve(ending, rounds=1)
    # A server may close a connection after a number of mails: the rest go out over new connections.
    while goes_on and not ending.is_set():
        goes_on = any(await asyncio.gather(*(_serve(ending) for _ in range(settings.smtp_connections))))


async def _serve(ending: threading.Event, rounds: int | None = None) -> bool:
    """Send one batch after another over one connection; returns whether any mail was sent."""
    sent = 0
    claimed = await claim_mails()
    if claimed is None:
        return False
    try:
        async with email_service.mail_server() as server:
            while claimed:
                sent += await _send(server, *claimed, ending)
                if sent or server.is_open:
                    if mail_pause.failures:
                        logger.info("The mail server can be reached again")
                    mail_pause.end()
                else:
                    # A server that greets and then hangs is down too.
                    mail_pause.begin()
                rounds = None if rounds is None else rounds - 1
                if ending.is_set() or not server.is_open or rounds == 0:
                    break
                claimed = await claim_mails()
    except (aiosmtplib.SMTPException, OSError) as error:
        mail_pause.begin()
        logger.warning("The mail server can't be reached; mails are sent later: %s", message_of(error))
        if claimed is not None:
            outbox, rows = claimed
            await outbox.failed(rows, error)
        return False
    return sent > 0


async def _send(server: MailServer, outbox: Outbox, rows: Sequence[AnyRow], ending: threading.Event) -> int:
    """Send the mails of the claimed rows and write the result of each; returns how many were sent."""
    sent = 0
    for letter in await outbox.letters(rows):
        first = letter.rows[0]
        if ending.is_set() or not server.is_open or ends_soon(first):
            await outbox.released(letter.rows)
            continue
        try:
            if (mail := await letter.compose()) is not None:
                await server.send(mail)
        except Exception as error:  # noqa: BLE001  # a bad mail must not block others
            logger.warning(
                "%s %s was not sent (attempt %s): %s",
                outbox.name,
                first.id,
                first.attempts,
                message_of(error),
                exc_info=None if isinstance(error, aiosmtplib.SMTPException) else fault_of(error),
            )
            await outbox.failed(letter.rows, error)
        else:
            sent += 1
            await outbox.delivered(letter.rows)
    return sent
