"""Drills of webhooks: each event arrives at each receiver, whichever process dies and whatever receivers do."""

import os
import random
import signal
import threading
import time
from collections import defaultdict
from contextlib import ExitStack, suppress
from datetime import UTC, datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy.exc import OperationalError
from standardwebhooks import Webhook

from benchmarks.faults.clients import account, call
from benchmarks.faults.event_clients import Changers
from benchmarks.faults.event_drills import KILL_EVERY_SECONDS, STORM_SECONDS, execute
from benchmarks.faults.space import must, space, wait_until
from benchmarks.servers import children, own_cpu_seconds, settle
from services.events import event_id
from tests.support.receiver import Answer, Received, Receiver, receiver
from tests.support.server import ServerProcess

DOWN_SECONDS = min(60.0, STORM_SECONDS / 2)
ALLOWED = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DELIVERY_POLL_SECONDS": "1"}
CREATES = 1600
COST_ROUNDS = 8


def storm(kind: str) -> str:
    """Kill servers beside five receivers, four of which misbehave: each gets each event, and repeats have its id."""
    with space(kind) as home, ExitStack() as stack:
        servers = [home.server(name, **ALLOWED).start() for name in ("abc" if kind == "postgres" else "ab")]
        ports = [server.port for server in servers]
        user_id, token = account(ports[0], "person")
        receivers = {name: stack.enter_context(receiver()) for name in _BEHAVIOUR}
        secrets = {}
        for name, listening in receivers.items():
            body = {"url": listening.url, "types": ["task.*"]}
            status, made = call(ports[0], "POST", "/webhooks", body, token)
            must(status == 201, f"a webhook was not made: {made}")
            secrets[name] = made["secret"]
            listening.answer = _BEHAVIOUR[name](time.monotonic())
        kills = 0
        # The slow receiver takes ten events in a second, and has to keep up.
        with Changers(ports, [token], 2, pause=0.5):
            end = time.monotonic() + STORM_SECONDS
            while time.monotonic() < end:
                time.sleep(KILL_EVERY_SECONDS)
                server = random.choice(servers)  # noqa: S311  # whichever
                _kill(server, together=kills % 2 == 0)
                server.start()
                kills += 1
        expected = {
            event_id.encode(row[0])
            for row in home.ask(
                f"SELECT id FROM task_history WHERE owner_id = {user_id} OR previous_owner_id = {user_id}"
            )
        }

        def is_done() -> bool:
            # A failed delivery is due in five minutes, which is too long here. A sender may hold the lock just now.
            with suppress(OperationalError):
                _make_due(home)
            return all(_ids(each) >= expected for each in receivers.values())

        took = wait_until(is_done, 600, "every receiver has all events")
        repeats = {}
        for name, listening in receivers.items():
            by_event: dict[str, set[str]] = defaultdict(set)
            for each in listening.received:
                must(_is_signed(each, secrets[name]), f"{name}: the signature of {each} is wrong")
                by_event[from_json(each.body)["id"]].add(each.message_id)
            must(set(by_event) == expected, f"{name}: other events than there are")
            must(all(len(ids) == 1 for ids in by_event.values()), f"{name}: an event came by two ids")
            must(
                len({each.message_id for each in listening.received}) == len(expected),
                f"{name}: an id told two events",
            )
            repeats[name] = len(listening.received) - len(expected)
        return (
            f"{kills} kills, {len(expected)} events at each of five receivers {took:.0f} s after the storm;"
            f" repeated deliveries: {repeats}"
        )


def _kill(server: ServerProcess, *, together: bool) -> None:
    """Kill a server, and together with it the process that delivers for it."""
    assert server.process is not None
    beside = children(server.process.pid) if together else []
    server.end(signal.SIGKILL)
    for pid in beside:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _make_due(home: Any) -> None:
    past = (
        "now() - interval '1 second'" if home.kind == "postgres" else str(int((time.time() - 1) * 1_000_000))
    )
    execute(
        home,
        f"UPDATE webhook_deliveries SET next_attempt_at = {past}, attempts = 0, state = 'waiting'"
        " WHERE state <> 'delivered'",
    )
    execute(home, f"UPDATE webhooks SET due_at = {past} WHERE due_at IS NOT NULL AND claimed_until IS NULL")
    time.sleep(1)


def _is_signed(received: Received, secret: str) -> bool:
    """Whether the signature is right; `verify` would refuse an event that arrived five minutes ago."""
    moment = datetime.fromtimestamp(int(received.headers["webhook-timestamp"]), UTC)
    signature = Webhook(secret).sign(received.message_id, moment, received.body.decode())
    return signature in received.headers["webhook-signature"].split()


