"""Work after a response, and four functions that only programs of the roadmap call from here.

Such programs call `send_task_notification`, `process_task_assignment` and `send_task_completion_email` here, and
`update_analytics_cache` from outside.

FastAPI's BackgroundTasks call `after_change`, which only wakes a thread. The thread does the work of many requests at
once: it delivers notifications and refreshes caches. Notifications were written in the request's own transaction, so
that none is lost with the process: any process finds them. Mail has a thread of its own, and so has work by the clock.
"""

import time

from config import settings
from database import database
from services.background_tasks.analytics_tasks import Refresher, update_analytics_cache
from services.background_tasks.retention_tasks import hourly_round
from services.delivery.mail_tasks import deliver_mails, mail_pause
from services.delivery.notification_mails import send_task_completion_email
from services.delivery.notification_tasks import (
    deliver_notifications,
    process_task_assignment,
    send_task_notification,
)
from services.delivery.reminder_tasks import remind
from services.delivery.worker import Worker
from services.lists import search_index
from services.webhooks.delivery import deliveries

__all__ = [
    "after_change",
    "after_many_changes",
    "after_webhook_change",
    "begin_to_stop",
    "process_task_assignment",
    "send_mails",
    "send_task_completion_email",
    "send_task_notification",
    "start",
    "stop",
    "update_analytics_cache",
]

# Several requests share one round in this time; no one waits for a line in the log.
PAUSE_SECONDS = 0.25
# The times that a request's background task waits for the work that it began, and then for mails. It waits
# only if a test's client looks at the results.
PATIENCE_SECONDS = 5.0
MAIL_PATIENCE_SECONDS = 1.0
# Work for this few accounts is done at once.
FEW_ACCOUNTS = 3
REMIND_SECONDS = 30.0
ROUND_SECONDS = 3600.0
# A few new titles are found without the index, so indexing them can wait.
TITLES_SECONDS = 20.0

_refresher = Refresher()
# Without a lifespan no worker wakes by itself.
_is_waited_for = True


def _tell_and_refresh(user_ids: set[int]) -> float | None:
    # The accounts are noted before anything can fail.
    _refresher.add(user_ids)
    recipients, has_mail = deliver_notifications()
    if has_mail:
        _mails.wake()
    # Recipients that a dead process left behind: their entries were not refreshed either.
    _refresher.add(recipients)
    return _refresher.refresh(at_once=_is_waited_for or len(user_ids) <= FEW_ACCOUNTS)


def _send(_user_ids: set[int]) -> None:
    deliver_mails(_mails.ending)


def _index_titles(_user_ids: set[int]) -> None:
    while database.read(search_index.waits):
        database.write(search_index.index_titles)


def _by_the_clock(_user_ids: set[int]) -> None:
    global _last_round_at  # noqa: PLW0603  # there is one clock
    if remind():
        _notifications.wake()
    if time.monotonic() - _last_round_at >= ROUND_SECONDS:
        _last_round_at = time.monotonic()
        hourly_round()


_last_round_at = -ROUND_SECONDS
_titles = Worker("titles", _index_titles)
_notifications = Worker("notifications", _tell_and_refresh)
_mails = Worker("mails", _send)
_clock = Worker("clock", _by_the_clock)
_workers = (_clock, _notifications, _mails, _titles)


async def after_change(*user_ids: int) -> None:
    """Deliver notifications and refresh caches after a change of these accounts' tasks."""
    deliveries.notice()
    if not _is_waited_for:
        _notifications.wake(*user_ids)
        return
    await _notifications.work(*user_ids, patience=PATIENCE_SECONDS)
    if settings.smtp_server:
        await _mails.work(patience=MAIL_PATIENCE_SECONDS)


async def after_many_changes(*user_ids: int) -> None:
    """Do the work after an import, a batch or a change by a filter: that of any change, and indexing the new titles."""
    _titles.wake()
    await after_change(*user_ids)


async def after_webhook_change() -> None:
    """Deliver webhooks, after a change of a webhook or a request for a delivery."""
    deliveries.wake()


async def send_mails() -> None:
    """Send due mails."""
    if _is_waited_for:
        await _mails.work(patience=MAIL_PATIENCE_SECONDS)
    else:
        _mails.wake()


def start(*, is_waited_for: bool) -> None:
    """Deliver due work by the clock from now on, beginning with the work that an earlier process left.

    `is_waited_for` says that a test's client looks at the results as soon as the answer is there.
    """
    global _is_waited_for  # noqa: PLW0603  # as the workers are
    _is_waited_for = is_waited_for
    for worker in (_notifications, _mails):
        worker.keep_running(settings.delivery_poll_seconds, 0.0 if is_waited_for else PAUSE_SECONDS)
    _titles.keep_running(TITLES_SECONDS, PAUSE_SECONDS)
    _clock.keep_running(REMIND_SECONDS)
    if settings.webhook_delivery:
        deliveries.start(in_process=is_waited_for)


def begin_to_stop() -> None:
    """Take up no new mails and deliveries. A signal handler may call this: it waits for nothing."""
    _mails.ending.set()
    deliveries.begin_to_stop()


def stop() -> None:
    """Finish the deliveries in progress and end; the next process takes up the rest."""
    global _is_waited_for  # noqa: PLW0603
    deliveries.stop()
    for worker in _workers:
        worker.stop()
    _refresher.forget()
    mail_pause.end()
    _is_waited_for = True
