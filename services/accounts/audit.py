"""The audit trail: events that matter for security, written in the transaction of their cause, never changed."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, bindparam, insert, select
from sqlalchemy.orm import Session

from account_models import audit_events
from database import AnyRow
from request_context import origin_var, request_id_var
from schemas.audit import AuditEventRead, AuditFilters
from services.paging import PageOf, keyset_by_id

_INSERT = insert(audit_events)
_COLUMNS = tuple(audit_events.c[name] for name in AuditEventRead.model_fields)
_CONDITIONS: dict[str, Any] = {
    "kind": audit_events.c.kind == bindparam("kind"),
    "actor_id": audit_events.c.actor_id == bindparam("actor_id"),
    "user_id": audit_events.c.user_id == bindparam("user_id"),
    "created_after": audit_events.c.created_at >= bindparam("created_after"),
    "created_before": audit_events.c.created_at < bindparam("created_before"),
}


def record(
    db: Session, kind: str, *, actor_id: int | None = None, user_id: int | None = None, **details: Any
) -> None:
    """Write an event: its kind, actor, account and address. The details must not hold a secret."""
    db.execute(
        _INSERT,
        {
            "created_at": datetime.now(UTC),
            "kind": kind,
            "actor_id": actor_id,
            "user_id": user_id,
            "address": origin_var.get().address,
            "request_id": request_id_var.get(),
            "details": details,
        },
    )


def list_events(db: Session, filters: AuditFilters) -> PageOf[AnyRow]:
    """A page of the trail, newest first."""
    values = {name: getattr(filters, name) for name in _CONDITIONS if getattr(filters, name) is not None}
    statement: Select[Any] = select(*_COLUMNS).where(*(_CONDITIONS[name] for name in values))
    return keyset_by_id(db, statement, audit_events.c.id, filters, values)
