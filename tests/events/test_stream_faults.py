"""Streams while the database fails, and with clients that read slowly."""

import contextlib
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from services.events import event_id, feed
from tests.events.test_stream import Stream, url
from tests.support.api import Api
from tests.support.waiting import SECONDS, wait_until
from web import event_stream, waiting

__all__ = ["url"]


@contextlib.contextmanager
def unreadable(database_url: str, table: str) -> Iterator[None]:
    """Nothing can be read from this table: it is locked on Postgres, and missing on SQLite."""
    if database_url.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(make_url(database_url).database or "")) as connection:
            connection.execute("PRAGMA legacy_alter_table=ON")
            connection.execute(f"ALTER TABLE {table} RENAME TO away")
            try:
                yield
            finally:
                connection.execute(f"ALTER TABLE away RENAME TO {table}")
    else:
        with psycopg.connect(database_url) as connection:
            connection.execute(f"LOCK TABLE {table}")
            yield


def test_events_that_could_not_be_read_come_without_further_events(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    news, fails = feed.news, threading.Event()

    def blocked(db: Session, after: int) -> Any:
        if not fails.is_set():
            return news(db, after)
        fails.clear()
        with unreadable(database_url, "task_history"):
            if not database_url.startswith("sqlite"):
                db.execute(text("SET lock_timeout = '20ms'"))
            return news(db, after)

    monkeypatch.setattr(feed, "news", blocked)
    ada = api.person()
    with Stream(url, ada.token) as stream:
        ada.task()
        stream.wait_for(1)
        fails.set()
        ada.task()
        stream.wait_for(2, 10)
        assert not fails.is_set()


def test_streams_live_and_end_in_time_while_sessions_can_not_be_read(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "LOOK_SECONDS", 0.1)
    monkeypatch.setattr(event_stream, "LONGEST_SECONDS", 2.0)
    ada = api.person()
    with Stream(url, ada.token) as stream:
        wait_until(lambda: stream.comments >= 2)
        with unreadable(database_url, "sessions"):
            comments = stream.comments
            if database_url.startswith("sqlite"):
                wait_until(lambda: stream.comments > comments + 2)
                assert stream.is_over.wait(SECONDS)
        assert stream.is_over.wait(SECONDS)


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_streams_may_go_on_behind_an_event_that_is_not_decided_yet(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SETTLING_SECONDS", [0.01])
    pages, page = list[int](), feed.page

    def counted(db: Session, user: Any, question: feed.Question, after: int, limit: int) -> feed.EventPage:
        pages.append(after)
        return page(db, user, question, after, limit)

    monkeypatch.setattr(feed, "page", counted)
    ada = api.person()
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE users SET email_verified_at = now()")
        ada.task("Not decided here, but in another process")
        found = connection.execute("SELECT max(id) FROM task_history").fetchone()
        assert found is not None
        headers = {"Last-Event-ID": event_id.encode(found[0])}
        with Stream(url, ada.token, headers=headers) as behind, Stream(url, ada.token) as from_now:
            assert not behind.is_over.wait(1)
            assert not from_now.is_over.is_set()
            assert len(pages) < 40
            connection.commit()
            ada.task("Decided")
            titles = [
                [each["data"]["task"]["title"] for each in stream.wait_for(count)]
                for stream, count in ((behind, 1), (from_now, 2))
            ]
            assert titles == [["Decided"], ["Not decided here, but in another process", "Decided"]]
