"""A process beside the server delivers to webhooks. If that process fails, the server delivers itself."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from benchmarks.servers import children
from tests.support.receiver import receiver
from tests.support.server import ServerProcess
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.thorough

SETTINGS = {"WEBHOOK_ALLOWED_NETWORKS": "127.0.0.0/8", "DELIVERY_POLL_SECONDS": "1"}


def await_that(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, also if nobody has read its exit code yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_a_process_beside_the_server_delivers_while_there_are_webhooks(tmp_path: Path) -> None:
    with (
        receiver() as hook,
        ServerProcess(tmp_path, **SETTINGS) as server,
        httpx.Client(base_url=server.url, timeout=SECONDS) as client,
    ):
        assert server.process is not None
        pid = server.process.pid
        account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
        assert client.post("/auth/register", json=account).status_code == 200
        token = client.post("/auth/login", data=account).json()["access_token"]
        client.headers["Authorization"] = f"Bearer {token}"

        def create_and_await() -> None:
            expected = len(hook.received) + 1
            assert client.post("/tasks", json={"title": "Write"}).status_code == 201
            hook.wait_for(expected, 60)

        def started() -> int:
            return server.log().count("Delivering to webhooks")

        assert children(pid) == []
        made = client.post("/webhooks", json={"url": hook.url, "types": ["task.created"]}).json()
        # The first delivery does not wait for the process.
        create_and_await()
        await_that(lambda: started() == 1, "a process has started")
        create_and_await()

        # If the process is killed, the server delivers.
        (child,) = children(pid)
        os.kill(child, signal.SIGKILL)
        await_that(lambda: "delivers to webhooks ended (-9)" in server.log(), "its end is noticed")
        create_and_await()
        await_that(lambda: started() == 2, "another one has started")

        # The process ends with the last webhook, and also if the server is killed.
        assert client.patch(f"/webhooks/{made['id']}", json={"enabled": False}).status_code == 200
        await_that(lambda: children(pid) == [], "it ends with the last webhook")
        server.end()
        server.start()
        assert client.patch(f"/webhooks/{made['id']}", json={"enabled": True}).status_code == 200
        await_that(lambda: started() == 3, "it comes with the first webhook")
        (child,) = children(server.process.pid)
        server.end(signal.SIGKILL)
        await_that(lambda: is_gone(child), "it ends with the server")
