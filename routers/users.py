"""Finding the people to assign tasks to."""

from typing import Annotated

from fastapi import Query
from sqlalchemy import Row

from auth import CurrentUser
from routing import ReadSession, Router
from schemas import Username, UserReference
from services import user_service

router = Router(prefix="/users", tags=["users"])


@router.get("/lookup", response_model=UserReference, errors=[404], short=True)
def lookup_user(db: ReadSession, user: CurrentUser, username: Annotated[str, Query(max_length=254)]) -> Row[tuple[int, str]]:
    """The id of exactly the user with this name, in any letter case."""
    return user_service.look_up(db, username)
