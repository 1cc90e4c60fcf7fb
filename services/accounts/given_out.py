"""What lets somebody in without the password: all of it ends when the password is set anew."""

from typing import Any

from sqlalchemy import bindparam, delete, update
from sqlalchemy.orm import Session

from account_models import known_addresses, program_tokens
from models import users
from services.accounts import account_mail
from services.accounts import attempt as attempt_service
from services.accounts import session as session_service

_NEXT_VERSION = (
    update(users)
    .where(users.c.id == bindparam("of_user"))
    .values(credentials_version=users.c.credentials_version + 1)
)
_DROP_TOKENS = delete(program_tokens).where(program_tokens.c.user_id == bindparam("of_user"))
_FORGET_ADDRESSES = delete(known_addresses).where(known_addresses.c.user_id == bindparam("of_user"))


def end_everything_given_out(db: Session, user_id: int, *, but: int | None = None) -> dict[str, int]:
    """End an account's sessions, all or `but` one, its programs' tokens, mailed links and shared addresses; how many.

    Whoever had the old password may have made them, and be at an address that is known. The account is locked first:
    what is being made at the same time, as `session.hold` has it, is there to be ended or is refused.
    """
    db.execute(_NEXT_VERSION, {"of_user": user_id})
    account_mail.drop_links(db, user_id)
    ended = session_service.end_all(db, user_id, but=but)
    tokens: Any = db.execute(_DROP_TOKENS, {"of_user": user_id})
    db.execute(_FORGET_ADDRESSES, {"of_user": user_id})
    attempt_service.know_address(db, user_id)
    return {"sessions_ended": ended, "tokens_ended": tokens.rowcount}
