"""Registration, login, logout, and sessions."""

from typing import Annotated, Any

from fastapi import BackgroundTasks, Depends, Query, Request, Response
from fastapi.security import OAuth2PasswordRequestForm

from auth import CurrentUser
from config import settings
from database import database
from errors import AppError, BadRequest, Conflict, Forbidden, NotAuthenticated, ServiceUnavailable, invalid_at
from routers.parameters import PathId
from schemas.accounts import (
    RefreshRequest,
    RegisterRequest,
    SessionRead,
    Token,
    UserRead,
    name_or_email,
)
from schemas.common import Message, Page
from security.passwords import hash_password_async, hashing_busy, may_hash, verify_and_renew_async
from services import background_tasks
from services.accounts import attempt as attempt_service
from services.accounts import login as login_service
from services.accounts import password_rules, registration
from services.accounts import session as session_service
from services.accounts import user as user_service
from services.accounts.session import Issued
from web.routing import Router, link_next
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/auth", tags=["auth"])

# A form with a name and a password is shorter, even with every character percent-encoded.
LONGEST_FORM = 16 * 1024


@router.post("/register", response_model=UserRead, errors=[400, 403, 429])
async def register(body: RegisterRequest, background: BackgroundTasks) -> dict[str, Any]:
    """Create an account.

    Usernames and emails are unique in any letter case.
    """
    if not settings.registration_open:
        raise Forbidden("Registration is closed: ask an admin for an account", code="registration_closed")
    password_rules.check(body.password, body.username, body.email)
    # Counted first and kept even if the answer is 400, because that answer tells that an account exists.
    begun = await database.write_async(registration.begin)
    if isinstance(begun, AppError):
        raise begun
    try:
        await database.read_async(
            lambda db: user_service.check_free(db, body.username, body.email), on_loop=True
        )
        hashed = await hash_password_async(body.password)
        row = await database.write_async(lambda db: registration.finish(db, begun, body, hashed))
    except AppError as error:
        is_attempt = isinstance(error, BadRequest)
        await database.write_async(lambda db: registration.abandon(db, begun, is_attempt=is_attempt))
        raise
    if registration.asks_to_verify():
        background.add_task(background_tasks.send_mails)
    return row._asdict()


@router.post("/login", response_model=Token, errors=[401, 403, 429], body_limit=LONGEST_FORM)
async def login(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> dict[str, Any]:
    """Log in with a username or email and the password."""
    if "\0" in form.username:
        raise invalid_at("#/username", "Input should be text without NUL characters")
    return session_service.as_tokens(await check_and_start(form.username, form.password))


async def check_and_start(username: str, password: str, *, for_cookie: bool = False) -> Issued:
    """Start a session, if the password is right; otherwise raise the error that a login answers."""
    # Before the attempt is counted, so that each spelling of an email does not get attempts of its own.
    username = name_or_email(username)
    if not may_hash():
        # The owner at an address known for the account has reserved places in the queue.
        known = await database.read_async(
            lambda db: login_service.is_at_known_address(db, username), on_loop=True
        )
        if not (known and may_hash(known=True)):
            raise hashing_busy()
    # Counted in a transaction of its own before the check, so that the count is kept whatever the answer is.
    attempt = await database.write_async(lambda db: login_service.begin(db, username))
    if attempt.wait:
        raise attempt_service.too_many(attempt.wait)
    try:
        matches, renewed = await verify_and_renew_async(
            password, attempt.password_hash, known=attempt.is_known
        )
    except ServiceUnavailable:
        await database.write_async(lambda db: login_service.forgive(db, attempt))
        raise
    if not matches:
        # A transaction of its own too, because the 401 must not undo what it writes.
        await database.write_async(lambda db: login_service.fail(db, attempt))
        raise _invalid_credentials()
    outcome = await database.write_async(
        lambda db: login_service.succeed(db, attempt, renewed, for_cookie=for_cookie)
    )
    if isinstance(outcome, str):
        raise _refusal(outcome)
    return outcome


def _invalid_credentials() -> AppError:
    return NotAuthenticated("Invalid credentials", code="invalid_credentials")


def _refusal(code: str) -> AppError:
    """The reason why a login with the right password is refused."""
    if code == "account_inactive":
        return Forbidden("This account is not active", code="account_inactive")
    if code == "email_not_verified":
        return Forbidden(
            "Confirm your email first, by the link that was mailed to you", code="email_not_verified"
        )
    return _invalid_credentials()


@router.post("/refresh", response_model=Token, errors=[401, 429])
async def refresh(body: RefreshRequest) -> dict[str, Any]:
    """Exchange a refresh token for new tokens.

    If a used token comes back more than ten seconds later, its session
    ends, because somebody else must have the token.
    """
    # Committed before the answer, because the session of a stolen token must end even if the answer is a 401.
    outcome = await database.write_async(lambda db: session_service.refresh(db, body.refresh_token))
    if isinstance(outcome, int):
        if outcome:
            raise attempt_service.too_many(outcome)
        raise NotAuthenticated("Invalid refresh token", code="invalid_refresh_token")
    return session_service.as_tokens(outcome)


@router.post("/logout", response_model=Message, errors=[409])
def logout(db: WriteSession, user: CurrentUser) -> dict[str, str]:
    """End the session of the token that is sent."""
    if user.session_id is None:
        raise Conflict("This token belongs to no session: it ends when it expires", code="no_session")
    session_service.end(db, user, user.session_id)
    return {"message": "Logged out"}


@router.post("/logout-all", response_model=Message)
def logout_all(db: WriteSession, user: CurrentUser) -> dict[str, str]:
    """End all of the caller's sessions, including the current one."""
    ended = session_service.end_all_of(db, user)
    return {"message": f"Logged out of {ended} sessions"}


@router.get("/sessions", response_model=list[SessionRead], on_loop=True)
def list_sessions(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[dict[str, Any]]:
    """List the caller's sessions, newest first."""
    return link_next(request, response, session_service.list_sessions(db, user, page))


@router.delete("/sessions/{session_id}", response_model=Message, errors=[404])
def end_session(db: WriteSession, user: CurrentUser, session_id: PathId) -> dict[str, str]:
    """End one of the caller's sessions."""
    session_service.end(db, user, session_id)
    return {"message": "Session ended"}
