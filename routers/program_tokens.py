"""Tokens for programs."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Query, Request, Response

from auth import CurrentUser
from database import AnyRow
from routers.parameters import PathId
from schemas.accounts import ProgramTokenCreate, ProgramTokenMade, ProgramTokenRead
from schemas.common import Message, Page
from services import background_tasks
from services.accounts import program_token
from web.routing import Router, link_next
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/auth/tokens", tags=["auth"])


@router.post("", response_model=ProgramTokenMade, status_code=201, errors=[409])
def create_token(
    db: WriteSession, user: CurrentUser, body: ProgramTokenCreate, background: BackgroundTasks
) -> dict[str, Any]:
    """Create a token for a program.

    The token has the rights of its scopes, as far as the account has them. The owner is notified by mail.
    """
    background.add_task(background_tasks.send_mails)
    return program_token.create(db, user, body)


@router.get("", response_model=list[ProgramTokenRead], on_loop=True)
def list_tokens(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the caller's tokens for programs, newest first."""
    return link_next(request, response, program_token.list_tokens(db, user, page))


@router.delete("/{token_id}", response_model=Message, errors=[404])
def revoke_token(db: WriteSession, user: CurrentUser, token_id: PathId) -> dict[str, str]:
    """Revoke one of the caller's tokens. It stops working with the next request."""
    program_token.revoke(db, user, token_id)
    return {"message": "Token revoked"}
