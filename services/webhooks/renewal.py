"""Encrypting the secrets of webhooks by a new `SECRET_KEY`, while the one before is still set."""

from sqlalchemy import bindparam, select, update
from sqlalchemy.orm import Session

from config import settings
from database import database
from services.webhooks import secret as secrets
from webhook_models import webhooks

_SECRETS = select(webhooks.c.id, webhooks.c.secret, webhooks.c.previous_secret).order_by(webhooks.c.id)
_LOCKED = _SECRETS.where(webhooks.c.id == bindparam("webhook_id")).with_for_update()
_WRITE = (
    update(webhooks)
    .where(webhooks.c.id == bindparam("of_webhook"))
    .values(secret=bindparam("new_secret"), previous_secret=bindparam("new_previous"))
)


def renew_secrets() -> None:
    """Encrypt again what needs `SECRET_KEY_PREVIOUS`, so that it can be taken away."""
    if settings.secret_key_previous is None:
        return
    for row in database.read(lambda db: list(db.execute(_SECRETS))):
        if not all(map(secrets.is_of_current_key, filter(None, (row.secret, row.previous_secret)))):
            database.write(lambda db, webhook_id=row.id: _renew(db, webhook_id))  # type: ignore[misc]


def _renew(db: Session, webhook_id: int) -> None:
    row = db.execute(_LOCKED, {"webhook_id": webhook_id}).first()
    if row is None:
        return
    try:
        renewed = {
            "new_secret": secrets.encrypt(secrets.decrypt(row.secret)),
            "new_previous": row.previous_secret and secrets.encrypt(secrets.decrypt(row.previous_secret)),
        }
    except secrets.SecretUnreadableError:
        return
    db.execute(_WRITE, {"of_webhook": webhook_id, **renewed})
