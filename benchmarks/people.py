"""Accounts, tasks and the requests of each scenario, all through the API."""

import itertools
import json
import random
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from benchmarks.load import Call, Source, answer_length, form, load, request
from benchmarks.servers import HOST

PASSWORD = "correct horse 7 battery"  # noqa: S105  # of accounts that live for minutes
MEMBER_TASKS = 100  # each account has at least a full list of 100


class WrongAnswerError(RuntimeError):
    """The set-up met an answer that it can't go on with."""


@dataclass(slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Api:
    """One kept connection, for set-up and for measuring one call at a time.

    It is a plain socket, because the time of an HTTP library would blur a call of half a millisecond.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self._socket: socket.socket | None = None
        self._used = 0.0

    def ask(
        self,
        method: str,
        path: str,
        *,
        token: str = "",
        data: object = None,
        fields: dict[str, str] | None = None,
    ) -> Answer:
        """Make one call; `data` is sent as JSON, `fields` as a form."""
        if fields is not None:
            whole = form(path, urlencode(fields).encode())
        elif isinstance(data, bytes):
            whole = request(method, path, token, data)
        else:
            whole = request(method, path, token, json.dumps(data).encode() if data else b"")
        if self._socket is None or time.monotonic() - self._used > 3:
            # uvicorn closes a connection that was idle for 5 s.
            self.close()
            self._socket = socket.create_connection((HOST, self.port), 600)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        start = time.perf_counter()
        self._socket.sendall(whole)
        received = bytearray()
        needed: int | None = None
        while needed is None or len(received) < needed:
            more = self._socket.recv(1 << 18)
            if not more:
                raise WrongAnswerError(f"{method} {path}: the connection was closed")
            received += more
            needed = needed or answer_length(received)
        seconds = time.perf_counter() - start
        self._used = time.monotonic()
        head, _, body = bytes(received).partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        named = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        if named.get("connection", "").lower() == "close":
            self.close()
        return Answer(int(first.split()[1]), named, body, seconds)

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def must(self, expected: int, method: str, path: str, **more: Any) -> Answer:
        """Make one call, wait if a 429 says so, and stop at any status but the expected one."""
        answer = self.ask(method, path, **more)
        for _ in range(20):
            if answer.status != 429:
                break
            time.sleep(min(60.0, float(answer.headers.get("retry-after", "1"))))
            answer = self.ask(method, path, **more)
        if answer.status != expected:
            text = answer.body[:500].decode(errors="replace")
            raise WrongAnswerError(f"{method} {path}: {answer.status} for {expected}: {text}")
        return answer

    def login(self, username: str, password: str = PASSWORD) -> str:
        fields = {"username": username, "password": password}
        token = self.must(200, "POST", "/auth/login", fields=fields).json()["access_token"]
        assert isinstance(token, str)
        return token

    def register(self, username: str, password: str = PASSWORD) -> int:
        account = {"username": username, "email": f"{username}@example.com", "password": password}
        number = self.must(200, "POST", "/auth/register", data=account).json()["id"]
        assert isinstance(number, int)
        return number


@dataclass(slots=True)
class Person:
    """An account with its token and the ids of its tasks that are known."""

    name: str
    token: str
    tasks: list[int] = field(default_factory=list)


def new_task(number: int) -> bytes:
    """The body of a create call, of an ordinary size and never twice the same."""
    body = {
        "title": f"Write the report of week {number}",
        "description": "What was done, what was not, and who has to know about it by Friday.",
        "priority": number % 5,
        "project": f"Project {number % 7}",
        "tags": ["report", f"week-{number % 52}"],
        "due_at": "2030-01-31T12:00:00Z",
    }
    return json.dumps(body).encode()


def limited(sources: list[Source], total: int) -> list[Source]:
    """The same sources with a limit: together they ask at most `total` times."""
    left = itertools.count(total, -1)

    def cut(source: Source) -> Source:
        return lambda: source() if next(left) > 0 else None

    return [cut(source) for source in sources]


def settle_in(port: int, count: int, prefix: str = "person") -> list[Person]:
    """Register, log in and give each account its tasks."""
    api = Api(port)
    people = []
    for number in range(count):
        api.register(f"{prefix}{number}")
        people.append(Person(f"{prefix}{number}", api.login(f"{prefix}{number}")))
    total = count * MEMBER_TASKS
    turns = itertools.cycle(people)
    seeds = [(request("POST", "/tasks", next(turns).token, new_task(n)), 201) for n in range(total)]
    waiting = iter(seeds)
    # Only a few write at once, because the tutorial on SQLite fails if many write.
    done = load([lambda: next(waiting, None) for _ in range(4)], [port], 600)
    if done.failed:
        raise WrongAnswerError(f"creating {total} tasks: {dict(done.failures)}")
    for person in people:
        rows = api.must(200, "GET", "/tasks?limit=100", token=person.token).json()
        person.tasks = [row["id"] for row in rows]
        if len(person.tasks) != MEMBER_TASKS:
            raise WrongAnswerError(f"{person.name} has {len(person.tasks)} tasks, not {MEMBER_TASKS}")
    return people


# ---- scenarios -----------------------------------------------------------------------------------

_numbers = itertools.count(1_000_000)


def _shuffled(person: Person, method: str) -> Iterator[Call]:
    calls = [(request(method, f"/tasks/{task}", person.token), 200) for task in person.tasks]
    random.shuffle(calls)
    return itertools.cycle(calls)


def get_by_id(person: Person) -> Source:
    calls = _shuffled(person, "GET")
    return lambda: next(calls)


def list_of(limit: int) -> Callable[[Person], Source]:
    def make(person: Person) -> Source:
        call = (request("GET", f"/tasks?limit={limit}", person.token), 200)
        return lambda: call

    return make


def create(person: Person) -> Source:
    return lambda: (request("POST", "/tasks", person.token, new_task(next(_numbers))), 201)


def update(person: Person) -> Source:
    tasks = itertools.cycle(random.sample(person.tasks, len(person.tasks)))

    def call() -> Call:
        body = b'{"title": "Renamed for the %dth time"}' % next(_numbers)
        return request("PATCH", f"/tasks/{next(tasks)}", person.token, body), 200

    return call


def mix(person: Person) -> Source:
    """Random calls: in ten of them about six read by id, two list, one creates and one updates."""
    made = [get_by_id(person)] * 6 + [list_of(20)(person)] * 2 + [create(person), update(person)]

    def call() -> Call | None:
        return random.choice(made)()  # noqa: S311  # no secret

    return call


SCENARIOS: dict[str, Callable[[Person], Source]] = {
    "get by id": get_by_id,
    "list of 20": list_of(20),
    "list of 100": list_of(100),
    "create": create,
    "update": update,
}


def clients(people: list[Person], make: Callable[[Person], Source], count: int) -> list[Source]:
    """One source for each client; the accounts take turns where there are fewer."""
    return [make(people[number % len(people)]) for number in range(count)]
