"""The program: `uvicorn main:app`."""

from web import garbage

# isort: split
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from config import settings, settings_warnings
from database import database
from logging_config import access_lines, logger, setup_logging
from migrations.schema import check_schema, check_writable
from routers import (
    account,
    analytics,
    audit,
    auth,
    bulk,
    calendars,
    comments,
    events,
    flow,
    notifications,
    page_sessions,
    program_tokens,
    projects,
    system,
    tasks,
    transfer,
    users,
    views,
    webhooks,
)
from routers.docs import add_docs_pages
from routers.guide import add_guide
from routers.pages import add_pages
from services import background_tasks
from web import shutdown
from web.access_log import AccessLog, access_log
from web.arrival import bound_arrival
from web.limits import HostCheck, RateLimit
from web.middleware import RequestMiddleware
from web.openapi.document import DESCRIPTION, TAGS, install_openapi
from web.problems import install_error_handlers
from web.route_index import RouteIndex
from web.strict_input import StrictRoute
from web.transaction import Application

# The headers that pages of other origins may send and read, if `CORS_ORIGINS` allows these origins.
REQUEST_HEADERS = [
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "X-Request-ID",
]
RESPONSE_HEADERS = [
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-ID",
    "X-Total-Count",
]

ROUTERS = (
    tasks.router,
    transfer.router,
    comments.router,
    projects.router,
    bulk.router,
    views.router,
    calendars.router,
    analytics.router,
    flow.router,
    events.router,
    webhooks.router,
    notifications.router,
    auth.router,
    page_sessions.router,
    account.router,
    program_tokens.router,
    users.router,
    audit.router,
    system.router(settings),
)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Refuse to start if the program can't work. At the end, finish the work that was begun."""
    # Problems that will not go away by themselves stop the start now, each with one line.
    settings.signing_key()
    check_schema()
    check_writable()
    garbage.exempt_the_start()
    with shutdown.in_time(), shutdown.with_parent():
        # A server runs this code in the main thread; a test client runs it in another thread.
        is_test = threading.current_thread() is not threading.main_thread()
        background_tasks.start(is_waited_for=is_test)
        yield
        background_tasks.stop()
        database.close()
        access_log.write()


def _add_middleware(app: FastAPI) -> None:
    """Add the middleware from the inside out: each one wraps those before it."""
    if settings.rate_limit_per_minute:
        app.add_middleware(RateLimit, per_minute=settings.rate_limit_per_minute)
    if settings.allowed_hosts:
        app.add_middleware(HostCheck, hosts=settings.allowed_hosts)
    outermost: dict[str, Any] = {}
    if settings.cors_origins:
        rules: dict[str, Any] = {
            "allow_origins": settings.cors_origins,
            "allow_methods": ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"],
            "allow_headers": REQUEST_HEADERS,
            "expose_headers": RESPONSE_HEADERS,
        }
        app.add_middleware(CORSMiddleware, **rules)
        outermost["opened"] = partial(CORSMiddleware, **rules)
    app.add_middleware(RequestMiddleware, **outermost)
    if access_lines.wanted:
        app.add_middleware(AccessLog)


def create_app() -> FastAPI:
    """Put the program together. Resources that a request needs are opened by the first request, not here."""
    setup_logging()
    bound_arrival()
    for warning in settings_warnings():
        logger.warning(warning)
    app = Application(
        title="Task Platform",
        version="1.0.0",
        summary="A task API with flow analytics",
        description=DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    _add_middleware(app)
    install_error_handlers(app)
    for router in ROUTERS:
        # Added directly, because `include_router` supports nested prefixes, which are not needed and cost
        # time.
        app.router.routes.extend(router.routes)
    add_docs_pages(app)
    add_pages(app)
    add_guide(app)
    strict = [route for route in app.routes if isinstance(route, StrictRoute)]
    app.router.middleware_stack = RouteIndex(strict, otherwise=app.router.middleware_stack)
    install_openapi(app)
    return app


app = create_app()
