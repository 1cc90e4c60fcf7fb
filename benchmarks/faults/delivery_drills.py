"""Drills in which the work after the response fails: the mail server, the process, Redis."""

import json
import shutil
import signal
import subprocess
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import redis
from sqlalchemy import create_engine, insert

from benchmarks.faults.clients import Writers, account, call, log_in
from benchmarks.faults.space import Space, must, space, wait_until
from benchmarks.servers import HOST, free_port
from tables.notifications import notifications
from tests.support.mail import MailCatcher, mail_catcher

PHASE_SECONDS = 6.0


def _mail_settings(catcher: MailCatcher, **more: str) -> dict[str, str]:
    return {
        "SMTP_SERVER": HOST,
        "SMTP_PORT": str(catcher.port),
        "SMTP_SECURITY": "none",
        "SMTP_FROM": "tasks@example.com",
        "MAIL_RETRY_SECONDS": "0.5",
        **more,
    }


def _must_be_once(catcher: MailCatcher, expected: int) -> None:
    ids = Counter(mail["message-id"] for mail in catcher.mails)
    must(len(ids) == expected, f"{len(ids)} different mails, expected {expected}")
    twice = [count for count in ids.values() if count > 1]
    must(not twice, f"{len(twice)} mails came more than once")


def mail_server_fails(kind: str) -> str:
    """Have the mail server up, down, refusing, slow, up: every mail arrives once, and requests do not notice."""
    with space(kind) as home, mail_catcher() as catcher:
        server = home.server(**_mail_settings(catcher)).start()
        people = [account(server.port, f"person{number}") for number in range(4)]
        figures: dict[str, float] = {}

        def phase(name: str) -> None:
            began = time.monotonic()
            time.sleep(PHASE_SECONDS)
            half, most = writers.percentiles(began, time.monotonic())
            figures[name] = half
            said.append(f"{name} {half:.1f}/{most:.1f}")

        said: list[str] = []
        tokens = [token for _, token in people]
        with Writers([server.port], tokens, clients=4, status="completed", pause=0.1) as writers:
            time.sleep(1)
            phase("up")
            catcher.stop()
            phase("down")
            catcher.refusal = "451 Not now"
            catcher.start()
            phase("refusing")
            catcher.refusal, catcher.delay = None, 3.0
            phase("slow")
            catcher.delay = 0.0
            phase("up again")
        created = len(writers.acknowledged)
        must(set(writers.answers) == {201}, f"other answers than 201: {writers.answers}")
        took = wait_until(
            lambda: len(catcher.mails) >= created, 120, f"{created} mails, {len(catcher.mails)} came"
        )
        time.sleep(2)
        _must_be_once(catcher, created)
        worst = max(figures[name] for name in ("down", "refusing", "slow"))
        must(worst < 3 * figures["up"] + 5, f"requests became slower: {figures}")
        return f"{created} mails, each once, the last {took:.1f} s after the load; POST p50/p99 ms: {', '.join(said)}"


def _token_in(catcher: MailCatcher) -> str:
    texts = [str(mail.get_body(("plain",)).get_content()) for mail in catcher.mails]  # type: ignore[union-attr]
    (link,) = (text for text in texts if "#token=" in text)
    return link.partition("#token=")[2].split()[0]


def killed_before_mail(kind: str) -> str:
    """Kill the server after its commits and while it sends a mail: mails and links arrive after the restart."""
    waits = []
    with space(kind) as home, mail_catcher() as catcher:
        server = home.server(**_mail_settings(catcher, SMTP_TIMEOUT_SECONDS="1")).start()
        _, token = account(server.port, "ada")
        for on_its_way in (False, True):
            catcher.mails.clear()
            catcher.delay = 30.0
            connections = catcher.connections
            status, _ = call(server.port, "POST", "/tasks", {"title": "Write", "status": "completed"}, token)
            must(status == 201, "not created")
            forgot = {"email": "ada@example.com"}
            status, _ = call(server.port, "POST", "/auth/password/forgot", forgot)
            must(status == 200, "no link asked for")
            if on_its_way:
                wait_until(lambda: catcher.connections > connections, 10, "the mail is on its way")  # noqa: B023
            server.end(signal.SIGKILL)
            must(not catcher.mails, "the mail came before")
            catcher.delay = 0.0
            server.start()
            both = wait_until(lambda: len(catcher.mails) == 2, 100, "the mails arrive after the restart")
            waits.append(both)
            time.sleep(1)
            _must_be_once(catcher, 2)
            new_password = {"token": _token_in(catcher), "new_password": f"another long battery {on_its_way}"}
            status, _ = call(server.port, "POST", "/auth/password/reset", new_password)
            must(status == 200, "the link that came sets a password")
            wait_until(lambda: len(catcher.mails) == 3, 10, "the mail that it was changed")
            token = log_in(server.port, "ada", new_password["new_password"])
    return f"arrived {waits[0]:.1f} s after the restart, and {waits[1]:.1f} s where it had been on its way"


