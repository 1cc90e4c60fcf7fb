"""The caller's own account: username, password, email, export and deletion."""

from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from fastapi import BackgroundTasks, Request, Response
from fastapi.responses import StreamingResponse

import auth
from auth import CurrentUser, SignedIn
from database import AnyRow, database
from errors import ServiceUnavailable
from models import Caller
from schemas.account_export import AccountExport
from schemas.accounts import (
    AccountUpdate,
    EmailAddress,
    EmailChange,
    LinkToken,
    PasswordChange,
    PasswordConfirmation,
    PasswordReset,
    UserRead,
)
from schemas.common import Message
from security.passwords import hash_password_async, hashing_busy, may_hash, verify_password_async
from services import background_tasks
from services.accounts import account as account_service
from services.accounts import attempt as attempt_service
from services.accounts import export as account_export
from services.accounts import link as link_service
from services.accounts import login as login_service
from services.accounts import password_rules
from services.accounts import removal as removal_service
from services.accounts import user as user_service
from services.portions import Portions
from web.routing import Router
from web.strict_input import CLAIMS
from web.time_limit import begin_again
from web.transaction import ReadSession, WriteSession

router = Router(prefix="/auth", tags=["auth"])

MAILED = {"message": "If there is an account with this email, a link is on its way there"}


@router.get("/me", response_model=UserRead, on_loop=True)
def read_me(
    db: ReadSession, user: CurrentUser
) -> Caller:  # the transaction reads the caller, and nothing else
    """Get the caller's account."""
    return user


@router.patch("/me", response_model=UserRead, errors=[400])
def update_me(db: WriteSession, user: CurrentUser, body: AccountUpdate) -> AnyRow | Caller:
    """Change the caller's username.

    The email is changed by `POST /auth/email`, the password by `POST /auth/password`.
    """
    changes = user_service.changes(user, body.sent(), ("username",))
    return account_service.rename(db, user, changes["username"]) if changes else user


async def _confirm_password(user: Caller, password: str) -> str | None:
    """Check the caller's password again, and return its hash.

    Failed attempts count like failed logins, because somebody at a forgotten session could guess the
    password. Each step is a transaction of its own, so that the count is kept even if the answer is an error.
    The hash must be unchanged when the confirmed step is written.
    """
    if not (may_hash() or may_hash(known=True)):
        raise hashing_busy()
    attempt = await database.write_async(lambda db: login_service.begin_for(db, user))
    if attempt.wait:
        raise attempt_service.too_many(attempt.wait)
    try:
        matches = await verify_password_async(password, attempt.password_hash, known=attempt.is_known)
    except ServiceUnavailable:
        await database.write_async(lambda db: login_service.forgive(db, attempt))
        raise
    if not matches:
        await database.write_async(lambda db: login_service.fail(db, attempt, "password_refused"))
        raise login_service.wrong_password()
    await database.write_async(lambda db: login_service.forgive(db, attempt))
    return attempt.password_hash


async def _write_confirmed(
    user: Caller, confirmed: str | None, work: Callable[[Any], None], portions: Portions | None = None
) -> None:
    """Write a change that a password confirmed, if the password and the caller's session are still valid."""

    def checked(db: Any) -> None:
        login_service.check_still_confirmed(db, user, confirmed)
        work(db)

    await (database.write_async(checked) if portions is None else portions.write(checked))


@router.delete("/me", response_model=Message, errors=[403, 409, 429])
async def delete_me(
    user: SignedIn, body: PasswordConfirmation, background: BackgroundTasks, request: Request
) -> dict[str, str]:
    """Delete the caller's account with all of its tasks. This can't be undone.

    Repeat it if no answer comes.
    """
    confirmed = await _confirm_password(user, body.password)
    changed: set[int] = set()
    portions = Portions(partial(begin_again, request.scope))

    def delete(db: Any) -> None:
        changed.clear()
        changed.update(removal_service.delete_account(db, user, user, None, portions))

    await _write_confirmed(user, confirmed, delete, portions)
    background.add_task(background_tasks.after_change, user.id)
    background.add_task(background_tasks.after_change, *sorted(changed))
    return {"message": "Account deleted"}


