"""Sessions, tokens and links give access without the password: all of them end when the password is set."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import bindparam, delete, update
from sqlalchemy.orm import Session

from account_models import known_addresses, program_tokens
from models import users
from services.accounts import account_mail
from services.accounts import attempt as attempt_service
from services.accounts import session as session_service
from tables.views import calendars
from tables.webhooks import webhooks

_NEXT_VERSION = (
    update(users)
    .where(users.c.id == bindparam("of_user"))
    .values(credentials_version=users.c.credentials_version + 1)
)
_DROP_TOKENS = delete(program_tokens).where(program_tokens.c.user_id == bindparam("of_user"))
_DROP_CALENDARS = delete(calendars).where(calendars.c.user_id == bindparam("of_user"))
_SWITCH_OFF = (
    update(webhooks)
    .where(webhooks.c.user_id == bindparam("of_user"), webhooks.c.enabled)
    .values(enabled=False, version=webhooks.c.version + 1, updated_at=bindparam("now"))
)
_FORGET_ADDRESSES = delete(known_addresses).where(known_addresses.c.user_id == bindparam("of_user"))


def end_everything_given_out(db: Session, user_id: int, *, but: int | None = None) -> dict[str, int]:
    """End an account's sessions (all, or all `but` one), tokens and links; forget its known addresses.

    A thief of the old password may have made them, and may be at a known address. Webhooks are switched off
    for the same reason: their owner finds them, switches the good ones on and replays what happened meanwhile.
    The account is locked first. A session or token that is being made at the same time (see `session.hold`) is
    then either ended here or refused. Returns the numbers of what was ended.
    """
    db.execute(_NEXT_VERSION, {"of_user": user_id})
    account_mail.drop_links(db, user_id)
    ended = session_service.end_all(db, user_id, but=but)
    tokens: Any = db.execute(_DROP_TOKENS, {"of_user": user_id})
    db.execute(_DROP_CALENDARS, {"of_user": user_id})
    hooks: Any = db.execute(_SWITCH_OFF, {"of_user": user_id, "now": datetime.now(UTC)})
    db.execute(_FORGET_ADDRESSES, {"of_user": user_id})
    attempt_service.know_address(db, user_id)
    return {
        "sessions_ended": ended,
        "tokens_ended": tokens.rowcount,
        "webhooks_switched_off": hooks.rowcount,
    }