def three_processes() -> str:
    """Run three servers on one Postgres with 1,000 notifications: 1,000 mails and log lines, never one twice."""
    count = 1000
    with space("postgres") as home, mail_catcher() as catcher:
        servers = [home.server(name, **_mail_settings(catcher)).start() for name in "abc"]
        people = [account(servers[0].port, f"person{number}") for number in range(10)]
        began = time.monotonic()
        _insert_notifications(home, [number for number, _ in people], count)
        wait_until(lambda: len(catcher.mails) >= count, 120, f"{count} mails, {len(catcher.mails)} came")
        took = time.monotonic() - began
        time.sleep(2)
        _must_be_once(catcher, count)
        logs = [server.log() for server in servers]
        shares = [log.count("Notification sent to user") for log in logs]
        must(sum(shares) == count, f"{sum(shares)} lines in the logs")
        left = home.count("SELECT count(*) FROM notifications WHERE state <> 'delivered'")
        must(left == 0, f"{left} rows are not delivered")
        return f"{count} mails and {count} log lines, none twice, in {took:.1f} s; lines of each process: {shares}"


def _insert_notifications(home: Space, owners: list[int], count: int) -> None:
    now = datetime.now(UTC)
    rows = [
        {
            "user_id": owners[number % len(owners)],
            "kind": "completed",
            "task_id": number,
            "task_title": f"Task {number}",
            "actor_id": owners[0],
            "created_at": now,
            "state": "waiting",
            "attempts": 0,
            "next_attempt_at": now,
        }
        for number in range(count)
    ]
    engine = create_engine(home.url)
    with engine.begin() as connection:
        connection.execute(insert(notifications), rows)
    engine.dispose()


def redis_fails() -> str:
    """Kill and start Redis under load: there is no error, and no stale figure when it is back."""
    program = shutil.which("redis-server")
    if program is None:
        return "skipped: redis-server is not installed"
    port = free_port()
    with space("sqlite") as home:
        running = _start_redis(program, port, home.home)
        try:
            server = home.server(REDIS_URL=f"redis://{HOST}:{port}/0").start()
            people = [account(server.port, f"person{number}") for number in range(8)]
            tokens = [token for _, token in people]
            said = []
            with Writers([server.port], tokens, clients=8, pause=0.02) as writers:
                for name in ("up", "killed", "up again"):
                    if name == "killed":
                        running.kill()
                        running.wait()
                    elif name == "up again":
                        running = _start_redis(program, port, home.home)
                    began = time.monotonic()
                    time.sleep(PHASE_SECONDS)
                    half, most = writers.percentiles(began, time.monotonic())
                    said.append(f"{name} {half:.1f}/{most:.1f}")
                    _figures_are_right(server.port, people[0][1])
            must(set(writers.answers) == {201}, f"other answers than 201: {writers.answers}")
            took = wait_until(lambda: _entries_are_right(home, port), 20, "no entry is stale")
            return (
                f"{len(writers.acknowledged)} x 201 and no other; entries right {took:.1f} s after the load;"
                f" POST p50/p99 ms: {', '.join(said)}"
            )
        finally:
            running.kill()
            running.wait()


def _start_redis(program: str, port: int, home: Path) -> "subprocess.Popen[bytes]":
    started = subprocess.Popen(
        [program, "--port", str(port), "--bind", HOST, "--dir", str(home), "--save", "1 1"],
        stdout=subprocess.DEVNULL,
    )
    client = redis.Redis(HOST, port)

    def answers() -> bool:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False

    wait_until(answers, 10, "Redis answers")
    client.close()
    return started


def _figures_are_right(port: int, token: str) -> None:
    status, stats = call(port, "GET", "/analytics/user-completion-stats", token=token)
    must(status == 200, f"figures: {status}")
    status, later = call(port, "GET", "/analytics/project-stats", token=token)
    must(status == 200, f"figures: {status}")
    must(later[0]["total_tasks"] >= stats["total_tasks"] > 0, "a figure is older than one before")


def _entries_are_right(home: Space, port: int) -> bool:
    client = redis.Redis(HOST, port)
    counts = home.ask("SELECT user_id, sum(pending), sum(completed) FROM owner_counts GROUP BY user_id")
    entries = [(json.loads(client.get(f"cache_user_{row[0]}") or b"null"), row) for row in counts]
    client.close()
    return all(
        entry is not None
        and (entry["stats"]["pending_tasks"], entry["stats"]["completed_tasks"]) == (int(row[1]), int(row[2]))
        for entry, row in entries
    )
