"""Mailed links: their lifetime, their purpose and their account."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import select, update

from account_models import account_links, attempts, audit_events
from config import settings
from database import database
from errors import BadRequest
from models import users
from services.accounts import link
from tests.support.api import Api
from tests.support.zone import machine_in

LIFETIMES = {"reset": timedelta(hours=1), "verify": timedelta(days=1), "change": timedelta(days=1)}


@pytest.fixture
def clock(database_url: str) -> Iterator[Any]:
    # A traveller sets the zone too, so that the other zone comes after.
    with (
        time_machine.travel(datetime(2026, 3, 2, 8, tzinfo=UTC), tick=False) as traveller,
        machine_in("Asia/Kathmandu"),
    ):
        yield traveller


def make(user_id: int, purpose: str = "reset", email: str = "ada@example.com") -> str:
    """The token of a new link."""
    made = database.write(lambda db: link.make(db, user_id, purpose, email))
    return made.rpartition("#token=")[2]


def is_good(token: str, *purposes: str) -> bool:
    found = database.read(lambda db: link.find(db, token, purposes or ("reset", "verify", "change")))
    return found is not None


@pytest.mark.parametrize("purpose", LIFETIMES)
def test_a_link_is_good_for_as_long_as_its_mail_says(clock: Any, api: Api, purpose: str) -> None:
    token = make(api.person().id, purpose)
    clock.shift(LIFETIMES[purpose] - timedelta(seconds=1))
    assert is_good(token)
    clock.shift(timedelta(seconds=1))
    assert not is_good(token)


@pytest.mark.one_database
@pytest.mark.parametrize(
    ("purpose", "page"),
    [("reset", "reset-password"), ("verify", "verify-email"), ("change", "verify-email")],
)
def test_a_link_leads_to_the_page_that_can_use_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, purpose: str, page: str
) -> None:
    monkeypatch.setattr(settings, "public_url", "https://tasks.example.com")
    ada = api.person()
    made = database.write(lambda db: link.make(db, ada.id, purpose, "new@example.com"))
    assert made.startswith(f"https://tasks.example.com/{page}#token=")
    token = made.rpartition("=")[2]
    assert len(token) >= 43
    used = database.write(lambda db: link.use(db, token, (purpose,)))
    assert used._asdict() == {
        "purpose": purpose,
        "link_email": "new@example.com",
        "id": ada.id,
        "username": "ada",
        "email": "ada@example.com",
    }


@pytest.mark.one_database
def test_a_link_does_nothing_else_than_what_it_was_made_for(api: Api) -> None:
    token = make(api.person().id)
    assert (is_good(token, "reset", "verify"), is_good(token, "verify", "change")) == (True, False)
    with pytest.raises(BadRequest) as refused:
        database.write(lambda db: link.use(db, token, ("verify", "change")))
    assert refused.value.code == "invalid_link"


def test_links_of_one_account_end_and_those_of_others_do_not(api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    mine, theirs = [make(ada.id), make(ada.id, "verify")], make(bob.id)
    database.write(lambda db: link.drop(db, ada.id))
    assert [*map(is_good, mine), is_good(theirs)] == [False, False, True]


def test_a_link_of_an_account_that_is_switched_off_opens_nothing(api: Api) -> None:
    token = make(api.person().id)
    database.write(lambda db: db.execute(update(users).values(is_active=False)))
    assert not is_good(token)


def test_making_a_link_forgets_the_owners_expired_ones_only(clock: Any, api: Api) -> None:
    ada, bob = api.person(), api.person("bob")
    make(ada.id)
    make(bob.id)
    clock.shift(timedelta(minutes=30))
    make(ada.id)
    clock.shift(timedelta(minutes=30))
    make(ada.id)
    kept = database.read(lambda db: db.execute(select(account_links.c.user_id)).scalars().all())
    assert sorted(kept) == [ada.id, ada.id, bob.id]


@pytest.mark.one_database
def test_a_bad_link_is_written_into_the_trail_and_slows_its_address_down(clock: Any) -> None:
    assert [database.write(link.refuse) for _ in range(51)] == [0] * 50 + [1]
    kinds = database.read(lambda db: db.execute(select(audit_events.c.kind)).scalars().all())
    assert set(kinds) == {"link_refused"}
    assert database.read(lambda db: db.execute(select(attempts.c.key)).scalars().all()) == ["link:address:-"]
