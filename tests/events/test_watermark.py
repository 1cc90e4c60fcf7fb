"""How far the feed may be read when the database was replaced under a running server."""

import psycopg
import pytest
from sqlalchemy import select

from database import database
from services.events.watermark import WEBHOOKS
from services.webhooks import dispatch
from tables.webhooks import feed_positions
from tests.events.test_feed import follow
from tests.support.api import Api

REPLACE = "TRUNCATE task_history RESTART IDENTITY; DELETE FROM feed_positions"
POSITION = select(feed_positions.c.event_id).where(feed_positions.c.name == WEBHOOKS)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_replaced_database_has_a_feed_of_its_own(
    api: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatch, "STRIDE", 1)
    ada = api.person()
    for _ in range(3):
        ada.task("Of the database before")
    follow(ada)
    with psycopg.connect(database_url) as connection:
        connection.execute(REPLACE)
    ada.task("The first one")
    dispatch.is_needed()
    assert database.read(lambda db: db.execute(POSITION).scalar()) == 1
    events, following = follow(ada)
    assert [each["data"]["task"]["title"] for each in events] == ["The first one"]
    assert follow(ada, following) == ([], following)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_position_of_another_database_hides_nothing(api: Api, database_url: str) -> None:
    ada = api.person()
    ada.task("The first one")
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO feed_positions VALUES ('webhooks', 99) ON CONFLICT DO NOTHING")
    _, following = follow(ada)
    assert ada.get(following).status_code == 200
