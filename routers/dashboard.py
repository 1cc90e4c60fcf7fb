"""`/dashboard`: a page of the program's own that asks the API, with no build step and no other host."""

import hashlib
from html import escape

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
DASHBOARD_CSP = "; ".join(f"{directive} {sources}" for directive, sources in POLICY.items())

FOLDER = STATIC / "dashboard"
SCRIPTS = ("main.js", "api.js", "charts.js", "dom.js", "plot.js", "state.js")


def add_dashboard(app: FastAPI) -> None:
    """Serve the page and all that it loads."""
    assets = _load_assets()
    # The address of an asset changes with the content of any, for the scripts name one another.
    digest = hashlib.sha256(b"".join(asset.content for asset in assets.values())).hexdigest()[:16]
    path = f"/dashboard/assets/{digest}"
    page = (FOLDER / "index.html").read_text(encoding="utf-8")

    async def serve_asset(request: Request) -> Response:
        asset = assets.get(request.path_params["name"])
        if asset is None:
            raise HTTPException(404)
        return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": FOREVER})

    async def serve_page(request: Request) -> Response:
        root = request.scope.get("root_path", "").rstrip("/")
        html = page.replace("{assets}", escape(root + path)).replace("{root}", escape(root))
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": DASHBOARD_CSP}
        return HTMLResponse(html, headers=headers)

    for either in ("/dashboard", "/dashboard/"):
        app.add_route(either, serve_page, include_in_schema=False)
    app.add_route(f"{path}/{{name}}", serve_asset, include_in_schema=False)


def _load_assets() -> dict[str, Asset]:
    uplot = STATIC / "uplot"
    assets = {name: Asset((FOLDER / name).read_bytes(), JAVASCRIPT) for name in SCRIPTS}
    return assets | {
        "uplot.js": Asset((uplot / "uPlot.esm.js").read_bytes(), JAVASCRIPT),
        "uplot.css": Asset((uplot / "uPlot.min.css").read_bytes(), CSS),
        "dashboard.css": Asset((FOLDER / "dashboard.css").read_bytes(), CSS),
        "icon.svg": Asset((FOLDER / "icon.svg").read_bytes(), "image/svg+xml"),
    }
