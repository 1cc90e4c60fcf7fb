"""The two pages that links in mails open. Each has a form that calls the API."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

FOLDER = Path(__file__).parents[1] / "static" / "account"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
FILES = {
    "/reset-password": ("reset-password.html", "text/html; charset=utf-8"),
    "/verify-email": ("verify-email.html", "text/html; charset=utf-8"),
    "/account/account.js": ("account.js", "text/javascript; charset=utf-8"),
    "/account/account.css": ("account.css", "text/css; charset=utf-8"),
}


def add_account_pages(app: FastAPI) -> None:
    """Serve the pages and their files. They are used if `PUBLIC_URL` is the address of this program."""
    for path, (name, media_type) in FILES.items():
        app.add_route(path, _file((FOLDER / name).read_bytes(), media_type), include_in_schema=False)


def _file(content: bytes, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    async def serve(_request: Request) -> Response:
        headers = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}
        return Response(content, media_type=media_type, headers=headers)

    return serve
