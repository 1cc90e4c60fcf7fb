"""The lifetime of an access token, which does not depend on its checker or on the machine's time zone."""

from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from config import settings
from errors import NotAuthenticated
from security.tokens import create_access_token, forget_verified_tokens, verify_token
from tests.support.zone import machine_in

START = datetime(2026, 3, 2, 8, 0, 0, 950_000, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles", "Asia/Kathmandu"])
@pytest.mark.parametrize("minutes", [None, 5])
@pytest.mark.parametrize("is_remembered", [True, False])
def test_a_token_ends_when_it_was_said_to(
    monkeypatch: pytest.MonkeyPatch, minutes: int | None, zone: str, *, is_remembered: bool
) -> None:
    monkeypatch.setattr(settings, "access_token_expire_minutes", 30)
    with time_machine.travel(START, tick=False) as clock, machine_in(zone):
        lifetime = None if minutes is None else timedelta(minutes=minutes)
        token = create_access_token({"sub": "7", "sid": 3}, lifetime)
        end = START + timedelta(minutes=minutes or 30)
        claims = verify_token(token)
        assert (claims["sub"], claims["sid"], claims["kind"]) == ("7", 3, "access")
        assert (claims["iat"], claims["exp"]) == (int(START.timestamp()), end.timestamp())
        clock.move_to(end - timedelta(milliseconds=1))
        assert verify_token(token) == claims
        for late in (timedelta(), timedelta(microseconds=999_999), timedelta(seconds=1)):
            clock.move_to(end + late)
            if not is_remembered:
                forget_verified_tokens()
            for _ in range(2):
                with pytest.raises(NotAuthenticated):
                    verify_token(token)


def test_a_token_without_a_lifetime_is_never_valid() -> None:
    with pytest.raises(NotAuthenticated):
        verify_token(create_access_token({"sub": "7"}, timedelta()))


def test_the_id_of_an_account_may_be_given_as_a_number_and_no_two_tokens_are_the_same() -> None:
    tokens = {create_access_token({"sub": 7}) for _ in range(2)}
    assert len(tokens) == 2
    assert [verify_token(token)["sub"] for token in tokens] == ["7", "7"]
