"""Administration of accounts."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, bindparam, or_, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import user_not_found
from models import Caller, users
from schemas.accounts import UserDetails, UserFilters
from services.accounts import audit as audit_service
from services.accounts import removal as removal_service
from services.accounts import session as session_service
from services.accounts import user as user_service
from services.paging import PageOf, keyset_by_id
from services.portions import Portions
from services.projects import leaving, member
from storage.column_types import LowerAscii
from storage.folding import pattern

_COLUMNS = tuple(users.c[name] for name in UserDetails.model_fields)
_ONE = select(*_COLUMNS).where(users.c.id == bindparam("user_id"))
# Rows that refer to the account can be written meanwhile.
_LOCKED = _ONE.with_for_update(key_share=True)
_UPDATE = update(users).where(users.c.id == bindparam("of_user")).returning(*_COLUMNS)
_CONDITIONS: dict[str, Any] = {
    "search": or_(
        LowerAscii(users.c.username).like(bindparam("search"), escape="\\"),
        users.c.email_folded.like(bindparam("search"), escape="\\"),
    ),
    "role": users.c.role == bindparam("role"),
    "is_active": users.c.is_active == bindparam("is_active"),
}


def list_users(db: Session, filters: UserFilters) -> PageOf[AnyRow]:
    """A page of the accounts, newest first."""
    values = {name: getattr(filters, name) for name in _CONDITIONS if getattr(filters, name) is not None}
    statement: Select[Any] = select(*_COLUMNS).where(*(_CONDITIONS[name] for name in values))
    if "search" in values:
        values["search"] = pattern(values["search"])
    return keyset_by_id(db, statement, users.c.id, filters, values)


def get_user(db: Session, user_id: int) -> AnyRow:
    """An account; raises NotFound."""
    return _found(db.execute(_ONE, {"user_id": user_id}).first())


def _found(row: AnyRow | None) -> AnyRow:
    if row is None:
        raise user_not_found()
    return row


def update_user(
    db: Session,
    actor: Caller,
    user_id: int,
    values: dict[str, Any],
    heir_id: int | None = None,
    portions: Portions | None = None,
) -> tuple[AnyRow, set[int]]:
    """Change an account's role, or switch the account off or on.

    Returns the account, and the other accounts whose tasks changed. Raises NotFound, Conflict, InvalidInput, Unfinished.
    """
    changed: set[int] = set()
    if values.get("role") == "member" or values.get("is_active") is False:
        removal_service.keep_an_admin(db, user_id)
    if values.get("is_active") is False:
        # Whoever writes in a project locks it first, and then perhaps the account.
        member.projects_of(db, user_id)
    before = _found(db.execute(_LOCKED, {"user_id": user_id}).first())
    changes = user_service.changes(before, values, ("role", "is_active"))
    if not changes:
        return before, changed
    if changes.get("is_active") is False:
        changed = leaving.switch_off(db, actor, user_id, heir_id, portions)
    after = db.execute(_UPDATE.values(changes), {"of_user": user_id}).one()
    if before.role == "admin" and not (after.role == "admin" and after.is_active):
        member.pass_on_unmanaged_webhooks(db, datetime.now(UTC), user_id)
    if "role" in changes:
        audit_service.record(
            db, "role_changed", actor_id=actor.id, user_id=user_id, before=before.role, after=after.role
        )
    if "is_active" in changes:
        kind = "user_enabled" if after.is_active else "user_disabled"
        audit_service.record(db, kind, actor_id=actor.id, user_id=user_id)
        if not after.is_active:
            session_service.end_all(db, user_id)
    return after, changed


def end_sessions(db: Session, actor: Caller, user_id: int) -> int:
    """End all sessions of an account; returns their number; raises NotFound."""
    get_user(db, user_id)
    ended = session_service.end_all(db, user_id)
    audit_service.record(db, "sessions_ended", actor_id=actor.id, user_id=user_id, sessions_ended=ended)
    return ended
