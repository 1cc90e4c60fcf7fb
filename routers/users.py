"""Finding the people to assign tasks to."""

from typing import Annotated

from fastapi import Query

from auth import CurrentUser
from database import AnyRow
from routing import ReadSession, Router
from schemas.accounts import UserReference
from services import user_service

router = Router(prefix="/users", tags=["users"])


@router.get("/lookup", response_model=UserReference, errors=[404], short=True)
def lookup_user(
    db: ReadSession, user: CurrentUser, username: Annotated[str, Query(max_length=254)]
) -> AnyRow:
    """The id of exactly the user with this name, in any letter case."""
    return user_service.look_up(db, username)
