"""The program's own pages, which ask the API: plain files, with no build step and no other host."""

import hashlib
import re
from collections.abc import Awaitable, Callable, Iterator
from html import escape
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from routers.docs import CSS, FOREVER, JAVASCRIPT, STATIC, Asset

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self'",
    "connect-src": "'self'",
    "base-uri": "'none'",
    # The forms are sent by the page's script.
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
PAGES_CSP = "; ".join(f"{directive} {sources}" for directive, sources in POLICY.items())

PAGES = {"/dashboard": "dashboard", "/app": "app"}
FOLDERS = ("shared", "dashboard", "app")
MEDIA_TYPES = {".js": JAVASCRIPT, ".css": CSS, ".svg": "image/svg+xml"}
# What a script imports, by which a page knows what to load along with its first script.
IMPORT = re.compile(r"""from "(\.{1,2}/[^"]+)";""")


class Pages:
    """The pages and what they load, read once.

    The address of an asset changes with the content of any, because the scripts name one another.
    """

    def __init__(self) -> None:
        self._assets = dict(_read_assets())
        content = b"".join(asset.content for asset in self._assets.values())
        self.path = f"/assets/{hashlib.sha256(content).hexdigest()[:16]}"

    async def serve_asset(self, request: Request) -> Response:
        """Answer with a script, a style or a picture."""
        asset = self._assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": FOREVER})

    def page(self, folder: str) -> Callable[[Request], Awaitable[Response]]:
        """The endpoint of the page in a folder."""
        template = (STATIC / folder / "index.html").read_text(encoding="utf-8")
        loaded = sorted(self._imported(f"{folder}/main.js"))

        async def serve_page(request: Request) -> Response:
            root = request.scope.get("root_path", "").rstrip("/")
            assets = escape(root + self.path)
            preload = "\n".join(f'<link rel="modulepreload" href="{assets}/{name}">' for name in loaded)
            html = template.replace("{preload}", preload)
            html = html.replace("{assets}", assets).replace("{root}", escape(root))
            headers = {"Cache-Control": "no-cache", "Content-Security-Policy": PAGES_CSP}
            return HTMLResponse(html, headers=headers)

        return serve_page

    def _imported(self, name: str) -> set[str]:
        """The scripts that a script imports, and those that they import."""
        found: set[str] = set()
        waiting = [name]
        while waiting:
            at = Path(waiting.pop())
            for named in IMPORT.findall(self._assets[str(at)].content.decode()):
                other = _resolved(at.parent / named)
                if other not in found:
                    found.add(other)
                    waiting.append(other)
        return found


def _resolved(path: Path) -> str:
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            parts.pop()
        else:
            parts.append(part)
    return "/".join(parts)


def _read_assets() -> Iterator[tuple[str, Asset]]:
    for folder in FOLDERS:
        for path in sorted((STATIC / folder).iterdir()):
            if path.suffix in MEDIA_TYPES:
                yield f"{folder}/{path.name}", Asset(path.read_bytes(), MEDIA_TYPES[path.suffix])
    uplot = STATIC / "uplot"
    yield "uplot/uPlot.esm.js", Asset((uplot / "uPlot.esm.js").read_bytes(), JAVASCRIPT)
    yield "uplot/uPlot.min.css", Asset((uplot / "uPlot.min.css").read_bytes(), CSS)


def add_pages(app: FastAPI) -> None:
    """Serve the pages and all that they load."""
    pages = Pages()
    for path, folder in PAGES.items():
        for either in (path, path + "/"):
            app.add_route(either, pages.page(folder), include_in_schema=False)
    app.add_route(pages.path + "/{name:path}", pages.serve_asset, include_in_schema=False)
