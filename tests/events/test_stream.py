"""Server-Sent Events from a real server."""

import asyncio
import contextlib
import gc
import json
import signal
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from sqlalchemy import delete
from sqlalchemy.orm import Session

from database import database
from main import app
from services.events import feed
from services.events.follower import follower
from tables.history import task_history
from tests.support.api import PASSWORD, Api
from tests.support.server import ServerProcess
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until
from web.events import event_stream, stream_hub


class Stream:
    """A client that reads a stream in a thread of its own."""

    def __init__(self, url: str, token: str, **options: Any) -> None:
        self._client = httpx.Client(timeout=SECONDS)
        headers = {"Authorization": f"Bearer {token}", **options.pop("headers", {})}
        self._answer = self._client.send(
            self._client.build_request("GET", f"{url}/events/stream", headers=headers, **options), stream=True
        )
        self.status = self._answer.status_code
        self.headers = self._answer.headers
        self.messages: list[dict[str, str]] = []
        self.comments = 0
        self.is_over = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        message: dict[str, str] = {}
        with contextlib.suppress(httpx.HTTPError, httpx.StreamError, OSError, ValueError):
            for line in self._answer.iter_lines():
                with self._changed:
                    if line.startswith(":"):
                        self.comments += 1
                    elif line:
                        name, _, value = line.partition(": ")
                        message[name] = value
                    elif message:
                        self.messages.append(message)
                        message = {}
                    self._changed.notify_all()
        self.is_over.set()

    def wait_for(self, count: int, seconds: float = SECONDS) -> list[Any]:
        """Wait for `count` events, and return all."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self.messages) >= count, seconds)
        assert there, self.messages
        return [json.loads(each["data"]) for each in self.messages]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        # A closed socket stays open while a thread reads it, so it is shut down first.
        with contextlib.suppress(OSError):
            self._answer.extensions["network_stream"].get_extra_info("socket").shutdown(socket.SHUT_RDWR)
        self._thread.join(SECONDS)
        self._answer.close()
        self._client.close()


@pytest.fixture
def url(api: Api) -> Iterator[str]:
    with served(app) as address:
        yield address


def test_events_are_pushed_as_the_feed_tells_them(api: Api, url: str) -> None:
    ada, bob = api.person(), api.person("bob")
    ada.task("before")
    with Stream(url, ada.token) as stream, Stream(url, bob.token, params={"types": "task.assigned"}) as bobs:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        # Neither a cache nor nginx keeps events back.
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        task = ada.task("after")
        stream.wait_for(1)
        bob.task("bob's own")
        ada.put(f"/tasks/{task['id']}/assign", params={"assigned_user_id": bob.id})
        bob.patch(f"/tasks/{task['id']}", json={"priority": 1})
        ada.task("the last")
        events = stream.wait_for(3)
        assert events == ada.get("/events").json()[1:]
        assert [each["type"] for each in events] == ["task.created", "task.assigned", "task.created"]
        assert bobs.wait_for(1) == [events[1]]
        assert {"id": events[0]["id"], "event": "task.created"}.items() <= stream.messages[0].items()
    with Stream(url, ada.token, headers={"Last-Event-ID": events[0]["id"]}) as again:
        assert again.wait_for(2) == events[1:]
        # Clients may end a line at each of these characters.
        newest = ada.task("the \x85 very \u2028\u2029 last")
        assert again.wait_for(3)[-1]["data"]["task"] == newest
    with Stream(url, ada.token, params={"after": events[1]["id"], "types": "task.created"}) as again:
        assert [each["data"]["task_id"] for each in again.wait_for(2)] == [3 + 1, newest["id"]]


@pytest.mark.one_database
def test_the_first_stream_reads_from_its_own_position(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "PAGE", 3)
    read_after = list[int]()
    news = feed.news

    def noted(db: Session, after: int) -> Any:
        read_after.append(after)
        return news(db, after)

    monkeypatch.setattr(feed, "news", noted)
    ada = api.person()
    ada.post("/tasks/import", json=[{"title": f"Task {number}"} for number in range(10)])
    # Something else follows the feed already, so that the follower tells nobody of the old events.
    has_told = threading.Event()
    follower.listen(has_told.set)
    assert has_told.wait(SECONDS)
    with Stream(url, ada.token, headers={"Last-Event-ID": ada.get("/events").json()[0]["id"]}) as stream:
        assert [each["data"]["task_id"] for each in stream.wait_for(9)] == list(range(2, 11))
        # More come at once than the streams read at once.
        ada.post("/tasks/import", json=[{"title": "New"}] * (feed.MOST_NEWS + 1))
        stream.wait_for(9 + feed.MOST_NEWS + 1)
    follower.leave(has_told.set)
    # Reading all events of an old database would take minutes, in which no stream gets the new one.
    assert min(read_after) >= 10


@pytest.mark.one_database
def test_streams_follow_the_memberships_of_their_accounts(api: Api, url: str) -> None:
    ada, bob, cyd, dan = (api.person(name) for name in ("ada", "bob", "cyd", "dan"))
    root = api.person("root", admin=True)
    project = ada.post("/projects", json={"name": "Research"}).json()["id"]
    members = f"/projects/{project}/members"
    ada.put(f"{members}/{dan.id}", json={"role": "member"})
    ada.delete(f"{members}/{dan.id}")
    ada.put(f"{members}/{cyd.id}", json={"role": "viewer"})
    newest = ada.get("/events").json()[-1]["id"]
    everything = {"project_id": project}
    with (
        Stream(url, bob.token) as bobs,
        Stream(url, cyd.token) as cyds,
        Stream(url, dan.token) as dans,
        Stream(url, root.token, params=everything) as roots,
    ):
        ada.task("Before bob", project_id=project)
        ada.put(f"{members}/{bob.id}", json={"role": "member"})
        ada.task("For bob", project_id=project)
        ada.delete(f"{members}/{bob.id}")
        ada.task("After bob", project_id=project)
        for person in (bob, cyd, dan):
            person.task("The last")
        for person, stream, count in ((bob, bobs, 4), (cyd, cyds, 6), (dan, dans, 1)):
            assert stream.wait_for(count) == person.get(f"/events?after={newest}").json()
        assert roots.wait_for(5) == root.get("/events", params={**everything, "after": newest}).json()


@pytest.mark.one_database
def test_the_stream_of_a_project_shows_what_its_pages_show(api: Api, url: str) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    left, other = (ada.post("/projects", json={"name": name}).json()["id"] for name in ("Left", "Other"))
    for project in (left, other):
        ada.put(f"/projects/{project}/members/{bob.id}", json={"role": "member"})
    task = ada.task(project_id=left)["id"]
    newest = ada.get("/events").json()[-1]["id"]
    with Stream(url, bob.token, params={"project_id": left}) as stream:
        ada.delete(f"/projects/{left}/members/{bob.id}")
        for project in (other, left):
            ada.patch(f"/tasks/{task}", json={"project_id": project})
        ada.put(f"/projects/{left}/members/{bob.id}", json={"role": "viewer"})
        ada.patch(f"/tasks/{task}", json={"priority": 4})
        # Bob sees both moves as a member of the other project only.
        page = bob.get(f"/events?project_id={left}&after={newest}").json()
        assert [each["type"] for each in page] == ["member.removed", "member.added", "task.updated"]
        assert stream.wait_for(3) == page


@pytest.mark.one_database
def test_streams_of_a_database_that_was_replaced_end(api: Api, url: str) -> None:
    ada = api.person()
    for _ in range(2):
        ada.task()
    with Stream(url, ada.token) as before:
        ada.task()
        before.wait_for(1)
        # As if a backup from before the last two tasks had been put back.
        database.write(lambda db: db.execute(delete(task_history).where(task_history.c.id > 1)))
        with Stream(url, ada.token):
            assert before.is_over.wait(SECONDS)
        with Stream(url, ada.token) as after:
            ada.task("New")
            assert [each["data"]["task"]["title"] for each in after.wait_for(1)] == ["New"]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_account_has_ten_streams_and_each_ends_with_its_session(
    api: Api, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_hub, "LOOK_SECONDS", 0.1)
    ada = api.person()
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(Stream(url, ada.token)) for _ in range(10)]
        assert {each.status for each in streams} == {200}
        headers = {"Authorization": f"Bearer {ada.token}"}
        refused = httpx.get(f"{url}/events/stream", headers=headers)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_streams")
        assert refused.headers["retry-after"]
        streams[0].__exit__()
        wait_until(lambda: httpx.head(f"{url}/events/stream", headers=headers).status_code != 429)
        streams[0] = stack.enter_context(Stream(url, ada.token))
        assert httpx.head(f"{url}/events/stream", headers=headers).status_code == 429
        streams[0].__exit__()
        wait_until(lambda: httpx.head(f"{url}/events/stream", headers=headers).status_code != 429)
        assert httpx.get(f"{url}/events/stream?after=x", headers=headers).status_code == 422
        refused = httpx.get(f"{url}/events/stream", headers=headers | {"Last-Event-ID": "x"})
        assert refused.json()["errors"][0]["pointer"] == "header.Last-Event-ID"
        wait_until(lambda: all(each.comments >= 2 for each in streams[1:]))
        root = api.person("root", admin=True)
        everything = stack.enter_context(Stream(url, root.token, params={"scope": "all"}))
        ada.task("Seen by an admin")
        everything.wait_for(1)
        wait_until(lambda: everything.comments >= 2)
        assert not everything.is_over.is_set()
        api.person("another", admin=True).patch(f"/users/{root.id}", json={"role": "member"})
        assert everything.is_over.wait(SECONDS)
        ada.post("/auth/logout-all")
        for each in streams[1:]:
            assert each.is_over.wait(SECONDS)


@pytest.mark.thorough
def test_a_server_that_is_told_to_stop_ends_its_streams_and_waits(tmp_path: Path) -> None:
    with ServerProcess(tmp_path) as server:
        client = httpx.Client(base_url=server.url)
        form = {"username": "ada", "email": "ada@example.com", "password": PASSWORD}
        client.post("/auth/register", json=form).raise_for_status()
        login = {"username": "ada", "password": PASSWORD}
        token = client.post("/auth/login", data=login).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"
        waited: list[httpx.Response] = []
        thread = threading.Thread(
            target=lambda: waited.append(client.get("/events?wait=30", timeout=SECONDS))
        )
        with Stream(server.url, token) as stream:
            thread.start()
            # A server says nowhere that a read has begun to wait.
            time.sleep(1)
            assert server.end() in (0, -signal.SIGTERM)
            assert stream.is_over.wait(SECONDS)
            thread.join(SECONDS)
        assert waited[0].json() == []
        client.close()


def test_the_hub_of_an_event_loop_that_has_ended_does_not_keep_it() -> None:
    async def use() -> "weakref.ref[asyncio.AbstractEventLoop]":
        stream_hub.hub_here()
        return weakref.ref(asyncio.get_running_loop())

    loop = asyncio.run(use())
    gc.collect()
    assert loop() is None
