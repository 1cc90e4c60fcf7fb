"""Webhooks for their owners: making, changing and reading them, and asking for deliveries."""

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, exists, func, insert, or_, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, NotFound, webhook_not_found
from models import Caller
from schemas.common import Page
from schemas.webhooks import DeliveryRead, WebhookRead
from services import preconditions, rights, used_rights
from services.accounts import session as session_service
from services.events import event_id, feed
from services.paging import PageOf, keyset_by_id
from services.webhooks import secret as secrets
from storage.column_types import UtcDateTime
from tables.projects import project_members, projects
from tables.webhooks import webhook_deliveries, webhooks

MOST_WEBHOOKS = 20
# After a rotation receivers have this long to learn the new secret.
OVERLAP = timedelta(hours=24)
PING = "webhook.ping"
READ_ONLY_FIELDS = ("id", "user_id", "project_id", "disabled_reason", "created_at", "updated_at")

_COLUMNS = (*(webhooks.c[name] for name in WebhookRead.model_fields), webhooks.c.version)
_MANAGES = exists().where(
    project_members.c.project_id == webhooks.c.project_id,
    project_members.c.user_id == bindparam("user_id"),
    project_members.c.role == "manager",
)
_ROLE = (
    select(project_members.c.role)
    .where(
        project_members.c.project_id == webhooks.c.project_id,
        project_members.c.user_id == bindparam("user_id"),
    )
    .scalar_subquery()
    .label("role")
)
# The webhooks of a deleted project stay until its last event is delivered. No one finds or counts them any more.
_IS_THERE = or_(webhooks.c.project_id.is_(None), exists().where(projects.c.id == webhooks.c.project_id))
_ONE = select(*_COLUMNS, _ROLE).where(webhooks.c.id == bindparam("webhook_id"), _IS_THERE)
_PROJECT = select(webhooks.c.project_id).where(webhooks.c.id == bindparam("webhook_id"))
_MADE = webhooks.c.user_id == bindparam("user_id")
_OWN = select(*_COLUMNS).where(or_(and_(webhooks.c.project_id.is_(None), _MADE), _MANAGES))
# An admin may manage every project, and finds here the webhooks that it made for projects of others.
_OF_ADMIN = select(*_COLUMNS).where(or_(_MADE, _MANAGES), _IS_THERE)
_COUNT = select(func.count()).where(_MADE, _IS_THERE)
_UPDATE = update(webhooks).where(webhooks.c.id == bindparam("of_webhook"))
_DELETE = delete(webhooks).where(webhooks.c.id == bindparam("of_webhook"))
_SECRET = select(webhooks.c.secret).where(webhooks.c.id == bindparam("webhook_id"))
_DELIVERY_COLUMNS = tuple(webhook_deliveries.c[name] for name in DeliveryRead.model_fields)
_DELIVERIES = select(*_DELIVERY_COLUMNS).where(webhook_deliveries.c.webhook_id == bindparam("webhook_id"))
_ADD_DELIVERY = insert(webhook_deliveries).returning(*_DELIVERY_COLUMNS)
_NOW: Any = bindparam("now", type_=UtcDateTime())
_RETRY = (
    update(webhook_deliveries)
    .where(
        webhook_deliveries.c.webhook_id == bindparam("of_webhook"),
        webhook_deliveries.c.id == bindparam("of_delivery"),
    )
    .values(state="waiting", attempts=0, next_attempt_at=_NOW)
    .returning(*_DELIVERY_COLUMNS)
)
_MAKE_DUE = update(webhooks).where(webhooks.c.id == bindparam("of_webhook")).values(due_at=_NOW)


def etag(webhook: AnyRow) -> str:
    """The entity tag of a webhook's current version."""
    return preconditions.entity_tag(webhook.id, webhook.version)


