"""All that goes out by mail: notifications and mails about accounts, which wait in tables of their own."""

from sqlalchemy.orm import Session

from services import account_mail, notification_service


def retry_failed(db: Session, notification_id: int | None = None) -> int:
    """Have what was given up sent again, all or one notification; how many."""
    retried = notification_service.retry_failed(db, notification_id)
    # The number names a notification; a mail about an account may have the same.
    return retried if notification_id is not None else retried + account_mail.retry_failed(db)
