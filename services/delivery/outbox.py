"""Outboxes: tables whose rows are mails to send.

The life of a row:

1. A service writes the row in the transaction that causes the mail. The row is due at `next_attempt_at`.
2. A process claims the row: it moves `next_attempt_at` to the end of the claim, so that no other process takes it.
3. The process composes and sends the mail.
4. The process writes the result, if its claim still holds: sent, to be tried later, or failed.
5. If the process dies in between, the row is due again when the claim ends.
"""

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, Update, bindparam, select, update
from sqlalchemy.orm import Session

from config import settings
from database import AnyRow, database
from services.email_service import COMMANDS, Mail
from storage.column_types import UtcDateTime

LONGEST_DELAY_SECONDS = 3600.0
# A claim holds for this long beyond the time that two mails may take.
MARGIN = timedelta(seconds=10)
# A delay is multiplied by up to this, by chance.
MOST_SPREAD = 1.5


def due_rows(table: Table, *conditions: ColumnElement[bool], batch: int) -> Select[Any]:
    """The ids of the oldest due rows, locked; on Postgres without those that another process is claiming."""
    return (
        select(table.c.id)
        .where(*conditions, table.c.next_attempt_at <= bindparam("now"))
        .order_by(table.c.next_attempt_at, table.c.id)
        .limit(batch)
        .with_for_update(skip_locked=True)
    )


def claim_statement(table: Table, *conditions: ColumnElement[bool], batch: int) -> Update:
    """Claim the oldest due rows."""
    # A CTE, because Postgres may run a subquery more than once, and then takes more rows.
    due = due_rows(table, *conditions, batch=batch).cte("due")
    return update(table).where(table.c.id.in_(select(due.c.id))).values(next_attempt_at=bindparam("until"))


@dataclass(frozen=True)
class Letter:
    """Rows that go out as one mail. `compose` makes the mail, or None if the recipient gets none."""

    rows: Sequence[AnyRow]
    compose: Callable[[], Awaitable[Mail | None]]


@dataclass(frozen=True)
class Outbox:
    """A table of mails, with the statements that claim its rows and write their results.

    The claims are tried one after the other, with `now` and `until`. The other statements change rows, given
    by `row_id`, that are still claimed until `claimed_until`. `later` writes the number of attempts
    (`tried`), the time of the next attempt (`due_next`, None for never) and the `error`. `sent` writes that
    the rows were sent at `sent_at`.
    """

    name: str
    claims: tuple[Any, ...]
    letters: Callable[[Sequence[AnyRow]], Awaitable[list[Letter]]]
    later: Any
    sent: Any

    def claim(self, db: Session) -> list[AnyRow]:
        """Claim due rows, oldest first, for longer than any mail can take."""
        now = datetime.now(UTC)
        lease = timedelta(seconds=2 * COMMANDS * settings.smtp_timeout_seconds) + MARGIN
        for statement in self.claims:
            if rows := list(db.execute(statement, {"now": now, "until": now + lease})):
                return sorted(rows, key=lambda row: row.id)
        return []

    async def delivered(self, rows: Sequence[AnyRow]) -> None:
        """Write that the rows were sent."""
        now = datetime.now(UTC)
        await self._write(self.sent, [{**_claim_of(row), "sent_at": now} for row in rows])

    async def released(self, rows: Sequence[AnyRow]) -> None:
        """Give the rows back untried, for any process."""
        now = datetime.now(UTC)
        await self._write(
            self.later,
            [_result(row, row.attempts - 1, now, None) for row in rows],
        )

    async def failed(self, rows: Sequence[AnyRow], error: Exception) -> None:
        """Write that sending failed: the rows are due later, or after too many attempts never."""
        # At the same time, because the rows of a digest would become several mails otherwise.
        later = _next(max(row.attempts for row in rows))
        await self._write(
            self.later,
            [
                _result(
                    row,
                    row.attempts,
                    later if row.attempts < settings.mail_attempts else None,
                    message_of(error),
                )
                for row in rows
            ],
        )

    async def _write(self, statement: Any, values: list[dict[str, Any]]) -> None:
        if values:
            await database.write_async(lambda db: db.execute(statement, values))


DUE_NEXT: Any = bindparam("due_next", type_=UtcDateTime())


def is_claimed(table: Table) -> ColumnElement[bool]:
    """The condition that a claim, known by its end, still holds."""
    return (table.c.id == bindparam("row_id")) & (table.c.next_attempt_at == bindparam("claimed_until"))


def later_statement(table: Table) -> Update:
    """The statement `Outbox.later` for a table with the usual columns."""
    return (
        update(table)
        .where(is_claimed(table))
        .values(attempts=bindparam("tried"), next_attempt_at=DUE_NEXT, last_error=bindparam("error"))
    )


def _claim_of(row: AnyRow) -> dict[str, Any]:
    return {"row_id": row.id, "claimed_until": row.next_attempt_at}


def _result(row: AnyRow, attempts: int, due_next: datetime | None, error: str | None) -> dict[str, Any]:
    return {**_claim_of(row), "tried": attempts, "due_next": due_next, "error": error}


def _next(attempts: int) -> datetime:
    """The time of the next attempt after this number of failed attempts."""
    delay = min(LONGEST_DELAY_SECONDS, settings.mail_retry_seconds * 2 ** min(attempts - 1, 20))
    return datetime.now(UTC) + timedelta(seconds=delay * random.uniform(0.5, MOST_SPREAD))  # noqa: S311  # spreads a crowd


def ends_soon(row: AnyRow) -> bool:
    """Whether the claim could end while the mail is being sent, so that another process would send it too."""
    longest = timedelta(seconds=COMMANDS * settings.smtp_timeout_seconds)
    ends: datetime = row.next_attempt_at
    return ends - datetime.now(UTC) < longest


def message_of(error: Exception) -> str:
    """The error in one line of limited length."""
    return (str(error) or type(error).__name__)[:1000]
