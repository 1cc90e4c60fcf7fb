"""Registering: the attempt is counted before anything is looked up, and taken back if an account is made."""

import math
from datetime import UTC, datetime
from typing import NamedTuple

from sqlalchemy.orm import Session

from config import settings
from database import AnyRow
from errors import TooManyRequests
from request_context import address_group, origin_var
from schemas.accounts import RegisterRequest
from services.accounts import account as account_service
from services.accounts import attempt as attempt_service
from services.accounts import user as user_service


class Registration(NamedTuple):
    """The keys of a registration: those of the attempt, and that of the address's accounts in this hour."""

    keys: list[str]
    hour: str


def begin(db: Session) -> Registration | TooManyRequests:
    """Count a registration, or return an error if it comes too soon: raising would undo the count."""
    keys = attempt_service.address_keys("register")
    if wait := attempt_service.count(db, keys):
        return attempt_service.too_many(wait)
    hour = f"register:hour:{address_group(origin_var.get().address)}"
    if settings.registrations_per_hour:
        had, until = attempt_service.take(db, hour, limit=settings.registrations_per_hour)
        if not had:
            attempt_service.take_back(db, keys)
            wait = max(1, math.ceil((until - datetime.now(UTC)).total_seconds()))
            detail = f"Too many accounts were made from this address: wait {wait} seconds before the next one"
            return TooManyRequests(detail, retry_after=wait, code="too_many_registrations")
    return Registration(keys, hour)


def finish(db: Session, registration: Registration, wanted: RegisterRequest, hashed: str) -> AnyRow:
    """Make the account; raises BadRequest."""
    row = user_service.create_user(db, wanted.username, wanted.email, hashed)
    attempt_service.take_back(db, registration.keys)
    attempt_service.know_address(db, row.id)
    if asks_to_verify():
        account_service.ask_to_verify(db, row)
    return row


def asks_to_verify() -> bool:
    """Whether a new account is mailed the link that confirms its email."""
    return settings.require_verified_email or not settings.mail_unverified


def abandon(db: Session, registration: Registration, *, is_attempt: bool) -> None:
    """End a registration that made no account; an answer that a name is taken stays counted as an attempt."""
    attempt_service.give_back(db, registration.hour)
    if not is_attempt:
        attempt_service.take_back(db, registration.keys)
