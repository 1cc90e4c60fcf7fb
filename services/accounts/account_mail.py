"""The mails about accounts: their texts, and the rows that they wait in until they are sent.

A row is written in the transaction that causes the mail, so that no mail is lost. The row holds no token,
because anyone who reads the database could log in with it. The link is made when the mail is sent, and only
the hash of its token is stored.
"""

from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any, NamedTuple

from sqlalchemy import bindparam, delete, func, insert, literal, select, update
from sqlalchemy.orm import Session

from account_models import LINK_PURPOSES, account_mails
from database import AnyRow
from models import users
from services.accounts import link as link_service
from services.email_service import Mail, sender_domain
from storage.column_types import UtcDateTime, microseconds

TEXTS = {
    "reset": (
        "Reset your password",
        "somebody, probably you, asked to reset your password. This link lets you set a new one within {hours}:",
        "If it was not you, do nothing: your password stays as it is.",
    ),
    "verify": (
        "Confirm your email address",
        "this link confirms your email address within {hours}:",
        "If you have not made this account, do nothing.",
    ),
    "change": (
        "Confirm your new email address",
        "this link makes this the email address of your account within {hours}:",
        "If you have not asked for it, do nothing.",
    ),
    "password_changed": (
        "Your password was changed",
        "your password was changed. That ended sessions, tokens for programs and links to pictures and calendars,"
        " and switched your webhooks off: switch them on again at /webhooks.",
        "If it was not you, reset it, and tell your administrator.",
    ),
    "email_changed": (
        "Your email address was changed",
        "your account has another email address now.",
        "If it was not you, tell your administrator.",
    ),
    "token_created": (
        "A token for a program was made",
        "a token was made for your account, by which a program acts for you.",
        "If it was not you, reset your password: that ends the token, and every session.",
    ),
    "webhook_disabled": (
        "A webhook was switched off",
        "a webhook of yours was switched off, because its receiver answered that it is gone, or failed for five days.",
        "`GET /webhooks` shows which. Events are kept meanwhile: switch the webhook on again and replay them.",
    ),
}

_NOW: Any = bindparam("now", type_=UtcDateTime())
# Inserts nothing if there is no such account: the same statement takes the same time either way.
_PUT = insert(account_mails).from_select(
    ["user_id", "kind", "email", "created_at", "attempts", "next_attempt_at"],
    select(
        users.c.id,
        bindparam("kind", type_=account_mails.c.kind.type),
        bindparam("email", type_=account_mails.c.email.type),
        _NOW,
        literal(0),
        _NOW,
    ).where(users.c.id == bindparam("of_user")),
)
_DROP_LINKS = delete(account_mails).where(
    account_mails.c.user_id == bindparam("of_user"), account_mails.c.kind.in_(LINK_PURPOSES)
)
_CLAIMED = (
    select(
        *(account_mails.c[name] for name in ("id", "kind", "email", "created_at")),
        account_mails.c.user_id,
        users.c.username,
        users.c.is_active,
        users.c.email.label("current_email"),
        users.c.email_verified_at,
    )
    .join_from(account_mails, users, users.c.id == account_mails.c.user_id)
    .where(
        account_mails.c.id == bindparam("row_id"),
        account_mails.c.next_attempt_at == bindparam("claimed_until"),
    )
    # The lock keeps `drop_links` waiting while a link is made, so that the new link is dropped too.
    .with_for_update(of=account_mails)
)
_IS_FAILED = account_mails.c.next_attempt_at.is_(None)
_BACKLOG = select(
    func.count(account_mails.c.next_attempt_at).label("waiting"),
    func.min(account_mails.c.next_attempt_at).label("due_at"),
    func.count().label("all"),
)
_FAILED = (
    select(*(account_mails.c[name] for name in ("id", "user_id", "kind", "attempts", "last_error")))
    .where(_IS_FAILED)
    .order_by(account_mails.c.id.desc())
    .limit(bindparam("limit"))
)
_RETRY = update(account_mails).where(_IS_FAILED).values(attempts=0, next_attempt_at=_NOW)


def put(db: Session, kind: str, user_id: int | None, email: str) -> None:
    """Have a mail about this account sent to this address; without an account no mail is sent."""
    db.execute(_PUT, {"of_user": user_id, "kind": kind, "email": email, "now": datetime.now(UTC)})


def drop_links(db: Session, user_id: int) -> None:
    """Make the account's links worthless: those already mailed, and those whose mails still wait."""
    db.execute(_DROP_LINKS, {"of_user": user_id})
    link_service.drop(db, user_id)


def compose(db: Session, row: AnyRow) -> Mail | None:
    """The mail of a claimed row, with a new link if its kind has one; None if it is no longer wanted."""
    found = db.execute(_CLAIMED, {"row_id": row.id, "claimed_until": row.next_attempt_at}).first()
    if found is None or not _is_wanted(found):
        return None
    subject, says, ends = TEXTS[found.kind]
    lines, as_html = [f"Hello {found.username},"], [f"<p>Hello {escape(found.username)},</p>"]
    if found.kind in LINK_PURPOSES:
        says = says.format(hours=_hours(link_service.LIFETIMES[found.kind]))
        link = link_service.make(db, found.user_id, found.kind, found.email)
        lines += [says, link, ends]
        as_html += [f"<p>{says}</p>", f'<p><a href="{escape(link)}">{escape(link)}</a></p>', f"<p>{ends}</p>"]
    else:
        lines.append(f"{says} {ends}")
        as_html.append(f"<p>{says} {ends}</p>")
    return Mail(
        found.email,
        subject,
        "\n\n".join(lines) + "\n",
        f"<!DOCTYPE html><html><body>{''.join(as_html)}</body></html>\n",
        f"<account.{found.id}.{microseconds(found.created_at)}@{sender_domain()}>",
    )


def _is_wanted(found: AnyRow) -> bool:
    if found.kind not in LINK_PURPOSES:
        return True
    if found.kind == "verify" and found.email_verified_at is not None:
        return False
    # A link to reset or confirm is only for the address that the account has now.
    return bool(found.is_active) and (found.kind == "change" or found.email == found.current_email)


def _hours(lifetime: timedelta) -> str:
    hours = int(lifetime.total_seconds() // 3600)
    return "one hour" if hours == 1 else f"{hours} hours"


class Backlog(NamedTuple):
    """The number of waiting mails, the time when the first of them is due, and the number given up."""

    waiting: int
    due_at: datetime | None
    failed: int


def backlog(db: Session) -> Backlog:
    """Count the mails about accounts that are not sent yet, or were given up."""
    row = db.execute(_BACKLOG).one()
    return Backlog(row.waiting, row.due_at, row.all - row.waiting)


def get_failed(db: Session, *, limit: int) -> list[AnyRow]:
    """The last mails that were given up, newest first, each with its last error."""
    return list(db.execute(_FAILED, {"limit": limit}))


def retry_failed(db: Session) -> int:
    """Have the mails that were given up sent again; returns their number."""
    result: Any = db.execute(_RETRY, {"now": datetime.now(UTC)})
    return int(result.rowcount)
