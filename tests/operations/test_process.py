"""The program as a process: how it starts, refuses to start, and ends."""

import signal
import sqlite3
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from database import Database
from migrations.schema import migrate
from tests.support.mail import mail_catcher
from tests.support.server import ServerProcess
from tests.support.waiting import SECONDS, wait_until

pytestmark = pytest.mark.thorough

STARTUP_FAILED = 3


def test_outdated_schema_refuses_to_start_in_one_line(tmp_path: Path) -> None:
    old = Database(f"sqlite:///{tmp_path}/tasks.db")
    migrate(old, "0001")
    old.close()
    server = ServerProcess(tmp_path)
    assert server.run("--log-level", "error").wait(SECONDS) == STARTUP_FAILED
    said = server.output().strip().splitlines()
    assert "The program can't start." in said[0]
    assert "run `python create_tables.py`" in said[0]
    assert [line for line in said[1:] if "startup failed. Exiting" not in line] == []
    with closing(sqlite3.connect(tmp_path / "tasks.db")) as there:
        assert there.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]


def test_database_that_is_not_there_refuses_to_start_in_one_line(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path, DATABASE_URL="postgresql://postgres@127.0.0.1:1/none")
    assert server.run("--log-level", "error").wait(SECONDS) == STARTUP_FAILED
    assert "The database can't be reached" in server.output().splitlines()[0]
    assert "Traceback" not in server.output()


def test_stops_on_sigterm_with_its_own_exit_code_after_finishing_what_is_begun(tmp_path: Path) -> None:
    with (
        mail_catcher() as catcher,
        ServerProcess(
            tmp_path, SMTP_SERVER="127.0.0.1", SMTP_PORT=str(catcher.port), SMTP_SECURITY="none"
        ) as server,
    ):
        catcher.delay = 1.5
        for path in ("/ready", "/metrics", "/metrics/"):
            assert httpx.get(f"{server.url}{path}").status_code == 200
        account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
        assert httpx.post(f"{server.url}/auth/register", json=account).status_code == 200
        token = httpx.post(f"{server.url}/auth/login", data=account).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        task = {"title": "Write", "status": "completed"}
        assert httpx.post(f"{server.url}/tasks", json=task, headers=headers).status_code == 201
        wait_until(lambda: catcher.connections)
        assert server.end(signal.SIGTERM) == -signal.SIGTERM
        assert [mail["subject"] for mail in catcher.mails] == ["Task Completed: Write"]
        assert (tmp_path / "cache_user_1.json").exists()
        # The access log leaves out probes.
        assert "POST /tasks" in server.output()
        assert not any(path in server.output() for path in ("/health", "/ready", "/metrics"))


def test_processes_of_several_end_with_their_parent_however_it_ends(tmp_path: Path) -> None:
    server = ServerProcess(tmp_path).start("--workers", "2")
    wait_until(lambda: server.log().count("startup complete") == 2)
    server.end(signal.SIGKILL)
    wait_until(lambda: server.log().count("Finished server process") == 2)
    assert server.log().count("The parent process is gone") == 2
    # The port is free again.
    with server:
        assert httpx.get(f"{server.url}/health").status_code == 200
