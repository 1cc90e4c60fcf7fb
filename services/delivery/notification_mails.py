"""The subject and text of the mails about tasks."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from logging_config import logger
from services.email_service import Mail, send_email_async, sender_domain
from storage.column_types import microseconds
from tables.notification_kinds import KINDS, completion

MOST_IN_DIGEST = 200
FOOTER = "You choose which mails you get at /notifications/preferences."


async def send_task_completion_email(user_email: str, task_title: str) -> None:
    """Tell an owner by mail that a task was completed; a failure is logged."""
    subject, body = completion(task_title)
    try:
        await send_email_async(user_email, subject, body)
    except Exception as error:  # noqa: BLE001  # one that fails must not stop the next
        logger.warning("Mail to %s was not sent: %s", user_email, error)


def _subject_and_text(row: Any, people: Mapping[int, Any]) -> tuple[str, str]:
    actor = people[row.actor_id].username if row.actor_id in people else "somebody"
    return KINDS[row.kind].mail(row, actor)


def mail_of(row: Any, people: Mapping[int, Any]) -> Mail:
    """The mail of one notification; `people` has its recipient and, if it still exists, its cause."""
    subject, text = _subject_and_text(row, people)
    return Mail(
        people[row.user_id].email,
        subject,
        text,
        _page(f"<p>{escape(text)}</p>"),
        _message_id("notification", row),
    )


def digest_of(rows: Sequence[Any], people: Mapping[int, Any]) -> Mail:
    """One mail about several notifications of one person, oldest first."""
    # A title of several lines would look like several notifications.
    lines = [" ".join(_subject_and_text(row, people)[1].splitlines()) for row in rows[:MOST_IN_DIGEST]]
    if len(rows) > MOST_IN_DIGEST:
        lines.append(f"... and {len(rows) - MOST_IN_DIGEST} more: see /notifications")
    many = "1 notification" if len(rows) == 1 else f"{len(rows)} notifications"
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return Mail(
        people[rows[0].user_id].email,
        f"Your tasks: {many}",
        "".join(f"- {line}\n" for line in lines),
        _page(f"<ul>{items}</ul>"),
        _message_id("digest", rows[0]),
    )


def _page(content: str) -> str:
    return f'<!DOCTYPE html><html><body>{content}<p style="color:#666">{escape(FOOTER)}</p></body></html>\n'


def _message_id(kind: str, row: Any) -> str:
    """The Message-ID of a mail: the same at every attempt, and unique even if the database is made again."""
    return f"<{kind}.{row.id}.{microseconds(row.created_at)}@{sender_domain()}>"