@router.get(
    "/me/export",
    response_model=AccountExport,
    responses={200: {"headers": {"Content-Disposition": {}}}},
)
def export_me(db: ReadSession, user: CurrentUser, request: Request) -> Response:
    """Export everything that is kept about the caller, as JSON."""
    beginning = account_export.begin(db, user)

    def go_on(db: Any, position: account_export.Position) -> Any:
        # The session may have ended meanwhile, and a slow client reads for hours.
        caller = auth.authorize(db, request.scope[CLAIMS], admin=False, scope=None)
        return account_export.go_on(db, caller, position)

    async def stream() -> AsyncIterator[bytes]:
        yield beginning
        position: account_export.Position | None = account_export.BEGINNING
        while position is not None:
            # Each part is a read of its own, so that a slow client holds no transaction open.
            pieces, position = await database.read_async(partial(go_on, position=position))
            for piece in pieces:
                yield piece

    return StreamingResponse(
        stream(),
        media_type="application/json",
        headers={"Content-Disposition": 'attachment; filename="account.json"'},
    )


@router.post("/password", response_model=Message, errors=[403, 429])
async def change_password(
    user: SignedIn, body: PasswordChange, background: BackgroundTasks
) -> dict[str, str]:
    """Change the password, and end all other access to the account.

    Program tokens and links to pictures and calendars stop working.
    """
    password_rules.check(body.new_password, user.username, user.email, "new_password")
    confirmed = await _confirm_password(user, body.current_password)
    hashed = await hash_password_async(body.new_password)
    await _write_confirmed(user, confirmed, lambda db: account_service.change_password(db, user, hashed))
    background.add_task(background_tasks.send_mails)
    return {"message": "Password changed"}


async def _ask_for_link(email: str, purpose: str) -> None:
    # Committed before the answer, because the count must be kept even if the answer is a 429.
    if wait := await database.write_async(lambda db: account_service.ask_for_link(db, email, purpose)):
        raise attempt_service.too_many(wait)


@router.post("/password/forgot", response_model=Message, errors=[429])
async def forgot_password(body: EmailAddress, background: BackgroundTasks) -> dict[str, str]:
    """Mail a link that resets the password.

    The answer is the same whether or not an account has this email.
    """
    await _ask_for_link(body.email, "reset")
    background.add_task(background_tasks.send_mails)
    return MAILED


async def _link(token: str, purposes: tuple[str, ...]) -> AnyRow:
    link = await database.read_async(lambda db: link_service.find(db, token, purposes), on_loop=True)
    if link is None:
        # A transaction of its own, because the count must be kept even if the answer is an error.
        if wait := await database.write_async(link_service.refuse):
            raise attempt_service.too_many(wait)
        raise link_service.invalid()
    return link


@router.post("/password/reset", response_model=Message, errors=[400, 429])
async def reset_password(body: PasswordReset, background: BackgroundTasks) -> dict[str, str]:
    """Set a new password by a mailed link, and end all earlier access to the account.

    Program tokens and links to pictures and calendars stop working.
    """
    link = await _link(body.token, ("reset",))
    password_rules.check(body.new_password, link.username, link.email, "new_password")
    hashed = await hash_password_async(body.new_password)
    await database.write_async(lambda db: account_service.reset_password(db, body.token, hashed))
    background.add_task(background_tasks.send_mails)
    return {"message": "Password changed: log in with the new one"}


@router.post("/email", response_model=Message, errors=[403, 429])
async def change_email(user: SignedIn, body: EmailChange, background: BackgroundTasks) -> dict[str, str]:
    """Mail a link to a new address, which makes the address the account's email.

    Nothing changes until the link is used.
    """
    confirmed = await _confirm_password(user, body.password)
    # A transaction of its own, because the count must be kept even if the answer is a 429.
    if wait := await database.write_async(lambda db: account_service.count_asking(db, body.email)):
        raise attempt_service.too_many(wait)
    await _write_confirmed(user, confirmed, lambda db: account_service.ask_for_email(db, user, body.email))
    background.add_task(background_tasks.send_mails)
    return {"message": "A link is on its way to the new address, unless another account has it"}


@router.post("/email/verify", response_model=Message, errors=[400, 429])
async def verify_email(body: LinkToken, background: BackgroundTasks) -> dict[str, str]:
    """Confirm an email by the link that was mailed to it."""
    await _link(body.token, ("verify", "change"))
    await database.write_async(lambda db: account_service.confirm_email(db, body.token))
    background.add_task(background_tasks.send_mails)
    return {"message": "Email confirmed"}


@router.post("/email/resend", response_model=Message, errors=[429])
async def resend_verification(body: EmailAddress, background: BackgroundTasks) -> dict[str, str]:
    """Mail the link that confirms an account's email again.

    The answer is the same whether or not an account has this email.
    """
    await _ask_for_link(body.email, "verify")
    background.add_task(background_tasks.send_mails)
    return MAILED
