"""What happens after a response: caches are refreshed, people are told.

FastAPI's BackgroundTasks call `after_change`. It only wakes one worker thread, which does the work of
many requests at once; what is to be told was written in the request's own transaction, so that nothing
is lost with the process.
"""

from services.background_tasks.analytics_tasks import update_analytics_cache
from services.background_tasks.email_tasks import send_task_completion_email
from services.background_tasks.notification_tasks import process_task_assignment, send_task_notification
from services.background_tasks.worker import after_change, worker

__all__ = [
    "after_change",
    "process_task_assignment",
    "send_task_completion_email",
    "send_task_notification",
    "update_analytics_cache",
    "worker",
]
