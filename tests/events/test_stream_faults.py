"""Streams while the database fails, and with clients that read slowly."""

import asyncio
import contextlib
import http.client
import json
import socket
import sqlite3
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, Self
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.orm import Session

from main import app
from services.events import event_id, feed
from tests.events.test_stream import Stream, url
from tests.support.api import Api
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until
from web.events import event_message, event_stream, open_stream, stream_hub, waiting

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


def let_time_run_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the time of every stream that is open now be over."""
    later = SimpleNamespace(time=lambda: time.time() + open_stream.LONGEST_SECONDS)
    monkeypatch.setattr(stream_hub, "time", later)


def open_streams() -> list[open_stream.OpenStream]:
    """The streams of this process."""
    return [stream for hub in list(stream_hub._hubs.values()) for stream in list(hub._streams)]  # noqa: SLF001


@pytest.mark.one_database
def test_events_that_could_not_be_read_come_without_further_events(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    news, fails = feed.news, threading.Event()

    def blocked(db: Session, after: int) -> Any:
        found = news(db, after)
        # The request that writes the event needs the table until then.
        is_committed = bool(found[0])
        if not (is_committed and fails.is_set()):
            return found
        fails.clear()
        with unreadable(database_url, "task_history"):
            if not database_url.startswith("sqlite"):
                db.execute(text("SELECT set_config('lock_timeout', '20ms', false)"))
            return news(db, after)

    monkeypatch.setattr(feed, "news", blocked)
    ada = api.person()
    with Stream(url, ada.token) as stream:
        ada.task()
        stream.wait_for(1)
        fails.set()
        ada.task()
        stream.wait_for(2)
        assert not fails.is_set()


@pytest.mark.one_database
def test_streams_live_and_end_in_time_while_sessions_can_not_be_read(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "LOOK_SECONDS", 0.1)
    ada = api.person()
    with Stream(url, ada.token) as stream:
        wait_until(lambda: stream.comments >= 2)
        with unreadable(database_url, "sessions"):
            comments = stream.comments
            if database_url.startswith("sqlite"):
                wait_until(lambda: stream.comments > comments + 2)
            let_time_run_out(monkeypatch)
            if database_url.startswith("sqlite"):
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
            began, before = time.monotonic(), len(pages)
            assert not behind.is_over.wait(1)
            assert not from_now.is_over.is_set()
            # Each of the two may read once, and again after every pause.
            assert len(pages) - before < 4 + 2 * (time.monotonic() - began) / event_stream.PAUSE_SECONDS
            connection.commit()
            ada.task("Decided")
            titles = [
                [each["data"]["task"]["title"] for each in stream.wait_for(count)]
                for stream, count in ((behind, 1), (from_now, 2))
            ]
            assert titles == [["Decided"], ["Not decided here, but in another process", "Decided"]]


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_stream_of_new_events_shows_none_from_before_though_other_transactions_are_open_for_a_moment(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SETTLING_SECONDS", [0.05] * 600)
    ada = api.person()
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TEMPORARY TABLE held (id int)")
        ada.task("Before")
        ending = threading.Timer(0.05, connection.rollback)
        ending.start()
        with Stream(url, ada.token) as stream:
            ending.join()
            ada.task("After")
            assert stream.wait_for(1)[0]["data"]["task"]["title"] == "After"


class SilentClient:
    """A client that asks for a stream, and reads nothing until it is told to."""

    def __init__(self, url: str, token: str, after: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(SECONDS)
        self.socket.connect((parts.hostname, parts.port))
        self.socket.sendall(
            f"GET /events/stream?after={after} HTTP/1.0\r\nHost: {parts.netloc}\r\n"
            f"Authorization: Bearer {token}\r\n\r\n".encode()
        )

    def answer(self) -> http.client.HTTPResponse:
        """The answer, to be read."""
        answer = http.client.HTTPResponse(self.socket)
        answer.begin()
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def _long_history(person: Any, count: int = 150) -> str:
    """Make tasks with long descriptions; the id of the event before them."""
    person.task("The first")
    person.post(
        "/tasks/import",
        json=[{"title": f"Task {number}", "description": "x" * 9_000} for number in range(count)],
    )
    return str(person.get("/events", params={"limit": 1}).json()[0]["id"])


@pytest.mark.one_database
def test_comments_come_between_messages_only(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_hub, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(open_stream, "PATIENCE_SECONDS", SECONDS)
    ada = api.person()
    after = _long_history(ada)
    with served(app, send_buffer=65536) as url, SilentClient(url, ada.token, after) as client:
        # The server waits for the client in the middle of a page, and has comments to send.
        wait_until(lambda: [each for each in open_streams() if each.waiting.count(stream_hub.COMMENT) > 1])
        answer, content = client.answer(), b""
        while content.count(b"data: ") < 150:
            part = answer.read1(65_536)
            assert part, "the stream has ended too early"
            content += part
        let_time_run_out(monkeypatch)
        blocks = (content + answer.read()).split(b"\n\n")
        messages = [block for block in blocks if b"data: " in block]
        assert len(messages) == 150
        for each in messages:
            json.loads(each.partition(b"data: ")[2])


@pytest.mark.one_database
def test_the_place_of_a_client_that_reads_nothing_is_free_soon_after_its_end(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(open_stream, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(stream_hub, "MOST_OF_AN_ACCOUNT", 1)
    ada = api.person()
    after = _long_history(ada)
    with served(app, send_buffer=4096) as url, SilentClient(url, ada.token, after):
        headers = {"Authorization": f"Bearer {ada.token}"}

        def status() -> int:
            return httpx.head(f"{url}/events/stream", headers=headers).status_code

        wait_until(lambda: status() == 429)
        let_time_run_out(monkeypatch)
        wait_until(lambda: status() == 200)


@pytest.mark.one_database
def test_a_stream_whose_client_is_gone_reads_no_further_pages(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "PAGE", 1)
    pages, page = list[int](), feed.page

    def slow(db: Session, user: Any, question: feed.Question, after: int, limit: int) -> feed.EventPage:
        pages.append(after)
        time.sleep(0.02)
        return page(db, user, question, after, limit)

    ada = api.person()
    after = _long_history(ada)
    monkeypatch.setattr(feed, "page", slow)
    with SilentClient(url, ada.token, after):
        wait_until(lambda: len(pages) > 3)
    wait_until(lambda: not open_streams())
    read = len(pages)
    time.sleep(0.3)
    # One may have been begun before.
    assert len(pages) <= read + 1
    assert read < 150


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
def test_a_stream_catches_up_although_the_database_fails_meanwhile(
    api: Api, url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "PAGE", 50)
    page, has_failed = feed.page, threading.Event()

    def blocked(db: Session, user: Any, question: feed.Question, after: int, limit: int) -> feed.EventPage:
        if after < 60 or has_failed.is_set():
            return page(db, user, question, after, limit)
        has_failed.set()
        with unreadable(database_url, "task_history"):
            db.execute(text("SELECT set_config('lock_timeout', '20ms', false)"))
            return page(db, user, question, after, limit)

    ada = api.person()
    after = _long_history(ada)
    monkeypatch.setattr(feed, "page", blocked)
    with Stream(url, ada.token, params={"after": after}) as stream:
        assert len({each["id"] for each in stream.wait_for(150)}) == 150
        assert has_failed.is_set()


@pytest.mark.one_database
def test_long_events_do_not_hold_the_event_loop(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    holds = [0.0]
    run = asyncio.Handle._run  # noqa: SLF001  # all that a loop runs goes through it

    def timed(handle: asyncio.Handle) -> None:
        began = time.thread_time()
        run(handle)
        if handle._loop in stream_hub._hubs:  # type: ignore[attr-defined]  # noqa: SLF001
            holds.append(time.thread_time() - began)

    monkeypatch.setattr(asyncio.Handle, "_run", timed)
    ada = api.person()
    ada.task("The first")
    after = ada.get("/events?limit=1").json()[0]["id"]
    # As JSON each letter takes six bytes, in the changes and in the task.
    long = [{"title": f"{number}", "description": "\x01" * 65_536} for number in range(40)]
    with served(app, loop="asyncio") as url:
        with Stream(url, ada.token) as live:
            assert ada.post("/tasks/import", json=long).status_code == 201
            # It has all events, or was too slow for them and was cut off. Nothing waits to be sent any more then.
            wait_until(lambda: live.is_over.is_set() or len(live.messages) == 40)
            live.wait_for(1)
        with Stream(url, ada.token, params={"after": after}) as late:
            late.wait_for(40)
    told: list[Any] = []
    while found := ada.get("/events", params={"after": told[-1]["id"] if told else after}).json():
        told += found
    assert len(told) == 40
    began = time.thread_time()
    assert list(event_message.pieces(told))
    # All of them are written in this time, wherever that is done.
    assert max(holds) < (time.thread_time() - began) / 4
