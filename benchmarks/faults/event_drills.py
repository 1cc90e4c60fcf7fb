"""Drills of the feed and of streams: a follower misses nothing, and waiting costs little."""

import http.client
import os
import random
import resource
import signal
import socket
import statistics
import threading
import time
from contextlib import ExitStack

from benchmarks.faults.clients import account, call, log_in
from benchmarks.faults.event_clients import Changers, Follower
from benchmarks.faults.space import Space, must, space, wait_until
from benchmarks.servers import HOST, cpu_seconds, resident_mb
from services.events import event_id

STORM_SECONDS = float(os.environ.get("STORM_SECONDS", "120"))
KILL_EVERY_SECONDS = 2.0
STREAMS = 1000
EVENTS = 1_000_000


def admin(home: Space, port: int, name: str = "root") -> str:
    """The token of an admin, who may follow everybody's events."""
    account(port, name)
    execute(home, f"UPDATE users SET role = 'admin' WHERE username = '{name}'")
    return log_in(port, name)


def execute(home: Space, sql: str) -> None:
    """Execute this in the database, past the program."""
    from sqlalchemy import create_engine, text  # noqa: PLC0415

    engine = create_engine(home.url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(sql))
    engine.dispose()


def feed_followed(kind: str) -> str:
    """Kill -9 every two seconds under 32 writers: each follower gets each committed event once, in order."""
    with space(kind) as home:
        servers = [home.server(name).start() for name in ("abc" if kind == "postgres" else "ab")]
        ports = [server.port for server in servers]
        token = admin(home, ports[0])
        tokens = [account(ports[0], f"person{number}")[1] for number in range(8)]
        followers = [Follower(ports, token, how) for how in ("after", "wait", "stream")]
        kills = 0
        with ExitStack() as stack:
            for follower in followers:
                stack.enter_context(follower)
            with Changers(ports, tokens, 32, pause=0.05) as changers:
                holder = threading.Thread(
                    target=_hold_transactions, args=(home, changers.ending), daemon=True
                )
                if kind == "postgres":
                    holder.start()
                end = time.monotonic() + STORM_SECONDS
                while time.monotonic() < end:
                    time.sleep(KILL_EVERY_SECONDS)
                    server = random.choice(servers)  # noqa: S311  # whichever
                    server.end(signal.SIGKILL)
                    server.start()
                    kills += 1
            if kind == "postgres":
                holder.join()
            rows = home.ask("SELECT id, task_id FROM task_history ORDER BY id")
            wait_until(
                lambda: all(len(each.ids) >= len(rows) for each in followers),
                60,
                "every follower has all events",
            )
            time.sleep(1)
        expected = [event_id.encode(row[0]) for row in rows]
        for follower in followers:
            must(len(set(follower.ids)) == len(follower.ids), f"{follower.how}: an event came twice")
            must(set(follower.ids) == set(expected), f"{follower.how}: an event is missing")
            must(follower.ids == expected, f"{follower.how}: the order differs")
        return f"{kills} kills, {len(expected)} events, each once and in order at three followers"


def _hold_transactions(home: Space, ending: threading.Event) -> None:
    """Keep transactions that have drawn an event's number open for seconds, and roll half of them back."""
    from sqlalchemy import create_engine, text  # noqa: PLC0415

    engine = create_engine(home.url)
    while not ending.is_set():
        with engine.connect() as connection:
            connection.execute(text("UPDATE users SET email_verified_at = now() WHERE username = 'person0'"))
            connection.execute(
                text(
                    "INSERT INTO task_history (task_id, actor_id, kind, created_at, changes, owner_id, status)"
                    " VALUES (0, 1, 'created', now(), '{}', 2, 'pending')"
                )
            )
            time.sleep(random.uniform(0.2, 2))  # noqa: S311
            if random.random() < 0.5:  # noqa: S311
                connection.commit()
            else:
                connection.rollback()
    engine.dispose()


