"""The program itself: is it alive, is it ready, and its metrics."""

import asyncio
import hmac
from typing import Any

from fastapi import BackgroundTasks, Request, Response
from fastapi.responses import PlainTextResponse

import auth
from config import Settings
from database import database
from errors import Forbidden, NotAuthenticated
from logging_config import logger
from request_context import is_within
from routers import pages
from schemas.common import Message, Ready
from schemas.tasks import SampleTask
from services.accounts import user as user_service
from services.operations import health
from services.operations.metrics import CONTENT_TYPE
from web.negotiation import HTML, prefers_html
from web.routing import Router

SLOW_SECONDS = 5.0


async def _slow_task(message: str) -> None:
    """Wait five seconds without holding a thread."""
    logger.info("Background task started: %s", message)
    await asyncio.sleep(SLOW_SECONDS)
    logger.info("Background task completed: %s", message)


def _check_may_read_metrics(request: Request, settings: Settings) -> None:
    """Raise NotAuthenticated or Forbidden for a caller that may not read the metrics."""
    if settings.metrics_token is not None:
        token = auth.bearer_token(request) or ""
        if not hmac.compare_digest(token.encode(), settings.metrics_token.get_secret_value().encode()):
            raise NotAuthenticated("Send the token of METRICS_TOKEN as `Authorization: Bearer ...`")
        return
    # A forwarded request may come from anywhere, so the proxy's address says nothing about it.
    forwarded = "x-forwarded-for" in request.headers or "forwarded" in request.headers
    if forwarded or not is_within(request.client.host if request.client else "", settings.metrics_allowed):
        raise Forbidden("Metrics are closed to this address: see METRICS_TOKEN and METRICS_ALLOWED")


def router(settings: Settings) -> Router:
    """The endpoints of the program itself. Some exist only outside production."""
    system = Router(tags=["system"])

    @system.get(
        "/", response_model=Message, responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}}
    )
    async def read_root(request: Request, response: Response) -> Any:
        """Confirm that the API is running; a browser gets a page of links."""
        if prefers_html(request):
            has_admin = await database.read_async(user_service.has_admin, on_loop=True)
            page = pages.home(request, has_admin=has_admin)
            page.headers["Vary"] = "Accept"
            return page
        response.headers["Vary"] = "Accept"
        return {"message": "Task API is running"}

    @system.get("/sample-task", response_model=SampleTask)
    async def read_sample_task() -> dict[str, Any]:
        """Get the smallest possible task."""
        return {"title": "Sample Task", "status": "pending"}

    @system.get("/health", response_model=Message)
    async def read_health() -> dict[str, str]:
        """Confirm that the process is alive."""
        return {"message": "ok"}

    @system.get("/ready", response_model=Ready, errors=[503])
    async def read_ready() -> dict[str, Any]:
        """Check whether the program can work. A 503 says which part can't, and why."""
        return {"parts": await health.check_ready()}

    @system.get("/metrics", response_class=PlainTextResponse, errors=[401, 403])
    async def read_metrics(request: Request) -> Response:
        """Get metrics in the text format of Prometheus.

        A caller needs the bearer token of `METRICS_TOKEN` or, if that is not set, an address of
        `METRICS_ALLOWED`.
        """
        _check_may_read_metrics(request, settings)
        return Response(await health.metrics_page(), media_type=CONTENT_TYPE)

    if not settings.is_production:

        @system.post("/test-background", response_model=Message)
        async def test_background(background: BackgroundTasks) -> dict[str, str]:
            """Start a background task of five seconds. The endpoint exists only outside production."""
            background.add_task(_slow_task, "Test message")
            return {"message": "Background task started"}

    return system
