"""The Postgres servers that tests use: each kind that this machine has."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import psycopg
import pytest

from tests.support.postgres import (
    Installation,
    PostgresServer,
    PostgresUnavailable,
    create_database,
    drop_database,
    find_installations,
    postgres_server,
)
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module", params=find_installations(), ids=lambda one: f"{one.source}-{one.version[0]}")
def server(request: pytest.FixtureRequest) -> Iterator[PostgresServer]:
    installation: Installation = request.param
    with postgres_server(fsync=True, installation=installation) as started:
        assert started.version == ".".join(map(str, installation.version))
        yield started


def ask(url: str, question: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        answer = connection.execute(question.encode())
        return answer.fetchall() if answer.description else []


def test_it_begins_with_an_empty_database_in_utf8(server: PostgresServer) -> None:
    assert ask(server.url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == [(0,)]
    assert ask(server.url, "SHOW server_encoding") == [("UTF8",)]
    assert ask(server.url, "SHOW fsync") == [("on",)]


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_what_was_committed_outlives_a_restart(
    server: PostgresServer, mode: Literal["fast", "immediate"]
) -> None:
    ask(server.url, "CREATE TABLE IF NOT EXISTS kept (number integer)")
    ask(server.url, "TRUNCATE kept; INSERT INTO kept VALUES (17)")
    server.stop(mode)
    with pytest.raises(psycopg.OperationalError):
        ask(server.url, "SELECT 1")
    server.start()
    assert ask(server.url, "SELECT number FROM kept") == [(17,)]


def test_databases_come_and_go_with_connections_open(server: PostgresServer) -> None:
    url = create_database(server.url, "passing")
    assert ask(url, "SELECT current_database()") == [("passing",)]
    with psycopg.connect(url):
        drop_database(server.url, "passing")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        ask(url, "SELECT 1")


def test_a_named_server_is_used_and_left_as_it_was(
    server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = ask(server.url, "SELECT datname FROM pg_database ORDER BY 1")
    monkeypatch.setenv("TEST_DATABASE_URL", server.url.replace("postgresql://", "postgres://"))
    with postgres_server() as named:
        assert named.url.startswith("postgresql://")
        assert ask(named.url, "SELECT current_database() LIKE 'test\\_%'") == [(True,)]
    assert ask(server.url, "SELECT datname FROM pg_database ORDER BY 1") == before


def test_a_named_server_that_does_not_answer_is_no_reason_to_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nothing?connect_timeout=2")
    with pytest.raises(psycopg.OperationalError), postgres_server():
        pass


def test_the_reason_is_clear_where_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TEST_DATABASE_URL", raising=False)
    monkeypatch.setenv("TEST_POSTGRES_BIN", "/nowhere")
    with pytest.raises(PostgresUnavailable, match="install postgresql"), postgres_server():
        pass


ANNOUNCE_AND_WAIT = """
import signal, time
from tests.support.postgres import postgres_server
# A shell has what it starts in the background ignore it.
signal.signal(signal.SIGINT, signal.default_int_handler)
with postgres_server() as server:
    print(server.url, flush=True)
    time.sleep(600)
"""


@pytest.mark.skipif(not find_installations(), reason="no Postgres programs on this machine")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_is_left_behind_by_a_test_run_that_is_ended(how: signal.Signals) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "TEST_DATABASE_URL"}
    with subprocess.Popen(
        [sys.executable, "-c", ANNOUNCE_AND_WAIT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path(__file__).parents[2],
        env=environment,
        text=True,
    ) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        (data,) = ask(url, "SHOW data_directory")[0]
        run.send_signal(how)
    wait_until(lambda: not Path(str(data)).parent.exists())
    with pytest.raises(psycopg.OperationalError):
        ask(url, "SELECT 1")