def idle_streams(kind: str) -> str:
    """Open a thousand streams: measure each one's cost at rest, and how soon another process's event reaches all."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    try:
        with space(kind) as home:
            server, other = home.server("a").start(), home.server("b").start()
            names = [f"person{number}" for number in range(STREAMS // 10)]
            for name in names:
                account(server.port, name)
            execute(home, "UPDATE users SET role = 'admin'")
            tokens = [log_in(server.port, name) for name in names]
            assert server.process is not None
            pid = server.process.pid
            # The first streams load modules, which stay in memory and are not counted.
            for each in _open(server.port, tokens[:1] * 10):
                each.close()
            time.sleep(3)
            before = resident_mb(pid)
            sockets = _open(server.port, [token for token in tokens for _ in range(10)])
            time.sleep(3)
            kilobytes = (resident_mb(pid) - before) * 1000 / len(sockets)
            began, used = time.monotonic(), cpu_seconds(pid)
            time.sleep(30)
            share = (cpu_seconds(pid) - used) / (time.monotonic() - began)
            took = []
            for port in (server.port, other.port):
                for each in sockets:
                    _drain(each)
                sent = time.monotonic()
                call(port, "POST", "/tasks", {"title": "For all"}, tokens[0])
                for each in sockets:
                    _wait_for_event(each)
                took.append(time.monotonic() - sent)
            for each in sockets:
                each.close()
            must(kilobytes < 40, f"{kilobytes:.0f} KB for each stream")
            must(share < 0.02, f"{share:.1%} of a core at rest")
            must(max(took) < 1, f"an event took {max(took):.2f} s")
            return (
                f"{len(sockets)} streams, {kilobytes:.0f} KB each, {share:.2%} of a core at rest; an event at all in"
                f" {took[0]:.2f} s, of another process in {took[1]:.2f} s"
            )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _open(port: int, tokens: list[str]) -> list[socket.socket]:
    opened = []
    for token in tokens:
        connection = socket.create_connection((HOST, port), 30)
        connection.sendall(
            f"GET /events/stream?scope=all HTTP/1.1\r\nHost: {HOST}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
        )
        must(b" 200 " in connection.recv(4096), "a stream was not opened")
        opened.append(connection)
    return opened


def _drain(connection: socket.socket) -> None:
    connection.settimeout(0)
    try:
        while connection.recv(65536):
            pass
    except BlockingIOError:
        connection.settimeout(10)


def _wait_for_event(connection: socket.socket) -> None:
    received = b""
    while b"event: task.created" not in received:
        part = connection.recv(65536)
        must(part, "a stream was cut")
        received += part


def million_events(kind: str) -> str:
    """Read pages behind any point of a million events, for an account, a project and an admin."""
    with space(kind) as home:
        server = home.server().start()
        token = admin(home, server.port)
        _, member = account(server.port, "member")
        _fill(home)
        execute(home, "VACUUM ANALYZE" if kind == "postgres" else "ANALYZE")
        if kind == "postgres":
            # Postgres writes the filled tables to the disk by and by, which would be measured with the pages.
            execute(home, "CHECKPOINT")
        figures: dict[str, float] = {}
        questions = {
            "account": (member, ""),
            "account, a rare type": (member, "&types=task.deleted"),
            "project": (token, "&project_id=1"),
            "project, a rare type": (token, "&project_id=1&types=task.deleted"),
            "admin": (token, "&scope=all"),
            "admin, a rare type": (token, "&scope=all&types=task.deleted"),
        }
        for name, (who, question) in questions.items():
            took = []
            connection = http.client.HTTPConnection(HOST, server.port, timeout=30)
            for place in (1, EVENTS // 3, EVENTS // 2, EVENTS * 9 // 10, EVENTS - 50):
                path = f"/events?after={event_id.encode(place)}{question}"
                for _ in range(9):
                    began = time.monotonic()
                    connection.request("GET", path, headers={"Authorization": f"Bearer {who}"})
                    answer = connection.getresponse()
                    answer.read()
                    took.append(1000 * (time.monotonic() - began))
                    must(answer.status == 200, f"{name}: {answer.status}")
            connection.close()
            figures[name] = statistics.median(took)
        said = ", ".join(f"{name} {half:.1f}" for name, half in figures.items())
        must(max(figures.values()) < 5, f"a page of 100 takes too long, median ms: {said}")
        return f"a page of 100 by HTTP, median ms: {said}"


def _fill(home: Space) -> None:
    """Make a million events of a thousand accounts: a tenth of them the member's, and half of them in projects."""
    execute(home, "DELETE FROM task_history")
    now = "now()" if home.kind == "postgres" else str(int(time.time() * 1_000_000))
    numbers = (
        f"SELECT n FROM generate_series(1, {EVENTS}) AS n"
        if home.kind == "postgres"
        else f"WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {EVENTS}) SELECT n FROM numbers"
    )
    owner = "CASE WHEN n % 10 = 0 THEN 2 ELSE 3 + n % 1000 END"
    project = "CASE WHEN n % 2 = 0 THEN 1 + n % 50 END"
    columns = (
        "id, task_id, actor_id, kind, created_at, changes, owner_id, status, previous_owner_id, previous_status,"
        " project_id, previous_project_id, snapshot"
    )
    identity = " OVERRIDING SYSTEM VALUE" if home.kind == "postgres" else ""
    execute(
        home,
        f"INSERT INTO task_history ({columns}){identity} SELECT n, 1 + n / 4, 2, 'updated', {now},"
        ' \'{"priority": {"from": 0, "to": 1}}\','
        f" {owner}, 'pending', {owner}, 'pending', {project}, {project},"
        ' \'{"id": 1, "title": "Write the report", "description": "Two pages, with figures", "status": "pending"}\''
        f" FROM ({numbers}) AS filled",
    )
    if home.kind == "postgres":
        execute(home, f"SELECT setval(pg_get_serial_sequence('task_history', 'id'), {EVENTS})")
