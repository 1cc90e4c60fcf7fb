"""Tokens for programs."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Path

from auth import CurrentUser
from database import AnyRow
from models import LARGEST_ID
from schemas.accounts import ProgramTokenCreate, ProgramTokenMade, ProgramTokenRead
from schemas.common import Message
from services import background_tasks
from services.accounts import program_token as token_service
from web.routing import Router
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/auth/tokens", tags=["auth"])


@router.post("", response_model=ProgramTokenMade, status_code=201, errors=[409])
def create_token(
    db: WriteSession, user: CurrentUser, body: ProgramTokenCreate, background: BackgroundTasks
) -> dict[str, Any]:
    """Make a token for a program.

    It is shown once, in this answer. The program sends it as `Authorization: Bearer` and may do what its scopes
    say, as long as the account may. Its owner is told by mail. An account has 100 of them at most.
    """
    background.add_task(background_tasks.send_mails)
    return token_service.create(db, user, body)


@router.get("", response_model=list[ProgramTokenRead], short=True)
def list_tokens(db: ReadSession, user: CurrentUser) -> list[AnyRow]:
    """List the caller's tokens for programs, newest first."""
    return token_service.list_tokens(db, user)


@router.delete("/{token_id}", response_model=Message, errors=[404])
def revoke_token(
    db: WriteSession, user: CurrentUser, token_id: Annotated[int, Path(ge=0, le=LARGEST_ID)]
) -> dict[str, str]:
    """Revoke one of the caller's tokens; from the next request on it is refused."""
    token_service.revoke(db, user, token_id)
    return {"message": "Token revoked"}
