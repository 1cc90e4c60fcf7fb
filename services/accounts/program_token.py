"""Tokens for programs: their scopes are fixed when they are made, and the tokens are shown only then."""

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select
from sqlalchemy.orm import Session

from account_models import program_tokens
from database import AnyRow
from errors import Conflict, NotFound, invalid_at
from models import Caller
from schemas.accounts import ProgramTokenCreate, ProgramTokenRead
from schemas.common import Page
from security.callers import ADMIN_SCOPE, SCOPES, require_admin
from security.tokens import PROGRAM_TOKEN_PREFIX, token_hash
from services.accounts import account_mail
from services.accounts import attempt as attempt_service
from services.accounts import audit as audit_service
from services.accounts import session as session_service
from services.paging import PageOf, keyset_by_id

# The most tokens of an account, and the most mails about new tokens in an hour.
MOST_TOKENS = 100
MOST_MAILS = 20

_COLUMNS = tuple(program_tokens.c[name] for name in ProgramTokenRead.model_fields)
_INSERT = insert(program_tokens).returning(*_COLUMNS)
_LIST = select(*_COLUMNS).where(program_tokens.c.user_id == bindparam("user_id"))
_COUNT = select(func.count()).where(program_tokens.c.user_id == bindparam("user_id"))
_REVOKE = delete(program_tokens).where(
    program_tokens.c.user_id == bindparam("user_id"), program_tokens.c.id == bindparam("token_id")
)


def create(db: Session, user: Caller, wanted: ProgramTokenCreate) -> dict[str, Any]:
    """Make a token, which is never shown again; raises Conflict, Forbidden, InvalidInput."""
    now = datetime.now(UTC)
    if ADMIN_SCOPE in wanted.scopes:
        require_admin(user)
    if wanted.expires_at is not None and wanted.expires_at <= now:
        raise invalid_at("#/expires_at", "Should lie in the future")
    session_service.hold(db, user)
    if db.execute(_COUNT, {"user_id": user.id}).scalar_one() >= MOST_TOKENS:
        detail = f"An account has {MOST_TOKENS} tokens at most: revoke one first"
        raise Conflict(detail, code="too_many_tokens")
    token = PROGRAM_TOKEN_PREFIX + secrets.token_urlsafe(32)
    values = {
        "user_id": user.id,
        "name": wanted.name,
        "token_hash": token_hash(token),
        "last_four": token[-4:],
        "scopes": [scope for scope in SCOPES if scope in wanted.scopes],
        "created_at": now,
        "expires_at": wanted.expires_at,
    }
    row = db.execute(_INSERT, values).one()
    audit_service.record(
        db, "token_created", actor_id=user.id, user_id=user.id, token_id=row.id, scopes=row.scopes
    )
    # The limit keeps a caller that makes and revokes tokens all day from filling the owner's mailbox.
    if attempt_service.take(db, f"mail:hour:token:{user.id}", limit=MOST_MAILS)[0]:
        account_mail.put(db, "token_created", user.id, user.email)
    return {**row._asdict(), "token": token}


def list_tokens(db: Session, user: Caller, page: Page) -> PageOf[AnyRow]:
    """A page of the caller's tokens, newest first, without the secrets."""
    return keyset_by_id(db, _LIST, program_tokens.c.id, page, {"user_id": user.id})


def revoke(db: Session, user: Caller, token_id: int) -> None:
    """Revoke one of the caller's tokens; raises NotFound."""
    if db.execute(_REVOKE, {"user_id": user.id, "token_id": token_id}).rowcount == 0:  # type: ignore[attr-defined]
        raise NotFound("Token not found", code="token_not_found")
    audit_service.record(db, "token_revoked", actor_id=user.id, user_id=user.id, token_id=token_id)
