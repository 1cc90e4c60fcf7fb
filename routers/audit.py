"""The audit trail."""

from typing import Annotated

from fastapi import Query, Request, Response

from auth import AdminUser
from database import AnyRow
from schemas.audit import AuditEventRead, AuditFilters
from services.accounts import audit as audit_service
from web.routing import Router, link_next
from web.transaction import ReadSession

router = Router(tags=["users"])


@router.get("/audit", response_model=list[AuditEventRead])
def list_audit_events(
    db: ReadSession,
    user: AdminUser,
    filters: Annotated[AuditFilters, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List logins, failed logins and changes of accounts, newest first (admins)."""
    return link_next(request, response, audit_service.list_events(db, filters))
