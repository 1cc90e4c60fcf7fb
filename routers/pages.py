"""The program's own pages, which call the API. They are plain files, without a build step or other hosts."""

import hashlib
import json
import posixpath
import re
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from html import escape

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from routers.docs import CSS, FOREVER, JAVASCRIPT, STATIC, Asset
from services.query.fields import FIELDS
from web.root_path import root_of

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    # Scripts send the forms.
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
PAGES_CSP = "; ".join(f"{directive} {sources}" for directive, sources in POLICY.items())

PAGES = {
    "/dashboard": ("dashboard", "index.html"),
    "/app": ("app", "index.html"),
    # Links in mails open these two, if `PUBLIC_URL` is the address of this program.
    "/reset-password": ("account", "reset-password.html"),
    "/verify-email": ("account", "verify-email.html"),
}
FOLDERS = ("shared", "dashboard", "app", "account", "home")
MEDIA_TYPES = {".js": JAVASCRIPT, ".css": CSS, ".svg": "image/svg+xml"}
# The imports of a script, which tell a page what to load along with its first script.
IMPORT = re.compile(r"""from "(\.{1,2}/[^"]+)";""")


class Pages:
    """The pages and their files, read once.

    The addresses of all assets change when any asset changes, because scripts name one another.
    """

    def __init__(self) -> None:
        self._assets = dict(_read_assets())
        content = b"".join(asset.content for asset in self._assets.values())
        self.path = f"/assets/{hashlib.sha256(content).hexdigest()[:16]}"
        self._html = {folder: self._read_html(folder) for folder in FOLDERS if folder != "shared"}

    async def serve_asset(self, request: Request) -> Response:
        """Answer with a script, a style or a picture."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": FOREVER})

    async def serve_icon(self, _request: Request) -> Response:
        """Answer with the icon, at the path where browsers look for it."""
        icon = self._assets["shared/icon.svg"]
        return Response(icon.content, media_type=icon.media_type, headers={"Cache-Control": "max-age=86400"})

    def page(self, folder: str, name: str) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint that serves a page of a folder."""

        async def serve_page(request: Request) -> Response:
            return self.answer(request, folder, name)

        return serve_page

    def answer(self, request: Request, folder: str, name: str, *, notice: str = "") -> Response:
        """A page of a folder, with the file `notice` of the folder at the place for it, if one is named."""
        root = root_of(request)
        html = self._html[folder][name]
        html = html.replace("{notice}", self._html[folder][notice] if notice else "")
        html = html.replace("{assets}", escape(root + self.path)).replace("{root}", escape(root))
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGES_CSP}
        return HTMLResponse(html, headers=headers)

    def _read_html(self, folder: str) -> dict[str, str]:
        loaded = sorted(self._imported(f"{folder}/main.js"))
        preload = "\n".join(f'<link rel="modulepreload" href="{{assets}}/{name}">' for name in loaded)
        return {
            path.name: path.read_text(encoding="utf-8").replace("{preload}", preload)
            for path in (STATIC / folder).glob("*.html")
        }

    def _imported(self, name: str) -> set[str]:
        """All scripts that a script imports, directly or through other scripts."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            at = waiting.pop()
            for named in IMPORT.findall(self._assets[at].content.decode()):
                other = posixpath.normpath(posixpath.join(posixpath.dirname(at), named))
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found


def _read_assets() -> Iterator[tuple[str, Asset]]:
    for folder in FOLDERS:
        for path in sorted((STATIC / folder).iterdir()):
            if path.suffix in MEDIA_TYPES:
                yield f"{folder}/{path.name}", Asset(path.read_bytes(), MEDIA_TYPES[path.suffix])
    # The fields of the filter language, so that a page can complete them.
    fields = {
        field.name: {"kind": field.kind, "operators": field.operators, "choices": field.choices}
        for field in FIELDS.values()
    }
    yield (
        "shared/filter-fields.js",
        Asset(f"export const FIELDS = {json.dumps(fields)};\n".encode(), JAVASCRIPT),
    )
    uplot = STATIC / "uplot"
    yield "uplot/uPlot.esm.js", Asset((uplot / "uPlot.esm.js").read_bytes(), JAVASCRIPT)
    yield "uplot/uPlot.min.css", Asset((uplot / "uPlot.min.css").read_bytes(), CSS)


@cache
def load_pages() -> Pages:
    """The pages, read at the start."""
    return Pages()


def home(request: Request, *, has_admin: bool) -> Response:
    """The page at `/`, with links to the others and, without an admin, a note on creating one."""
    return load_pages().answer(request, "home", "index.html", notice="" if has_admin else "no-admin.html")


def add_pages(app: FastAPI) -> None:
    """Serve the pages and their files."""
    pages = load_pages()
    for path, (folder, name) in PAGES.items():
        for either in (path, path + "/"):
            app.add_route(either, pages.page(folder, name), include_in_schema=False)
    app.add_route("/favicon.ico", pages.serve_icon, include_in_schema=False)
    app.add_route(pages.path + "/{name:path}", pages.serve_asset, include_in_schema=False)
