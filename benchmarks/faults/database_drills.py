"""Drills in which the server is killed, or its database goes away or is full."""

import os
import random
import signal
import socket
import subprocess
import time

from benchmarks.faults.clients import Writers, account, call
from benchmarks.faults.space import must, space, wait_until


def killed(kind: str) -> str:
    """Kill the server twenty times under 32 writing clients: every acknowledged write is there, whole."""
    with space(kind) as home:
        server = home.server().start()
        people = [account(server.port, f"person{number}") for number in range(8)]
        with Writers([server.port], [token for _, token in people]) as writers:
            for _ in range(20):
                time.sleep(random.uniform(0.2, 0.8))  # noqa: S311  # when does not matter
                server.end(signal.SIGKILL)
                server.start()
            time.sleep(0.5)
        acknowledged = writers.acknowledged
        wait_until(
            lambda: home.count("SELECT count(*) FROM notifications WHERE state = 'waiting'") == 0,
            90,
            "what the dead servers left is delivered",
        )
        server.end()
        titles = home.titles()
        lost = [number for number, title in acknowledged.items() if titles.get(number) != title]
        must(not lost, f"{len(lost)} acknowledged tasks are lost")
        history = {row[0] for row in home.ask("SELECT task_id FROM task_history WHERE kind = 'created'")}
        told = {row[0] for row in home.ask("SELECT task_id FROM notifications WHERE kind = 'created'")}
        must(
            set(titles) == history == told, "a task without its history or its notification, or the other way"
        )
        logged = server.log()
        unlogged = [title for title in acknowledged.values() if f"Task '{title}' was created" not in logged]
        must(not unlogged, f"{len(unlogged)} notifications are not in the log")
        counted = home.count("SELECT sum(pending + in_progress + completed) FROM owner_counts")
        must(counted == len(titles), "the counts kept are not those of the tasks")
        if kind == "sqlite":
            must(home.ask("PRAGMA integrity_check")[0][0] == "ok", "integrity_check is not ok")
        return (
            f"20 kills, {len(acknowledged)} acknowledged of {len(titles)} tasks, none lost,"
            f" each with history, notification and log line"
        )


def postgres_gone() -> str:
    """Stop and start Postgres under load: 503 in between, no client hangs, and full service soon after."""
    figures = []
    with space("postgres") as home:
        assert home.postgres is not None
        server = home.server().start()
        people = [account(server.port, f"person{number}") for number in range(8)]
        for how in (signal.SIGINT, signal.SIGQUIT):
            with Writers([server.port], [token for _, token in people]) as writers:
                time.sleep(2)
                stopped = time.monotonic()
                home.postgres.stop(how)
                time.sleep(5)
                home.postgres.__enter__()
                back = time.monotonic()
                time.sleep(6)
            bad = {status for status in writers.answers if status not in (201, 503)}
            must(not bad, f"other answers than 201 and 503: {writers.answers}")
            must(writers.slowest() < 10, f"a request took {writers.slowest():.1f} s")
            last = max((at for at, status, _ in writers.times if status == 503), default=stopped)
            must(last - back < 5, f"503 still {last - back:.1f} s after it was back")
            must(
                any(status == 201 for at, status, _ in writers.times if at > back),
                "no service after it was back",
            )
            rows = home.count("SELECT count(*) FROM tasks")
            must(rows >= len(writers.acknowledged), "an acknowledged task is lost")
            connections = home.count(
                "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'task_platform'"
            )
            must(connections <= 2 * 10 + 6, f"{connections} connections are open")
            busy = home.count("SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'")
            must(busy == 0, f"{busy} connections were left in a transaction")
            figures.append(
                f"{signal.Signals(how).name}: {writers.answers[201]} x 201, {writers.answers[503]} x 503, slowest"
                f" {writers.slowest():.2f} s, last 503 {max(0.0, last - back):.2f} s after it was back,"
                f" {connections} connections"
            )
        must(call(server.port, "GET", "/ready")[0] == 200, "not ready again")
    return "; ".join(figures)


def disk_full() -> str:
    """Fill the disk: writes get 507, reads go on, and all acknowledged writes are there when there is room again."""
    if os.geteuid() != 0:
        return "skipped: mounting a small disk takes root"
    with space("sqlite") as home:
        disk, server = home.home / "disk", home.server()
        disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)], check=True)
        try:
            home.url = f"sqlite:///{disk}/tasks.db"
            home.prepare()
            # The cache lies on the same disk.
            server = home.server(CACHE_DIR=str(disk)).start()
            people = [account(server.port, f"person{number}") for number in range(4)]
            token = people[0][1]
            with Writers([server.port], [each for _, each in people], clients=8) as writers:
                wait_until(lambda: writers.answers[507] > 50, 60, "the disk is full")
            must(set(writers.answers) == {201, 507}, f"other answers: {writers.answers}")
            status, listed = call(server.port, "GET", "/tasks?limit=5", token=token)
            must((status, len(listed)) == (200, 5), "reading does not go on")
            must(
                call(server.port, "GET", "/analytics/user-completion-stats", token=token)[0] == 200,
                "no figures",
            )
            for left in disk.glob("cache_user_*"):
                left.unlink()
            subprocess.run(["mount", "-o", "remount,size=30m", str(disk)], check=True)
            status, _ = call(server.port, "POST", "/tasks", {"title": "Room again"}, token)
            must(status == 201, f"writing does not go on: {status}")
            server.end()
            titles = home.titles()
            lost = [each for each, title in writers.acknowledged.items() if titles.get(each) != title]
            must(not lost, f"{len(lost)} acknowledged tasks are lost")
            must(len(titles) == len(writers.acknowledged) + 1, "a task is there that was refused")
            must(home.ask("PRAGMA integrity_check")[0][0] == "ok", "integrity_check is not ok")
            return f"{writers.answers[201]} x 201, {writers.answers[507]} x 507, none lost, integrity ok"
        finally:
            server.__exit__()
            subprocess.run(["umount", str(disk)], check=True)


def slow_client() -> str:
    """Stop the server while a client never ends its request: the server ends in time all the same."""
    with space("sqlite") as home:
        server = home.server().start()
        with socket.create_connection(("127.0.0.1", server.port)) as slow:
            slow.sendall(
                b"POST /auth/register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                b"Content-Length: 10\r\n\r\n{"
            )
            call(server.port, "GET", "/health")
            began = time.monotonic()
            code = server.end(signal.SIGTERM)
            took = time.monotonic() - began
        must(took < 10, f"gone only after {took:.1f} s")
        must(code in (-signal.SIGTERM, 128 + signal.SIGTERM, 0), f"exit code {code}")
        return f"gone after {took:.1f} s, exit code {code}"
