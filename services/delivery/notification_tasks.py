"""Delivery of notifications, which were written by the transactions that changed tasks.

Each notification becomes a line in the log. Notifications that are mailed are then left to `mail_tasks`.
"""

from collections import defaultdict, namedtuple
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import bindparam, literal_column, null, or_, select, update
from sqlalchemy.orm import Session

from config import settings
from database import AnyRow, database
from logging_config import in_one_write, info_each, logger
from models import tasks, users
from services import notification_service, rights
from services.accounts import attempt as attempt_service
from services.bulk_numbers import in_bulk, read_numbers
from services.delivery import notification_mails
from services.delivery.outbox import due_rows
from services.delivery.reminder_tasks import IS_OVERTAKEN
from services.delivery.reminder_tasks import KINDS as REMINDERS
from services.email_service import log_unsent, send_email_async
from storage.column_types import is_among
from storage.prepared import prepared
from tables.notification_kinds import KINDS, assignment
from tables.notifications import notifications

BATCH = 1000
LEASE = timedelta(minutes=1)
# The limit of mails to one recipient. Further mails in the same hour are joined into one digest.
MOST_MAILS_AN_HOUR = 20
# The columns that a line in the log and a mail need.
MAILED = (
    *("id", "user_id", "kind", "task_id", "task_title", "actor_id", "created_at", "due_at"),
    *("project_id", "project_name", "comment_id"),
)


# A claimed row. Its fields are read many times, and a field of SQLAlchemy's row takes ten times as long.
_Claimed: Any = namedtuple("_Claimed", MAILED)  # type: ignore[misc]  # noqa: PYI024  # its fields come from a table

_DUE = prepared(in_bulk(due_rows(notifications, notifications.c.state == "waiting", batch=BATCH)))
_CLAIM = prepared(
    update(notifications)
    .where(is_among(notifications.c.id, "ids"))
    .values(next_attempt_at=bindparam("until"))
)
_CLAIMED = prepared(
    select(*(notifications.c[name] for name in MAILED))
    .where(is_among(notifications.c.id, "ids"))
    .order_by(notifications.c.id)
)
_SETTLE = update(notifications).where(
    is_among(notifications.c.id, "ids"),
    notifications.c.state == "waiting",
)
_DELIVERED = prepared(
    _SETTLE.values(state=literal_column("'delivered'"), delivered_at=bindparam("now"), next_attempt_at=null())
)
_MAIL = _SETTLE.values(state="mail", next_attempt_at=bindparam("now"))
_DIGEST = _SETTLE.values(state="digest", next_attempt_at=bindparam("due"))
_PEOPLE = prepared(
    select(*(users.c[name] for name in ("id", "username", "email", "is_active", "email_verified_at"))).where(
        is_among(users.c.id, "ids")
    )
)
_UNWANTED = prepared(
    select(notifications.c.id).where(
        is_among(notifications.c.id, "ids"), or_(rights.is_hidden(notifications), IS_OVERTAKEN)
    )
)
_TITLE = select(tasks.c.title).where(tasks.c.id == bindparam("task_id"))


def send_task_notification(user_id: int, task_title: str, action: str) -> None:
    """Tell an account, in the log, what happened to one of its tasks."""
    logger.info("Notification sent to user %s: Task '%s' was %s", user_id, task_title, action)


async def process_task_assignment(task_id: int, assigned_user_id: int, assigner_user_id: int) -> None:
    """Tell an account, in the log and by mail, that a task was given to it; a failure is logged."""
    try:
        title = database.read(lambda db: db.execute(_TITLE, {"task_id": task_id}).scalar())
        people = database.read(lambda db: people_of(db, {assigned_user_id, assigner_user_id}))
        if title is None or assigned_user_id not in people:
            return
        send_task_notification(assigned_user_id, title, "assigned")
        assigner = people[assigner_user_id].username if assigner_user_id in people else "somebody"
        subject, body = assignment(title, assigner)
        if may_be_mailed(people[assigned_user_id]):
            await send_email_async(people[assigned_user_id].email, subject, body)
    except Exception as error:  # noqa: BLE001  # one that fails must not stop the next
        logger.warning(
            "The notification about task %s was not sent to user %s: %s", task_id, assigned_user_id, error
        )


def unwanted_among(db: Session, ids: Iterable[int]) -> set[int]:
    """The notifications whose task their reader can no longer see, and the reminders that are no longer true."""
    return set(db.execute(_UNWANTED, {"ids": sorted(ids)}).scalars())


def people_of(db: Session, ids: Iterable[int]) -> dict[int, AnyRow]:
    """The name, email, confirmation and activity of each of these accounts that still exists."""
    return {row.id: row for row in db.execute(_PEOPLE, {"ids": sorted(ids)})}


def may_be_mailed(person: Any) -> bool:
    """Whether a person gets mails about tasks. Unconfirmed addresses may belong to strangers."""
    return bool(person.is_active and (settings.mail_unverified or person.email_verified_at is not None))