def create(
    db: Session, user: Caller, values: Mapping[str, Any], begins_after: int | None = None
) -> dict[str, Any]:
    """Make a webhook, whose secret is never shown again; raises Conflict, NotFound, Forbidden, NotAuthenticated.

    It gets the events behind number `begins_after`: see `beginning`. None stands for the newest event.
    """
    if (project_id := values["project_id"]) is not None:
        used_rights.note(db, "project", project_id, "manage")
        # The lock keeps the caller a manager until the commit.
        rights.require_role("manage", rights.lock_project(db, user, project_id).role, user)
    # Without the lock two requests at once could both take the last free place.
    session_service.hold(db, user)
    if db.execute(_COUNT, {"user_id": user.id}).scalar_one() >= MOST_WEBHOOKS:
        raise Conflict(
            f"An account can have {MOST_WEBHOOKS} webhooks: delete one first", code="too_many_webhooks"
        )
    secret, now = secrets.make(), datetime.now(UTC)
    row = db.execute(
        insert(webhooks).returning(*_COLUMNS),
        {
            **values,
            "user_id": user.id,
            "secret": secrets.encrypt(secret),
            "version": 1,
            "created_at": now,
            "updated_at": now,
            "starts_after": event_id.newest_row(db) if begins_after is None else begins_after,
            "failures": 0,
            "is_slow": False,
        },
    ).one()
    return {**row._asdict(), "secret": secret}


def list_webhooks(db: Session, user: Caller, page: Page) -> PageOf[AnyRow]:
    """A page of the caller's webhooks, newest first."""
    statement = _OF_ADMIN if user.is_admin else _OWN
    return keyset_by_id(db, statement, webhooks.c.id, page, {"user_id": user.id})


def get(db: Session, user: Caller, webhook_id: int, *, locked: bool = False) -> AnyRow:
    """A webhook that the caller may manage: an own webhook, or one of a project that the caller manages.

    Raises NotFound, and Forbidden for a member who is no manager.
    """
    statement = _ONE
    if locked:
        statement = _ONE.with_for_update(of=webhooks)
        project_id = db.execute(_PROJECT, {"webhook_id": webhook_id}).scalar()
        if project_id is not None:
            # The lock keeps the project there, and the caller in its role, until the commit.
            with contextlib.suppress(NotFound):
                rights.lock_project(db, user, project_id, "webhook")
    row = db.execute(statement, {"webhook_id": webhook_id, "user_id": user.id}).first()
    if row is None or not (row.user_id == user.id if row.project_id is None else rights.sees(user, row.role)):
        raise webhook_not_found()
    if row.project_id is not None:
        used_rights.note(db, "webhook", row.project_id, "manage")
        rights.require_role("manage", row.role, user)
    return row


def change(
    db: Session,
    user: Caller,
    webhook_id: int,
    values: Mapping[str, Any],
    if_match: str | None,
    begins_after: int | None = None,
) -> AnyRow:
    """Change the given fields of a webhook.

    Raises NotFound, PreconditionFailed, Conflict, InvalidInput, NotAuthenticated.

    None clears `description` and leaves the other fields unchanged. Switching a webhook on removes the reason
    why it was off. It then gets the events behind number `begins_after`, as a new webhook does.
    """
    before = get(db, user, webhook_id, locked=True)
    preconditions.require(if_match, etag(before))
    preconditions.require_unchanged(before._asdict(), values, READ_ONLY_FIELDS)
    differing = {name: value for name, value in values.items() if value != getattr(before, name)}
    changes = {name: value for name, value in differing.items() if value is not None or name == "description"}
    if not changes:
        return before
    now = datetime.now(UTC)
    if "url" in changes or changes.get("enabled"):
        # Earlier results say nothing about a receiver at a new URL, or after the webhook was off.
        changes |= {"failing_since": None, "failures": 0, "is_slow": False}
    if changes.get("enabled"):
        # A new password switches webhooks off, but not one that is switched on at the same moment.
        session_service.hold(db, user)
        # Events from the time while the webhook was off are left for a replay.
        starts_after = event_id.newest_row(db) if begins_after is None else begins_after
        changes |= {"disabled_reason": None, "due_at": now, "starts_after": starts_after}
    changes |= {"version": before.version + 1, "updated_at": now}
    return db.execute(_UPDATE.values(changes).returning(*_COLUMNS), {"of_webhook": before.id}).one()


