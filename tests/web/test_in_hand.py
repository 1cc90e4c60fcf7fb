"""Room for the large bodies that a process keeps at the same time."""

import asyncio
import json
import socket
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from main import app
from routers.transfer import IMPORT_BODY
from tests.support.api import Api, Person
from tests.support.serving import served
from tests.support.waiting import SECONDS, wait_until
from web import in_hand, middleware
from web.in_hand import Room

# A body that needs room, of which a caller's share takes one.
BODY = json.dumps([{"title": "t", "description": "x" * 60_000}] * 2).encode()


class SlowBody:
    """An import that sends the end of its body when it is asked to."""

    def __init__(self, url: str, person: Person, *, in_chunks: bool) -> None:
        length = "Transfer-Encoding: chunked" if in_chunks else f"Content-Length: {len(BODY)}"
        head = (
            "POST /tasks/import HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {person.token}\r\n{length}\r\n\r\n"
        )
        sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY) if in_chunks else BODY
        self._rest = sent[-20:]
        self._socket = socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=SECONDS)
        self._socket.sendall(head.encode() + sent[:-20])

    def end(self) -> bytes:
        """Send the end of the body, and return the first line of the answer."""
        self._socket.sendall(self._rest)
        with self._socket, self._socket.makefile("rb") as answer:
            line = answer.readline()
            answer.read()
        return line

    def go(self) -> None:
        """Go away without the end of the body."""
        self._socket.close()


@pytest.mark.one_database
@pytest.mark.parametrize("in_chunks", [False, True])
def test_a_caller_whose_large_bodies_come_slowly_waits_and_others_do_not(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, in_chunks: bool
) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    share = IMPORT_BODY if in_chunks else len(BODY) + 1
    room = Room(2 * share, share)
    monkeypatch.setattr(in_hand, "of_imports", room)
    with served(app) as url, ThreadPoolExecutor(1) as another:

        def send(person: Person) -> int:
            headers = {"Authorization": f"Bearer {person.token}"}
            return httpx.post(
                f"{url}/tasks/import", json=json.loads(BODY), headers=headers, timeout=SECONDS
            ).status_code

        first = SlowBody(url, ada, in_chunks=in_chunks)
        wait_until(lambda: room.taken)
        second = another.submit(send, ada)
        gone = SlowBody(url, ada, in_chunks=in_chunks)
        wait_until(lambda: room.waiting() == 2)
        assert send(bob) == 201
        assert not second.done()
        gone.go()
        assert first.end().startswith(b"HTTP/1.1 201")
        assert second.result(SECONDS) == 201
        # The client that went away is no error of this program.
        wait_until(lambda: not room.taken)
        assert room.waiting() == 0
        assert not [each for each in caplog.records if each.levelname == "ERROR"]


async def begin(room: Room, caller: str, size: int) -> "asyncio.Task[None]":
    """Ask for room, and return the request, which either waits now or has room."""
    asked = asyncio.ensure_future(room.take(caller, size))
    for _ in range(3):
        await asyncio.sleep(0)
    return asked


def test_room_is_handed_out_in_order_and_a_request_that_gives_up_keeps_none_waiting() -> None:
    async def come() -> None:
        room = Room(100, 60)
        await room.take("ada", 60)
        own = await begin(room, "ada", 10)
        large = await begin(room, "bob", 60)
        # A smaller one behind it does not overtake.
        small = await begin(room, "eve", 10)
        assert room.waiting() == 3
        large.cancel()
        await small
        assert room.taken == {"ada": 60, "eve": 10}
        room.give_back("ada", 60)
        await own
        assert room.taken == {"ada": 10, "eve": 10}

    asyncio.run(come())


def test_a_request_that_ends_when_it_gets_room_gives_it_back() -> None:
    async def come() -> None:
        room = Room(100, 60)
        # A body larger than the share has it alone.
        await room.take("ada", 90)
        late = await begin(room, "ada", 60)
        room.give_back("ada", 90)
        assert room.taken == {"ada": 60}
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        assert not room.taken
        assert not room.waiting()

    asyncio.run(come())


def test_a_request_whose_event_loop_has_closed_keeps_no_room() -> None:
    room = Room(100, 100)
    asyncio.run(room.take("ada", 100))
    loop = asyncio.new_event_loop()
    waiting = room.take("bob", 100)
    loop.run_until_complete(_begin(waiting))
    loop.close()
    room.give_back("ada", 100)
    assert not room.taken
    waiting.close()


async def _begin(waiting: object) -> None:
    waiting.send(None)  # type: ignore[attr-defined]


@pytest.mark.one_database
def test_who_does_not_read_large_answers_gets_no_more_of_them_and_is_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada, bob = api.person("ada"), api.person("bob")
    for each in (ada, bob):
        assert each.post("/tasks/import", json=[{"title": "t", "description": "x" * 60_000}] * 80).is_success
    room = Room(100 * in_hand.MEBIBYTE, 6 * in_hand.MEBIBYTE)
    monkeypatch.setattr(in_hand, "of_answers", room)
    monkeypatch.setattr(middleware, "SLICE_SECONDS", 1000.0)
    with served(app, send_buffer=65536) as url, socket.socket() as silent:

        def status(person: Person, path: str = "/tasks") -> int:
            headers = {"Authorization": f"Bearer {person.token}"}
            return httpx.get(url + path, headers=headers, timeout=SECONDS).status_code

        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        head = f"GET /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\n\r\n".encode()
        silent.sendall(head)
        wait_until(lambda: room.taken)
        assert (status(ada), status(ada, "/events")) == (503, 503)
        assert status(ada, "/tasks?limit=1") == 200
        assert status(bob) == 200
        silent.close()
        wait_until(lambda: not room.taken)
        assert status(ada) == 200


@pytest.mark.one_database
def test_a_client_that_reads_nothing_of_a_large_answer_is_cut_off(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()
    assert ada.post("/tasks/import", json=[{"title": "t", "description": "x" * 60_000}] * 80).is_success
    room = Room(in_hand.MEBIBYTE, in_hand.MEBIBYTE)
    monkeypatch.setattr(in_hand, "of_answers", room)
    monkeypatch.setattr(middleware, "SLICE_SECONDS", 0.1)
    with served(app, send_buffer=4096) as url, socket.socket() as silent:
        silent.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        silent.connect(("127.0.0.1", int(url.rpartition(":")[2])))
        silent.sendall(
            f"GET /tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ada.token}\r\n\r\n".encode()
        )
        wait_until(lambda: "reads too slowly" in caplog.text)
        wait_until(lambda: not room.taken)
