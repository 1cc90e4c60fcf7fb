"""Health: whether the program can work, and the metrics that operators watch."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from config import settings
from database import database
from errors import AppError, DatabaseReadOnly, DatabaseUnavailable, ServiceUnavailable
from migrations.schema import is_newer, problem_of, revision_of
from services import analytics_service, completion_times
from services.background_tasks.analytics_tasks import ask_redis
from services.delivery import backlog
from services.delivery.mail_tasks import mail_pause
from services.notification_service import Backlog
from services.operations import metrics
from services.webhooks import backlog as webhook_backlog
from services.webhooks.backlog import WebhookBacklog
from storage.faults import fault_log
from storage.threads import Threads

# Longer than a refused connection takes in the pool's threads, and shorter than a probe waits.
PATIENCE_SECONDS = 4.0

_redis_probe = Threads(1, "redis-probe")


async def check_ready() -> dict[str, str]:
    """The state of all parts; raises ServiceUnavailable, which names the broken parts with their problems."""
    parts = {**await _database_parts(), **await _redis_part()}
    broken = [f"{part}: {state}" for part, state in parts.items() if state != "ok"]
    if broken:
        raise ServiceUnavailable("Not ready. " + "; ".join(broken), code="not_ready", retry_after=5)
    return parts


async def _database_parts() -> dict[str, str]:
    if database.is_sqlite and database.file.is_gone():
        return {"database": "the file was deleted or replaced: restart the servers"}
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            revision = await database.read_async(revision_of)
            problem = problem_of(revision)
            # This version serves until it is replaced, although a newer one has migrated the database.
            if problem and not is_newer(revision):
                return {"database": "ok", "schema": problem}
            waiting = await database.read_async(backlog.backlog)
            hooks = await database.read_async(webhook_backlog.backlog)
    except (AppError, TimeoutError):
        return {"database": "can't be reached"}
    return {
        "database": await _writing(),
        "schema": "ok",
        "delivery": _delivery(waiting),
        "webhooks": _webhooks(hooks),
    }


async def _writing() -> str:
    """Whether the database accepts changes. A busy database counts as "ok"."""
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            try:
                await database.write_async(database.look_whether_writable)
            except DatabaseReadOnly as error:
                fault_log.add(error)
                return "read-only"
            except DatabaseUnavailable:
                pass
    if database.is_nearly_full():
        return "the disk is full"
    return "ok"


def _delivery(waiting: Backlog) -> str:
    """Whether due notifications and mails are sent in time. A mail server that is down does not count.

    Digests do not count either, because all those of a day are due at the same moment.
    """
    for state in ("waiting", "mail", "account_mail"):
        late = _seconds_late(waiting, state)
        if late > settings.delivery_behind_seconds and not (state != "waiting" and mail_pause.failures):
            return f"behind by {late:.0f} seconds"
    return "ok"


def _webhooks(waiting: WebhookBacklog) -> str:
    """Whether working receivers are served in time."""
    late = _seconds_since(waiting.due_at)
    return f"behind by {late:.0f} seconds" if late > settings.delivery_behind_seconds else "ok"


def _seconds_since(due: datetime | None) -> float:
    return max(0.0, (datetime.now(UTC) - due).total_seconds()) if due is not None else 0.0


def _seconds_late(waiting: Backlog, state: str) -> float:
    return _seconds_since(waiting[state][1]) if state in waiting else 0.0


async def _redis_part() -> dict[str, str]:
    url = settings.redis_url
    if not url:
        return {}
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await _redis_probe.run(lambda: ask_redis(url, lambda client: client.ping()))
    except OSError:  # A TimeoutError is one too.
        return {"redis": "can't be reached"}
    return {"redis": "ok"}


async def metrics_page() -> str:
    """The counts of this process and of the database, in the text format of Prometheus."""
    page, own = metrics.Page(), {"process": metrics.process_name()}
    _add_process(page, own)
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            counts, waiting, hooks = await database.read_async(_stored)
    except (AppError, TimeoutError):
        page.add("database_up", "gauge", "Whether the database answers.", [(own, 0)])
        return page.text()
    page.add("database_up", "gauge", "Whether the database answers.", [(own, 1)])
    # These figures are the same in every process: read them from one process, and do not sum them.
    page.add(
        "tasks",
        "gauge",
        "Tasks of all accounts, by status.",
        [({"status": status}, count) for status, count in counts.items()],
    )
    _add_outbox(page, waiting)
    _add_webhooks(page, hooks)
    return page.text()


def _add_process(page: metrics.Page, own: metrics.Labels) -> None:
    """Add the counts of this process, which have the label of the process."""
    page.add_requests(metrics.requests)
    page.add(
        "failed_logins_total",
        "counter",
        "Logins with a wrong name or password.",
        [(own, metrics.requests.answered.get(("POST", "/auth/login", 401), 0))],
    )
    kept = completion_times.kept
    page.add(
        "cache_reads_total",
        "counter",
        "Reads of figures that were computed already (hit), and of figures that were not (miss).",
        [({"result": "hit", **own}, kept.hits), ({"result": "miss", **own}, kept.misses)],
    )
    page.add(
        "mail_server_failures",
        "gauge",
        "Failed attempts in a row to reach the mail server.",
        [(own, mail_pause.failures)],
    )


def _add_outbox(page: metrics.Page, waiting: Backlog) -> None:
    states = ("waiting", "mail", "digest", "account_mail", "failed")
    page.add(
        "outbox_notifications",
        "gauge",
        "Undelivered notifications and mails about accounts, by state.",
        [({"state": state}, waiting[state][0] if state in waiting else 0) for state in states],
    )
    page.add(
        "outbox_oldest_seconds",
        "gauge",
        "Seconds since the oldest of them was due.",
        [({"state": state}, round(_seconds_late(waiting, state), 3)) for state in states[:-1]],
    )


def _add_webhooks(page: metrics.Page, hooks: WebhookBacklog) -> None:
    page.add(
        "webhooks",
        "gauge",
        "Webhooks that are enabled, and webhooks that the program disabled because their receivers failed.",
        [({"state": "on"}, hooks.enabled), ({"state": "switched_off"}, hooks.switched_off)],
    )
    page.add(
        "webhook_deliveries",
        "gauge",
        "Deliveries to webhooks that wait, and deliveries that were given up.",
        [({"state": "waiting"}, hooks.waiting), ({"state": "failed"}, hooks.failed)],
    )
    page.add(
        "webhook_oldest_seconds",
        "gauge",
        "Seconds for which a working receiver has waited to be served.",
        [({}, round(_seconds_since(hooks.due_at), 3))],
    )


def _stored(db: Session) -> tuple[dict[str, int], Backlog, WebhookBacklog]:
    return analytics_service.get_task_counts(db), backlog.backlog(db), webhook_backlog.backlog(db)