def remove(db: Session, user: Caller, webhook_id: int, if_match: str | None) -> None:
    """Delete a webhook and its waiting deliveries; raises NotFound, PreconditionFailed."""
    webhook = get(db, user, webhook_id, locked=True)
    preconditions.require(if_match, etag(webhook))
    db.execute(_DELETE, {"of_webhook": webhook.id})


def rotate(db: Session, user: Caller, webhook_id: int) -> dict[str, Any]:
    """Give a webhook a new secret; for a day the old secret signs too. Raises NotFound."""
    webhook = get(db, user, webhook_id, locked=True)
    secret, now = secrets.make(), datetime.now(UTC)
    changes = {
        "secret": secrets.encrypt(secret),
        "previous_secret": db.execute(_SECRET, {"webhook_id": webhook.id}).scalar_one(),
        "previous_secret_until": now + OVERLAP,
        "version": webhook.version + 1,
        "updated_at": now,
    }
    row = db.execute(_UPDATE.values(changes).returning(*_COLUMNS), {"of_webhook": webhook.id}).one()
    return {**row._asdict(), "secret": secret}


# -- deliveries ----------------------------------------------------------------------------------------


def delivery(row: AnyRow) -> dict[str, Any]:
    """A delivery as the API shows it: an event by its public id, a ping by the delivery's id."""
    shown = row._asdict()
    shown["event_id"] = f"ping_{row.id}" if row.event_id is None else event_id.encode(row.event_id)
    return shown


def list_deliveries(db: Session, user: Caller, webhook_id: int, page: Page) -> PageOf[dict[str, Any]]:
    """A page of a webhook's deliveries, newest first; raises NotFound."""
    get(db, user, webhook_id)
    found = keyset_by_id(db, _DELIVERIES, webhook_deliveries.c.id, page, {"webhook_id": webhook_id})
    return PageOf([delivery(row) for row in found.rows], found.next_cursor)


def ping(db: Session, user: Caller, webhook_id: int) -> dict[str, Any]:
    """Have a `webhook.ping` sent; raises NotFound, Conflict."""
    webhook = _switched_on(db, user, webhook_id)
    now = datetime.now(UTC)
    row = db.execute(
        _ADD_DELIVERY,
        {
            "webhook_id": webhook.id,
            "type": PING,
            "state": "waiting",
            "attempts": 0,
            "next_attempt_at": now,
            "created_at": now,
        },
    ).one()
    db.execute(_MAKE_DUE, {"of_webhook": webhook.id, "now": now})
    return delivery(row)


def retry(db: Session, user: Caller, webhook_id: int, delivery_id: int) -> dict[str, Any]:
    """Have an event delivered again at once; raises NotFound, Conflict."""
    webhook = _switched_on(db, user, webhook_id)
    now = datetime.now(UTC)
    row = db.execute(_RETRY, {"of_webhook": webhook.id, "of_delivery": delivery_id, "now": now}).first()
    if row is None:
        raise NotFound("Delivery not found", code="delivery_not_found")
    db.execute(_MAKE_DUE, {"of_webhook": webhook.id, "now": now})
    return delivery(row)


def replay(db: Session, user: Caller, webhook_id: int, after: str) -> None:
    """Have all events after this one delivered again; raises NotFound, InvalidInput, Gone."""
    webhook = get(db, user, webhook_id, locked=True)
    position, newest, _ = feed.begin(db, after, pointer="#/after")
    # A replay that is not done yet goes on where it is, if that is earlier.
    begins = case((webhooks.c.replay_after < position, webhooks.c.replay_after), else_=position)
    # Events of transactions that are open are delivered when they happen, not again.
    changes = {"replay_after": begins, "replay_until": newest}
    db.execute(_UPDATE.values(changes), {"of_webhook": webhook.id})


def _switched_on(db: Session, user: Caller, webhook_id: int) -> AnyRow:
    webhook = get(db, user, webhook_id, locked=True)
    if not webhook.enabled:
        raise Conflict("The webhook is off: switch it on first", code="webhook_disabled")
    return webhook
