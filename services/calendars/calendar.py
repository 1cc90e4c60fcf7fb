"""Calendars of an account: making and ending them, and showing one to everybody who has its address.

Only the hash of the token in the address is stored. A calendar shows the tasks that its account may see at
that moment. It ends with the account or its view, when it expires, and when the account gets a new password.
"""

import hashlib
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from pydantic_core import to_json
from sqlalchemy import bindparam, delete, func, insert, literal_column, select
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, NotFound, invalid_at
from models import Caller, tasks
from schemas.common import Page
from schemas.tasks import TaskFilters
from schemas.views import CalendarRead
from security.callers import CALLER_BY_ID
from security.tokens import token_hash
from services import rights, task_service
from services.accounts import session as session_service
from services.calendars import entries
from services.paging import PageOf, keyset_by_id
from services.query import view as view_service
from services.query.refusal import InvalidFilter
from services.query.shapes import Place, Scope
from storage.column_types import is_among
from storage.prepared import prepared
from tables.views import calendars

MOST_CALENDARS = 100
# Programs that show calendars can't take more: the newest are shown.
MOST_ENTRIES = 10_000
OPEN_AND_DUE = "status != completed and due is not null"

_COLUMNS = [calendars.c[name] for name in CalendarRead.model_fields]
_INSERT = prepared(insert(calendars).returning(*_COLUMNS))
_COUNT = prepared(select(func.count()).where(calendars.c.user_id == bindparam("user_id")))
_MINE = select(*_COLUMNS).where(calendars.c.user_id == bindparam("user_id"))
_DELETE = prepared(
    delete(calendars)
    .where(calendars.c.id == bindparam("calendar_id"), calendars.c.user_id == bindparam("of_user"))
    .returning(calendars.c.id)
)
_BY_TOKEN = prepared(select(calendars).where(calendars.c.token_hash == bindparam("hashed")))
_listed = is_among(tasks.c.id, "task_ids")
_VERSIONS = prepared(select(tasks.c.id, tasks.c.version).where(_listed).order_by(tasks.c.id))
_FIELDS = tuple(tasks.c[name] for name in entries.FIELDS)
_SCOPES: tuple[Scope, ...] = ("owner", "project")
_ENTRIES = {
    scope: prepared(
        rights.visible_tasks(scope, by_id=True)
        .with_only_columns(*_FIELDS)
        .where(_listed, tasks.c.status != literal_column("'completed'"), tasks.c.due_at.is_not(None))
        .order_by(tasks.c.id)
    )
    for scope in _SCOPES
}


class Feed(NamedTuple):
    """The content of a calendar: its name and tasks, and the problem if its view can't be read."""

    name: str
    tz: str
    problem: str | None
    task_ids: list[int]
    etag: str
    token: str
    place: Place


def calendar_not_found() -> NotFound:
    """The error for a calendar that does not exist, has ended, or belongs to another account."""
    return NotFound("Calendar not found", code="calendar_not_found")


# -- for the account -------------------------------------------------------------------------------


def create_calendar(db: Session, caller: Caller, values: Mapping[str, Any], own_url: str) -> dict[str, Any]:
    """Make a calendar, whose address is never shown again; raises NotFound for the view, Conflict.

    The address begins with `own_url`, at which this program is reached.
    """
    now, token = datetime.now(UTC), secrets.token_urlsafe(32)
    if values["expires_at"] is not None and values["expires_at"] <= now:
        raise invalid_at("#/expires_at", "Should lie in the future")
    if values["view_id"] is not None:
        view_service.get_view(db, caller, values["view_id"])
    # Without the lock two requests at once could both take the last free place.
    session_service.hold(db, caller)
    if db.execute(_COUNT, {"user_id": caller.id}).scalar_one() >= MOST_CALENDARS:
        raise Conflict(
            f"An account has {MOST_CALENDARS} calendars at most: delete one first", code="too_many_calendars"
        )
    row = {
        **values,
        "user_id": caller.id,
        "token_hash": token_hash(token),
        "created_at": now,
        "credentials_version": caller.credentials_version,
    }
    made = db.execute(_INSERT, row).one()
    return {**made._asdict(), "url": f"{own_url}/calendar/{token}.ics"}


def list_calendars(db: Session, caller: Caller, page: Page) -> PageOf[AnyRow]:
    """A page of the caller's calendars, newest first."""
    return keyset_by_id(db, _MINE, calendars.c.id, page, {"user_id": caller.id})


def delete_calendar(db: Session, caller: Caller, calendar_id: int) -> None:
    """End one of the caller's calendars; raises NotFound."""
    if db.execute(_DELETE, {"calendar_id": calendar_id, "of_user": caller.id}).first() is None:
        raise calendar_not_found()


# -- for the address -------------------------------------------------------------------------------


def _open(db: Session, token: str) -> tuple[AnyRow, Caller]:
    """The calendar with this token, and its account; raises NotFound."""
    row = db.execute(_BY_TOKEN, {"hashed": token_hash(token)}).first()
    if row is None or (row.expires_at is not None and row.expires_at <= datetime.now(UTC)):
        raise calendar_not_found()
    account = db.execute(CALLER_BY_ID, {"user_id": row.user_id}).first()
    if account is None or not account.is_active or account.credentials_version != row.credentials_version:
        raise calendar_not_found()
    return row, Caller(*account)


def open_feed(db: Session, token: str) -> Feed:
    """The present content of the calendar with this token; raises NotFound."""
    row, caller = _open(db, token)
    name, problem, found, place = "Tasks", None, [], Place(caller.id)
    filters = TaskFilters(filter=OPEN_AND_DUE, view=row.view_id, tz=row.tz)
    try:
        if row.view_id is not None:
            view = view_service.use(db, caller, row.view_id)
            name = view.name
            if view.project_id is not None:
                place = Place(None, view.project_id)
        found = task_service.ids_of_list(db, caller, filters)[-MOST_ENTRIES:]
    except InvalidFilter as error:
        problem = f"The view can't be read any more. {error.detail}"
    except NotFound:
        raise calendar_not_found() from None
    versions = db.execute(_VERSIONS, {"task_ids": found}).all()
    shown = to_json([entries.FORMAT, name, row.tz, problem, [list(each) for each in versions]])
    etag = f'"{hashlib.sha256(shown).hexdigest()[:32]}"'
    return Feed(name, row.tz, problem, [each.id for each in versions], etag, token, place)


def read_entries(db: Session, feed: Feed, task_ids: list[int]) -> bytes:
    """The entries of those of these tasks that the calendar still shows, as text for its file.

    Raises NotFound if the calendar has ended meanwhile, or its account does not see the project any more: a slow
    client reads for hours.
    """
    _, caller = _open(db, feed.token)
    if feed.place.project_id is not None:
        rights.role_in(db, caller, feed.place.project_id)
    asked = {**feed.place._asdict(), "task_ids": task_ids}
    rows = db.execute(_ENTRIES[feed.place.scope], asked).all()
    return b"".join(entries.entry(row, feed.tz) for row in rows)
