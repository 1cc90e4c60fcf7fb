"""The time limit of a request, which its scope holds."""

import asyncio

from starlette.types import Scope

from config import settings

# The key of the request's time limit in its scope.
TIME_LIMIT = "task_platform.time_limit"


def begin(scope: Scope) -> asyncio.Timeout:
    """Give the request its time limit."""
    scope[TIME_LIMIT] = limit = asyncio.timeout(settings.request_timeout_seconds or None)
    return limit


def allow_waiting(scope: Scope, seconds: float) -> None:
    """Let the request take longer by the time for which its client asked it to wait."""
    limit: asyncio.Timeout = scope[TIME_LIMIT]
    if (ends_at := limit.when()) is not None:
        limit.reschedule(ends_at + seconds)


def begin_again(scope: Scope) -> None:
    """Let the request take the whole time once more, because it has done a part of its work for good."""
    limit: asyncio.Timeout = scope[TIME_LIMIT]
    if limit.when() is not None:
        limit.reschedule(asyncio.get_running_loop().time() + settings.request_timeout_seconds)
