"""Logins on the program's own pages. A cookie that no script can read keeps all tabs logged in.

A page of another origin can't use the cookie. Browsers send the cookie only with requests from this site
(`SameSite=Strict`) and only below one path. The endpoints take only JSON, which a page of another origin may
not send without permission. A request that its browser marks as coming from another site is refused.
"""

from typing import Any

from fastapi import Depends, Request, Response

from config import settings
from database import database
from errors import Forbidden, NotAuthenticated
from routers.auth import check_and_start
from schemas.common import Message
from schemas.page_sessions import PageLogin, PageRequest, PageToken
from services.accounts import attempt as attempt_service
from services.accounts import page_session as page_session_service
from services.accounts import session as session_service
from services.accounts.session import Issued
from web.root_path import root_of
from web.routing import Router

COOKIE = "task_platform_session"
PATH = "/auth/page"
# The cookie itself says that the login is remembered, so that a renewal keeps it remembered.
REMEMBERED = "remembered."


def _own_pages_only(request: Request) -> None:
    """Raise Forbidden if the browser says that the request comes from another site."""
    if request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        raise Forbidden("This is for the program's own pages", code="other_origin")


router = Router(prefix=PATH, tags=["auth"], dependencies=[Depends(_own_pages_only)])


def _cookie_options(request: Request) -> dict[str, Any]:
    root = root_of(request)
    is_secure = request.url.scheme == "https" or settings.public_url.startswith("https://")
    return {"path": root + PATH, "secure": is_secure, "httponly": True, "samesite": "strict"}


def _held(request: Request) -> tuple[str, bool]:
    """The token in the cookie, and whether the login is remembered."""
    value = request.cookies.get(COOKIE, "")
    return value.removeprefix(REMEMBERED), value.startswith(REMEMBERED)


def _answer(request: Request, response: Response, issued: Issued, *, remember: bool) -> dict[str, Any]:
    answer = session_service.as_tokens(issued)
    token = answer.pop("refresh_token")
    response.set_cookie(
        COOKIE,
        REMEMBERED + token if remember else token,
        max_age=answer["refresh_expires_in"] if remember else None,
        **_cookie_options(request),
    )
    return answer


@router.post("/login", response_model=PageToken, errors=[401, 403, 429])
async def page_login(request: Request, response: Response, body: PageLogin) -> dict[str, Any]:
    """Log in on a page of this program.

    Programs use `POST /auth/login`. Here the refresh token is in a cookie that scripts can't read.
    """
    issued = await check_and_start(body.username, body.password, for_cookie=True)
    before, _ = _held(request)
    if before:
        await database.write_async(lambda db: page_session_service.end(db, before))
    return _answer(request, response, issued, remember=body.remember)


@router.post("/token", response_model=PageToken, errors=[401, 403, 429])
async def page_token(request: Request, response: Response, body: PageRequest) -> dict[str, Any]:
    """Exchange the cookie of a browser for an access token, for a page of this program."""
    token, remember = _held(request)
    outcome = await database.write_async(lambda db: page_session_service.renew(db, token)) if token else 0
    if isinstance(outcome, int):
        if outcome:
            raise attempt_service.too_many(outcome)
        raise NotAuthenticated("Nobody is logged in with this browser", code="not_logged_in")
    return _answer(request, response, outcome, remember=remember)


@router.post("/logout", response_model=Message, errors=[403])
async def page_logout(request: Request, response: Response, body: PageRequest) -> dict[str, str]:
    """End the session of this browser, and delete its cookie."""
    token, _ = _held(request)
    if token:
        await database.write_async(lambda db: page_session_service.end(db, token))
    response.delete_cookie(COOKIE, **_cookie_options(request))
    return {"message": "Logged out"}
