"""Registering, logging in, and who the caller is."""

from typing import Annotated, Any

from fastapi import Depends
from fastapi.security import OAuth2PasswordRequestForm

import auth
from auth import CurrentUser
from config import settings
from database import database
from errors import Forbidden, NotAuthenticated
from models import Caller
from routing import ReadSession, Router
from schemas.accounts import RegisterRequest, Token, UserRead
from services import user_service

router = Router(prefix="/auth", tags=["auth"])


@router.post("/register", response_model=UserRead, errors=[400, 503, 507])
async def register(body: RegisterRequest) -> dict[str, Any]:
    """Make an account.

    Usernames and emails are unique in any letter case.
    """
    await database.read_async(lambda db: user_service.check_free(db, body.username, body.email), short=True)
    hashed = await auth.hash_password_async(body.password)
    row = await database.write_async(
        lambda db: user_service.create_user(db, body.username, body.email, hashed)
    )
    return row._asdict()


@router.post("/login", response_model=Token, errors=[401, 403, 503])
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, Any]:
    """Log in with a username, or the email, and the password.

    The token goes into the header `Authorization: Bearer <access_token>` of the calls that follow.
    """
    account = await database.read_async(lambda db: user_service.find_for_login(db, form.username), short=True)
    matches = await auth.verify_password_async(form.password, account.password_hash if account else None)
    if account is None or not matches:
        raise NotAuthenticated("Invalid credentials", code="invalid_credentials")
    if not account.is_active:
        raise Forbidden("This account is not active", code="account_inactive")
    return {
        "access_token": auth.create_access_token({"sub": str(account.id)}),
        "token_type": "bearer",
        "expires_in": settings.access_token_expire_minutes * 60,
    }


@router.get("/me", response_model=UserRead, short=True)
def read_me(db: ReadSession, user: CurrentUser) -> Caller:  # reading the caller is all it does
    """The caller's account."""
    return user
