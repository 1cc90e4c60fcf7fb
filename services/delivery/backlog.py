"""The backlog of all mail: notifications and mails about accounts, which have tables of their own."""

from sqlalchemy.orm import Session

from services import notification_service
from services.accounts import account_mail
from services.notification_service import Backlog


def backlog(db: Session) -> Backlog:
    """Count the undelivered notifications by state, and mails as `account_mail` or `failed`."""
    about_accounts = account_mail.backlog(db)
    waiting = notification_service.backlog(db)
    waiting["account_mail"] = (about_accounts.waiting, about_accounts.due_at)
    failed, _ = waiting["failed"]
    waiting["failed"] = (failed + about_accounts.failed, None)
    return waiting


def retry_failed(db: Session, notification_id: int | None = None) -> int:
    """Send failed mails again, all of them or those of one notification; returns their number."""
    retried = notification_service.retry_failed(db, notification_id)
    # The id is the id of a notification, and a mail about an account may have the same id.
    return retried if notification_id is not None else retried + account_mail.retry_failed(db)
