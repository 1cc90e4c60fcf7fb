"""The pages `/docs` and `/redoc`. They load everything from this program, so they need no internet."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from html import escape
from importlib import resources
from pathlib import Path

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from web.root_path import root_of

STATIC = Path(__file__).parents[1] / "static"

EMPTY_STYLE = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
REDOC_STYLE = "sha256-QMIg+bpjm3JdElJ388KYke01izlUW0UoNOeKjpMxdgc="

POLICY = {
    "default-src": "'none'",
    "script-src": "'self'",
    # ReDoc searches in a worker whose script it makes in the browser.
    "worker-src": "blob:",
    # ReDoc fills empty style elements by script, and has one fixed style of its own.
    "style-src": f"'self' '{EMPTY_STYLE}' '{REDOC_STYLE}'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
DOCS_CSP = "; ".join(f"{directive} {sources}" for directive, sources in POLICY.items())

# ReDoc's footer shows its maker's logo from the maker's site; an empty picture takes its place.
REDOC_LOGO = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
EMPTY_PICTURE = b"data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="

# The address of an asset changes with its content, so browsers may keep the asset forever.
FOREVER = "public, max-age=31536000, immutable"

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" type="image/png" href="{assets}/favicon.png">
{styles}
<script src="{assets}/theme.js"></script>
</head>
<body>
<div id="docs" data-openapi-url="{openapi_url}"></div>
{scripts}
</body>
</html>
"""

JAVASCRIPT = "text/javascript; charset=utf-8"
CSS = "text/css; charset=utf-8"


@dataclass(frozen=True)
class Asset:
    content: bytes
    media_type: str


def add_docs_pages(app: FastAPI) -> None:
    """Serve the two pages and their files. The app must be made with `docs_url=None, redoc_url=None`."""
    assets = _load_assets()
    digest = hashlib.sha256(b"".join(asset.content for asset in assets.values())).hexdigest()[:16]
    assets_path = f"/docs/assets/{digest}"

    async def serve_asset(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        headers = {"Cache-Control": FOREVER, "X-Content-Type-Options": "nosniff"}
        return Response(asset.content, media_type=asset.media_type, headers=headers)

    def page(kind: str, styles: list[str], scripts: list[str]) -> Callable[[Request], Awaitable[Response]]:
        async def serve_page(request: Request) -> Response:
            # Absolute addresses, because the page answers with and without a trailing slash.
            root = root_of(request)
            base = escape(root + assets_path)
            html = PAGE.format(
                title=escape(f"{app.title} - {kind}"),
                assets=base,
                openapi_url=escape(f"{root}{app.openapi_url}"),
                styles="\n".join(f'<link rel="stylesheet" href="{base}/{name}">' for name in styles),
                scripts="\n".join(f'<script src="{base}/{name}"></script>' for name in scripts),
            )
            headers = {"Cache-Control": "no-cache", "Content-Security-Policy": DOCS_CSP}
            return HTMLResponse(html, headers=headers)

        return serve_page

    swagger = page("Swagger UI", ["swagger-ui.css", "page.css"], ["swagger-ui-bundle.js", "swagger-init.js"])
    redoc = page("ReDoc", ["page.css"], ["redoc.standalone.js", "redoc-init.js"])
    for path, endpoint in (("/docs", swagger), ("/redoc", redoc)):
        for either in (path, path + "/"):
            app.add_route(either, endpoint, include_in_schema=False)
    app.add_route(f"{assets_path}/{{name}}", serve_asset, include_in_schema=False)


def _load_assets() -> dict[str, Asset]:
    swagger = resources.files("fastapi_swagger.resources")
    redoc = (STATIC / "redoc" / "redoc.standalone.js").read_bytes().replace(REDOC_LOGO, EMPTY_PICTURE)
    return {
        "favicon.png": Asset((swagger / "favicon-32x32.png").read_bytes(), "image/png"),
        "swagger-ui.css": Asset((swagger / "swagger-ui.css").read_bytes(), CSS),
        "swagger-ui-bundle.js": Asset((swagger / "swagger-ui-bundle.js").read_bytes(), JAVASCRIPT),
        "swagger-init.js": Asset((STATIC / "docs" / "swagger-init.js").read_bytes(), JAVASCRIPT),
        "redoc.standalone.js": Asset(redoc, JAVASCRIPT),
        "redoc-init.js": Asset((STATIC / "docs" / "redoc-init.js").read_bytes(), JAVASCRIPT),
        "theme.js": Asset((STATIC / "docs" / "theme.js").read_bytes(), JAVASCRIPT),
        "page.css": Asset((STATIC / "docs" / "page.css").read_bytes(), CSS),
    }