def next_digest(now: datetime) -> datetime:
    """The time of the next daily digest."""
    today = now.replace(hour=settings.digest_hour, minute=0, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


class _Outcome:
    """The result of a batch, which is written together with the next claim."""

    def __init__(self) -> None:
        self.delivered: list[int] = []
        # By the key under which a recipient's mails are counted: mails, each about one row or several.
        self.mails: dict[str, list[list[int]]] = defaultdict(list)
        self.digest: list[int] = []

    def write(self, db: Session, now: datetime) -> None:
        if self.delivered:
            db.execute(_DELIVERED, {"ids": self.delivered, "now": now})
        for recipient, mails in sorted(self.mails.items()):
            self._write_mails(db, recipient, mails, now)
        if self.digest:
            db.execute(_DIGEST, {"ids": self.digest, "due": next_digest(now)})

    @staticmethod
    def _write_mails(db: Session, recipient: str, mails: list[list[int]], now: datetime) -> None:
        """Send a recipient's mails now, up to the hourly limit in production; the rest as a digest."""
        had, until = len(mails), now
        if settings.is_production or not settings.mail_unverified:
            had, until = attempt_service.take(db, recipient, limit=MOST_MAILS_AN_HOUR, wanted=len(mails))
        single = [ids[0] for ids in mails[:had] if len(ids) == 1]
        bundled = [each for ids in mails[:had] if len(ids) > 1 for each in ids]
        rest = [each for ids in mails[had:] for each in ids]
        if single:
            db.execute(_MAIL, {"ids": single, "now": now})
        for ids, due in ((bundled, now), (rest, until)):
            if ids:
                db.execute(_DIGEST, {"ids": ids, "due": due})


def deliver_notifications() -> tuple[set[int], bool]:
    """Deliver due notifications; returns their recipients, and whether there is mail to send now."""
    recipients: set[int] = set()
    outcome, has_mail = _Outcome(), False
    while True:
        ids = database.write(_settle_and_claim(outcome))
        has_mail = has_mail or bool(outcome.mails)
        if not ids:
            return recipients, has_mail
        claimed = database.read(partial(_claimed, ids=ids))
        recipients.update(row.user_id for row in claimed)
        outcome = _deliver(claimed)


def _settle_and_claim(outcome: _Outcome) -> Callable[[Session], list[int]]:
    def work(db: Session) -> list[int]:
        now = datetime.now(UTC)
        outcome.write(db, now)
        ids: list[int] = read_numbers(db, _DUE, {"now": now})[0].tolist()
        if ids:
            db.execute(_CLAIM, {"ids": ids, "until": now + LEASE})
        return ids

    return work


def _claimed(db: Session, ids: list[int]) -> list[Any]:
    return [_Claimed._make(row) for row in db.execute(_CLAIMED, {"ids": ids})]


def _deliver(claimed: list[Any]) -> _Outcome:
    """Write the lines of a batch into the log, and decide which rows become mails."""
    outcome = _Outcome()
    wanted: dict[tuple[int, str], str] = database.read(
        lambda db: notification_service.deliveries(db, {row.user_id for row in claimed})
    )
    # A notification about the recipient's own action is never hidden. Most are of this kind, so they need no
    # query.
    if by_others := [row.id for row in claimed if row.actor_id != row.user_id]:
        hidden = database.read(lambda db: unwanted_among(db, by_others))
        outcome.delivered += sorted(hidden)
        claimed = [row for row in claimed if row.id not in hidden]
    info_each(
        "Notification sent to user %s: %s", *((row.user_id, KINDS[row.kind].line(row)) for row in claimed)
    )
    ids = {row.user_id for row in claimed} | {row.actor_id for row in claimed}
    people: dict[int, Any] = database.read(lambda db: people_of(db, ids))
    mailed = []
    for row in claimed:
        delivery = wanted.get((row.user_id, row.kind), KINDS[row.kind].default_delivery)
        person = people.get(row.user_id)
        if delivery == "never" or person is None or not may_be_mailed(person):
            outcome.delivered.append(row.id)
        elif delivery == "daily":
            outcome.digest.append(row.id)
        else:
            mailed.append(row)
    if settings.smtp_server:
        _put_into_mails(outcome, mailed, people)
    else:
        outcome.delivered += [row.id for row in mailed]
        _log_mails(mailed, people)
    return outcome


def _put_into_mails(outcome: _Outcome, rows: list[Any], people: Mapping[int, Any]) -> None:
    """Make a mail for each row, but only one mail for all reminders of a recipient."""
    reminders: dict[str, list[int]] = defaultdict(list)
    for row in rows:
        recipient = attempt_service.recipient_key(people[row.user_id].email)
        if row.kind in REMINDERS:
            reminders[recipient].append(row.id)
        else:
            outcome.mails[recipient].append([row.id])
    for recipient, ids in reminders.items():
        outcome.mails[recipient].append(ids)


def _log_mails(rows: list[Any], people: Mapping[int, Any]) -> None:
    """Write subject and recipient of each mail into the log, because no mail server is set."""
    with in_one_write():
        for row in rows:
            mail = notification_mails.mail_of(row, people)
            log_unsent(mail.to, mail.subject)