def _ids(listening: Receiver) -> set[str]:
    return {"evt_" + each.message_id.rpartition("evt_")[2] for each in list(listening.received)}


def _fine(_began: float) -> Any:
    return lambda _: (200, {}, b"ok")


def _slow(_began: float) -> Any:
    def answer(_: Any) -> Answer:
        time.sleep(0.5)
        return 200, {}, b""

    return answer


def _every_other(_began: float) -> Any:
    turns = iter(range(10**9))
    return lambda _: (500 if next(turns) % 2 == 0 else 200, {}, b"")


def _down(began: float) -> Any:
    return lambda _: None if time.monotonic() - began < DOWN_SECONDS else (200, {}, b"")


def _closing(_began: float) -> Any:
    def answer(handler: Any) -> Answer | None:
        if random.random() < 0.3:  # noqa: S311
            handler.wfile.write(b"HTTP/1.1 20")
            return None
        return 200, {}, b""

    return answer


_BEHAVIOUR = {
    "fine": _fine,
    "slow": _slow,
    "500 every other time": _every_other,
    "down for a while": _down,
    "closing in the middle": _closing,
}


def dead_receivers(kind: str) -> str:
    """Have a thousand receivers never answer: they delay no request, and no other receiver for long."""
    with space(kind) as home, receiver() as fine, receiver() as dead:
        release = threading.Event()

        def hang(_: Any) -> Answer:
            release.wait(30)
            return 200, {}, b""

        dead.answer = hang
        server = home.server(WEBHOOK_TIMEOUT_SECONDS="5", **ALLOWED).start()
        tokens = [account(server.port, f"person{number}")[1] for number in range(50)]
        for token in tokens:
            for _ in range(20):
                call(server.port, "POST", "/webhooks", {"url": dead.url, "types": ["task.created"]}, token)
        _, well = account(server.port, "well")
        call(server.port, "POST", "/webhooks", {"url": fine.url, "types": ["task.created"]}, well)
        for token in tokens:
            call(server.port, "POST", "/tasks", {"title": "To the dead"}, token)
        took, answers = [], []
        for number in range(20):
            began = time.monotonic()
            call(server.port, "POST", "/tasks", {"title": f"Task {number}"}, well)
            answers.append(time.monotonic() - began)
            fine.wait_for(number + 1, 120)
            took.append(time.monotonic() - began)
        release.set()
        return (
            f"1,000 dead receivers with an event each: a request took {max(answers) * 1000:.0f} ms at most, the first"
            f" delivery to another receiver {took[0]:.1f} s, the later ones {max(took[1:]):.1f} s at most"
        )


def cost(kind: str) -> str:
    """Measure the cost of a create in the serving process, without a webhook and with one of another process."""
    with ExitStack() as stack:
        home, listening = stack.enter_context(space(kind)), stack.enter_context(receiver())
        server = home.server(**ALLOWED).start()
        assert server.process is not None
        pid = server.process.pid
        _, without = account(server.port, "without")
        _, with_one = account(server.port, "withone")
        figures: dict[str, list[float]] = {"without": [], "with": [], "beside": []}
        status, made = call(
            server.port, "POST", "/webhooks", {"url": listening.url, "types": ["task.*"]}, with_one
        )
        must(status == 201, f"a webhook was not made: {made}")
        wait_until(lambda: "Delivering to webhooks" in server.log(), 120, "a process delivers")
        for _ in range(COST_ROUNDS):
            for name, token in (("without", without), ("with", with_one)):
                all_before, before = settle(pid), own_cpu_seconds(pid)
                _create(server.port, token, CREATES)
                all_after, after = settle(pid, 120), own_cpu_seconds(pid)
                figures[name].append((after - before) / CREATES * 1e6)
                if name == "with":
                    beside = all_after - all_before - (after - before)
                    figures["beside"].append(beside / CREATES * 1e6)
        wait_until(lambda: len(listening.received) >= COST_ROUNDS * CREATES, 120, "all is delivered")
        plain, hooked, beside = (min(figures[name]) for name in ("without", "with", "beside"))
        return (
            f"us of CPU for a create in the serving process: {plain:.0f} without, {hooked:.0f} with a webhook"
            f" ({hooked / plain - 1:+.0%}); {beside:.0f} in the process beside it"
        )


def _create(port: int, token: str, count: int) -> None:
    each = count // 16

    def work() -> None:
        for _ in range(each):
            call(port, "POST", "/tasks", {"title": "Task"}, token)

    threads = [threading.Thread(target=work) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
