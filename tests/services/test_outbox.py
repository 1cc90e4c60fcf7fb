"""Claims on waiting mails: their duration, their order, and the next attempt after a failure."""

import asyncio
import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from account_models import account_mails
from config import settings
from database import database
from services.accounts import account_mail
from services.delivery import mail_tasks
from services.delivery.outbox import Outbox, ends_soon, message_of
from services.email_service import COMMANDS
from tests.support.api import Api
from tests.support.zone import machine_in

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
def clock(database_url: str) -> Iterator[Any]:
    # A traveller sets the zone too, so that the other zone comes after.
    with time_machine.travel(START, tick=False) as traveller, machine_in("Asia/Kathmandu"):
        yield traveller


def put(api: Api, number: int = 1) -> None:
    """Insert a number of mails that are due now."""
    ada = api.person()
    for _ in range(number):
        database.write(lambda db: account_mail.put(db, "token_created", ada.id, "ada@example.com"))


def outbox() -> Outbox:
    """The outbox of mails about accounts."""
    return mail_tasks.OUTBOXES[0]


def claim() -> list[Any]:
    return database.write(outbox().claim)


def rows() -> list[Any]:
    statement = select(account_mails).order_by(account_mails.c.id)
    return database.read(lambda db: list(db.execute(statement)))


def test_a_claim_holds_until_no_mail_of_it_can_still_be_on_its_way(clock: Any, api: Api) -> None:
    put(api)
    (row,) = claim()
    longest = timedelta(seconds=COMMANDS * settings.smtp_timeout_seconds)
    assert not ends_soon(row)
    clock.shift(timedelta(seconds=10) + longest)
    # There is just enough time to send the mail. Later another process could claim it before this one is done.
    assert not ends_soon(row)
    clock.shift(timedelta(milliseconds=1))
    assert ends_soon(row)
    assert claim() == []
    clock.shift(longest)
    assert [(again.id, again.attempts) for again in claim()] == [(row.id, 2)]


def test_what_waits_longest_goes_first_and_twenty_at_a_time(clock: Any, api: Api) -> None:
    put(api, 25)
    for number in range(1, 26):
        due = START - timedelta(seconds=number)
        change = update(account_mails).where(account_mails.c.id == number).values(next_attempt_at=due)
        database.write(functools.partial(Session.execute, statement=change))
    assert [row.id for row in claim()] == list(range(6, 26))
    assert [row.id for row in claim()] == list(range(1, 6))
    assert claim() == []


def test_a_mail_is_not_sent_before_it_is_due(clock: Any, api: Api) -> None:
    put(api)
    clock.shift(timedelta(milliseconds=-1))
    assert claim() == []
    clock.shift(timedelta(milliseconds=1))
    assert len(claim()) == 1


@pytest.mark.parametrize(("pick", "factor"), [(min, 0.5), (max, 1.5)])
def test_a_mail_is_tried_again_after_twice_the_time_up_to_an_hour_and_then_given_up(
    clock: Any, api: Api, monkeypatch: pytest.MonkeyPatch, pick: Any, factor: float
) -> None:
    monkeypatch.setattr(settings, "mail_retry_seconds", 60)
    monkeypatch.setattr(settings, "mail_attempts", 9)
    monkeypatch.setattr("random.uniform", lambda *bounds: pick(bounds))
    put(api)
    waits = []
    for _ in range(8):
        asyncio.run(outbox().failed(claim(), OSError("no route")))
        (row,) = rows()
        wait = row.next_attempt_at - datetime.now(UTC)
        waits.append(wait.total_seconds())
        clock.shift(wait)
    assert waits == [factor * wait for wait in (60, 120, 240, 480, 960, 1920, 3600, 3600)]
    asyncio.run(outbox().failed(claim(), OSError("no route")))
    (row,) = rows()
    assert (row.attempts, row.next_attempt_at, row.last_error) == (9, None, "no route")
    clock.shift(timedelta(days=365))
    assert claim() == []


def test_a_mail_that_was_only_claimed_is_due_at_once_and_has_lost_no_attempt(clock: Any, api: Api) -> None:
    put(api)
    claimed = claim()
    clock.shift(timedelta(seconds=3))
    asyncio.run(outbox().released(claimed))
    (row,) = rows()
    assert (row.attempts, row.next_attempt_at, row.last_error) == (0, datetime.now(UTC), None)
    assert [again.attempts for again in claim()] == [1]


def test_who_comes_back_after_the_claim_ended_takes_nothing_from_the_next(clock: Any, api: Api) -> None:
    put(api, 2)
    late = claim()
    clock.shift(timedelta(hours=1))
    kept = claim()
    for result in (outbox().failed(late, OSError("late")), outbox().released(late)):
        asyncio.run(result)
    asyncio.run(outbox().delivered(late))
    assert [(row.attempts, row.next_attempt_at, row.last_error) for row in rows()] == [
        (2, row.next_attempt_at, None) for row in kept
    ]
    asyncio.run(outbox().delivered(kept[:1]))
    assert [row.id for row in rows()] == [kept[1].id]


def test_an_error_is_kept_shortly_and_never_without_a_word() -> None:
    assert message_of(OSError("no route")) == "no route"
    assert message_of(TimeoutError()) == "TimeoutError"
    assert message_of(OSError("x" * 5000)) == "x" * 1000
