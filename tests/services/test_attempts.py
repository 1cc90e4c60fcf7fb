"""The growing delays after wrong guesses, minute by minute, and the limit of an hour."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select

from account_models import attempts
from database import database
from request_context import Origin, origin_var
from services.accounts import attempt
from tests.support.api import Api
from tests.support.zone import machine_in

START = datetime(2026, 3, 2, 8, tzinfo=UTC)


@pytest.fixture
def clock(database_url: str) -> Iterator[Any]:
    # A traveller sets the zone too, so that the other zone comes after.
    with time_machine.travel(START, tick=False) as traveller, machine_in("Asia/Kathmandu"):
        yield traveller


@contextlib.contextmanager
def at(address: str) -> Iterator[None]:
    """Have the caller come from this address."""
    here = origin_var.set(Origin(address, "browser"))
    try:
        yield
    finally:
        origin_var.reset(here)


def count(*keys: str) -> int:
    return database.write(lambda db: attempt.count(db, keys))


def rows() -> dict[str, int]:
    found = database.read(lambda db: db.execute(select(attempts.c.key, attempts.c.failures)).all())
    return {row.key: row.failures for row in found}


def pauses(clock: Any, key: str, number: int) -> list[int]:
    """The seconds to wait after each of a number of attempts, each made as soon as the pause is over."""
    waits = []
    for _ in range(number):
        assert count(key) == 0
        waits.append(wait := count(key))
        clock.shift(timedelta(seconds=wait))
    return waits


@pytest.mark.parametrize(("kind", "free"), [("both", 20), ("account", 30), ("address", 50)])
def test_after_what_goes_free_each_pause_is_twice_as_long_up_to_a_quarter_of_an_hour(
    clock: Any, kind: str, free: int
) -> None:
    key = f"login:{kind}:x"
    fresh = [count(key) for _ in range(free)]
    assert fresh == [0] * free
    assert count(key) == 1
    clock.shift(timedelta(seconds=1))
    assert pauses(clock, key, 12) == [2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900, 900]
    assert rows() == {key: free + 12}


def test_a_pause_is_over_when_it_was_said_to_be_and_not_before(clock: Any) -> None:
    for _ in range(22):
        count("login:both:x")
        clock.shift(timedelta(seconds=2))
    clock.shift(timedelta(seconds=1, milliseconds=1))
    assert count("login:both:x") == 1
    clock.shift(timedelta(milliseconds=999))
    assert count("login:both:x") == 0


def test_if_one_count_says_wait_nothing_is_counted_anywhere(clock: Any) -> None:
    for _ in range(20):
        count("login:both:x")
    assert count("login:both:x", "login:account:x") == 1
    assert rows() == {"login:both:x": 20, "login:account:x": 0}


def test_failures_are_forgotten_after_a_day_without_any(clock: Any) -> None:
    for _ in range(20):
        count("login:both:x")
    clock.shift(timedelta(hours=23, minutes=59))
    assert (count("login:both:x"), count("login:both:x")) == (0, 2)
    clock.shift(timedelta(days=1))
    assert [count("login:both:x") for _ in range(20)] == [0] * 20
    assert rows() == {"login:both:x": 20}


def test_a_clock_that_was_ahead_blocks_nobody_until_then(clock: Any) -> None:
    key = "login:account:a"
    clock.shift(timedelta(days=365))
    for _ in range(30):
        assert count(key) == 0
    assert count(key) > 0
    assert database.write(lambda db: attempt.take(db, "mail:hour:a", limit=1))[0] == 1
    clock.shift(timedelta(days=-365))
    assert count(key) == 0
    assert database.write(lambda db: attempt.take(db, "mail:hour:a", limit=1))[0] == 1
    # The failures still count.
    assert count(key) > 0


def test_a_clock_that_is_behind_a_little_ends_nothing(clock: Any) -> None:
    """The clocks of servers that share a database differ."""
    key = "login:account:a"
    for _ in range(30):
        assert count(key) == 0
    clock.shift(timedelta(seconds=count(key)))
    pauses(clock, key, 10)
    assert count(key) == 0
    assert database.write(lambda db: attempt.take(db, "mail:hour:a", limit=1))[0] == 1
    clock.shift(timedelta(seconds=-5))
    assert count(key) == 905
    assert database.write(lambda db: attempt.take(db, "mail:hour:a", limit=1))[0] == 0


def test_rows_of_the_forgotten_are_deleted_and_no_others(clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda _: 1)
    count("login:both:old")
    clock.shift(timedelta(hours=1))
    count("login:both:recent")
    clock.shift(timedelta(hours=23, seconds=1))
    count("login:both:new")
    assert set(rows()) == {"login:both:old", "login:both:recent", "login:both:new"}
    monkeypatch.setattr("secrets.randbelow", lambda _: 0)
    count("login:both:new")
    assert set(rows()) == {"login:both:recent", "login:both:new"}


def test_a_login_that_succeeds_forgets_failures_at_this_address_only(clock: Any) -> None:
    keys = ["login:account:x", "login:both:x"]
    for _ in range(3):
        count(*keys)
    database.write(lambda db: attempt.take_back(db, keys))
    assert rows() == dict.fromkeys(keys, 2)
    database.write(lambda db: attempt.take_back(db, keys, clear=True))
    assert rows() == {"login:account:x": 1}
    for _ in range(2):
        database.write(lambda db: attempt.take_back(db, keys))
    assert rows() == {"login:account:x": 0}


def test_taking_an_attempt_back_ends_the_pause_that_it_began(clock: Any) -> None:
    for _ in range(20):
        count("login:both:x")
    assert count("login:both:x") == 1
    database.write(lambda db: attempt.take_back(db, ["login:both:x"]))
    assert count("login:both:x") == 0


def test_an_hours_limit_is_shared_out_and_begins_again_after_the_hour(clock: Any) -> None:
    def take(wanted: int = 1) -> tuple[int, datetime]:
        return database.write(lambda db: attempt.take(db, "mail:hour:x", limit=5, wanted=wanted))

    end = START + timedelta(hours=1)
    assert take() == (1, end)
    clock.shift(timedelta(minutes=59))
    assert take(3) == (3, end)
    assert take(3) == (1, end)
    assert take() == (0, end)
    assert rows() == {"mail:hour:x": 5}
    database.write(lambda db: attempt.give_back(db, "mail:hour:x"))
    assert take(2) == (1, end)
    clock.shift(timedelta(minutes=1))
    assert take(9) == (5, end + timedelta(hours=1))
    for _ in range(6):
        database.write(lambda db: attempt.give_back(db, "mail:hour:x"))
    assert rows() == {"mail:hour:x": 0}


def test_an_owner_is_known_at_an_address_for_ninety_days(clock: Any, api: Api) -> None:
    ada, bob = api.person(), api.person("bob")

    def is_known(user_id: int | None, address: str = "2001:db8::2") -> bool:
        with at(address):
            return database.read(lambda db: attempt.is_at_known_address(db, user_id))

    def come() -> None:
        with at("2001:db8::1"):
            database.write(lambda db: attempt.know_address(db, ada.id))

    assert not is_known(ada.id)
    come()
    assert (is_known(ada.id), is_known(bob.id), is_known(None)) == (True, False, False)
    assert not is_known(ada.id, "2001:db8:0:1::2")
    clock.shift(timedelta(days=89, hours=23))
    assert is_known(ada.id)
    come()
    clock.shift(timedelta(days=89, hours=23))
    assert is_known(ada.id)
    clock.shift(timedelta(hours=1))
    assert not is_known(ada.id)


def test_names_that_log_into_one_account_are_counted_as_one_and_never_shown() -> None:
    names = ("Ada", "ADA", "\udcffbob")
    with at("192.0.2.1"):
        ada, shouted, bob = (attempt.keys_for("login", name, is_known=False) for name in names)
        assert attempt.keys_for("login", "Ada", is_known=True) == ada[2:]
        assert attempt.address_keys("link") == ["link:address:192.0.2.1"]
    assert ada == shouted
    assert not {*ada} & {*bob} - {"login:address:192.0.2.1"}
    assert ada[1] == "login:address:192.0.2.1"
    assert ada[2] == ada[0].replace("account", "both") + ":192.0.2.1"
    assert "ada" not in "".join(ada).lower()
    assert attempt.recipient_key("Ada@example.com") == attempt.recipient_key("ada@EXAMPLE.com")
    assert attempt.recipient_key("ada@example.com") != attempt.recipient_key("bob@example.com")
