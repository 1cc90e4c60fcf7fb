"""Export of all data about an account for its owner, read and written in parts to save memory."""

from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import ColumnElement, Select, Table, and_, bindparam, case, exists, or_, select
from sqlalchemy.orm import Session

from account_models import (
    account_links,
    account_mails,
    audit_events,
    idempotency_keys,
    known_addresses,
    program_tokens,
    sessions,
)
from models import Caller, tasks, users
from request_context import address_group
from services import rights
from services.json_pieces import json_pieces
from tables.history import task_history
from tables.notifications import notification_preferences, notifications
from tables.projects import project_members, projects, task_comments
from tables.views import calendars, views
from tables.webhooks import webhook_deliveries, webhooks

PART = 1000
# Lists whose rows may be long have shorter parts: a kept answer may have 60 MB, a change three long descriptions.
SHORTER_PARTS = {"tasks": 100, "task_history": 100, "idempotency_keys": 4}
# Columns that give access to the account, or are derived from other columns.
LEFT_OUT = (
    "password_hash",
    "credentials_version",
    "email_folded",
    "token_hash",
    "secret",
    "previous_secret",
    "title_folded",
    "description_folded",
    "key_hash",
    "request_hash",
)
# The columns of a project, or of a view in one, that its maker still gets after leaving: others have written the rest.
FACTS = ("id", "project_id", "created_by", "created_at")
_ME: Any = bindparam("user_id")


def _select(table: Table, condition: ColumnElement[bool]) -> Select[Any]:
    return select(*(column for column in table.c if column.name not in LEFT_OUT)).where(condition)


def _sees(project_id: ColumnElement[int]) -> ColumnElement[bool]:
    """The condition that the account is an admin or a member of this project."""
    is_member = exists().where(project_members.c.project_id == project_id, project_members.c.user_id == _ME)
    return or_(is_member, exists().where(users.c.id == _ME, users.c.role == "admin"))


def _select_made(table: Table, condition: ColumnElement[bool], is_seen: ColumnElement[bool]) -> Select[Any]:
    """Select the rows that the account made; those of projects that it sees no more have only the `FACTS`."""
    return select(
        *(
            column if column.name in FACTS else case((is_seen, column)).label(column.name)
            for column in table.c
        )
    ).where(condition)


def _in_parts(table: Table, condition: ColumnElement[bool]) -> Select[Any]:
    following = _select(table, condition).where(table.c.id > bindparam("after_id"))
    return following.order_by(table.c.id).limit(bindparam("limit"))


ACCOUNT = _select(users, users.c.id == _ME)
SHORT = {
    "sessions": _select(sessions, sessions.c.user_id == _ME).order_by(sessions.c.id),
    "program_tokens": _select(program_tokens, program_tokens.c.user_id == _ME).order_by(program_tokens.c.id),
    "account_links": _select(account_links, account_links.c.user_id == _ME).order_by(
        account_links.c.created_at
    ),
    "account_mails": _select(account_mails, account_mails.c.user_id == _ME).order_by(account_mails.c.id),
    "known_addresses": _select(known_addresses, known_addresses.c.user_id == _ME).order_by(
        known_addresses.c.address
    ),
    "projects": _select_made(projects, projects.c.created_by == _ME, _sees(projects.c.id)).order_by(
        projects.c.id
    ),
    "project_members": _select(project_members, project_members.c.user_id == _ME).order_by(
        project_members.c.project_id
    ),
    "webhooks": _select(webhooks, webhooks.c.user_id == _ME).order_by(webhooks.c.id),
    "views": _select_made(
        views,
        or_(views.c.user_id == _ME, views.c.created_by == _ME),
        or_(views.c.user_id == _ME, _sees(views.c.project_id)),
    ).order_by(views.c.id),
    "calendars": _select(calendars, calendars.c.user_id == _ME).order_by(calendars.c.id),
    "notification_preferences": _select(
        notification_preferences, notification_preferences.c.user_id == _ME
    ).order_by(notification_preferences.c.kind),
}
LONG = {
    "tasks": _in_parts(tasks, tasks.c.user_id == _ME),
    "task_history": _in_parts(
        task_history,
        or_(
            task_history.c.actor_id == _ME,
            task_history.c.owner_id == _ME,
            task_history.c.previous_owner_id == _ME,
        ),
    ),
    "task_comments": _in_parts(task_comments, task_comments.c.author_id == _ME),
    "notifications": _in_parts(
        notifications, and_(notifications.c.user_id == _ME, ~rights.is_hidden(notifications))
    ),
    "audit_events": _in_parts(
        audit_events, or_(audit_events.c.actor_id == _ME, audit_events.c.user_id == _ME)
    ),
    "webhook_deliveries": _in_parts(
        webhook_deliveries,
        webhook_deliveries.c.webhook_id.in_(select(webhooks.c.id).where(webhooks.c.user_id == _ME)),
    ),
    "idempotency_keys": _in_parts(idempotency_keys, idempotency_keys.c.user_id == _ME),
}
_NAMES = tuple(LONG)
_KNOWN_ADDRESSES = select(known_addresses.c.address).where(known_addresses.c.user_id == _ME)


class Position(NamedTuple):
    """The position to continue from: the number of the long list, and the last row that was read."""

    section: int
    after_id: int


def begin(db: Session, user: Caller) -> bytes:
    """The first part of the export: the account and the short lists."""
    account = db.execute(ACCOUNT, {"user_id": user.id}).one()
    short = {
        name: [row._asdict() for row in db.execute(statement, {"user_id": user.id})]
        for name, statement in SHORT.items()
    }
    return to_json({"account": account._asdict(), **short})[:-1]


def go_on(db: Session, user: Caller, position: Position) -> tuple[list[bytes], Position | None]:
    """The pieces of the next part of the export, and the position where the part after it begins."""
    name = _NAMES[position.section]
    limit = min(PART, SHORTER_PARTS.get(name, PART))
    asked = {"user_id": user.id, "after_id": position.after_id, "limit": limit}
    rows = db.execute(LONG[name], asked).all()
    written = [row._asdict() for row in rows]
    if name == "audit_events":
        _leave_out_addresses_of_others(db, user, written)
    content = list(json_pieces(written, to_json))
    if position.after_id < 0:
        content.insert(0, b"," + to_json(name) + b":[")
    elif rows:
        content.insert(0, b",")
    if len(rows) == limit:
        return content, Position(position.section, rows[-1].id)
    if position.section + 1 < len(_NAMES):
        return [*content, b"]"], Position(position.section + 1, -1)
    return [*content, b"]}"], None


def _leave_out_addresses_of_others(db: Session, user: Caller, events: list[dict[str, Any]]) -> None:
    """Remove the addresses of others; the address of an unknown actor stays if the owner has used it."""
    known = set(db.execute(_KNOWN_ADDRESSES, {"user_id": user.id}).scalars())
    for event in events:
        is_mine = event["actor_id"] == user.id
        if not is_mine and (event["actor_id"] is not None or address_group(event["address"]) not in known):
            event["address"] = None


BEGINNING = Position(0, -1)
