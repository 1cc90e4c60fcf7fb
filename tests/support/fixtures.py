"""Every test that asks for `client` runs on SQLite and on Postgres, each time on a fresh, migrated database."""

import atexit
import contextlib
import functools
import gc
import inspect
import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from anyio.from_thread import BlockingPortal, start_blocking_portal
from fastapi.testclient import TestClient
from sqlalchemy import make_url

from config import settings
from database import Base, Database, database
from main import app
from migrations.schema import migrate
from security.tokens import forget_verified_tokens
from services import background_tasks, completion_times
from services.events.follower import follower
from services.flow import history as flow_history
from services.lists.project_days import project_days
from storage.group_commit import GroupCommitWriter
from tests.support.api import Api
from tests.support.openapi_check import CheckedClient
from tests.support.postgres import PostgresServer, PostgresUnavailable, postgres_server
from tests.support.waiting import SECONDS, wait_until
from web import garbage
from web.events import waiting

# `tests/conftest.py` has made it.
HOME = settings.data_dir

# The middleware reads the settings when it is made. Otherwise the first request would make it, and the test of this
# request may have changed the settings.
app.middleware_stack = app.build_middleware_stack()

# All calls of httpx share this default: five seconds, in which a busy machine may not answer.
_default_timeout: httpx.Timeout = inspect.signature(httpx.get).parameters["timeout"].default
_default_timeout.connect = _default_timeout.read = _default_timeout.write = _default_timeout.pool = SECONDS
# Each call would read all authorities of certificates again, which takes longer than most requests.
_authorities = httpx.create_ssl_context()
for _call in (
    *(httpx.get, httpx.head, httpx.post, httpx.put, httpx.patch, httpx.delete, httpx.options),
    *(httpx.request, httpx.stream, httpx.Client.__init__, httpx.AsyncClient.__init__),
):
    _defaults = inspect.unwrap(_call).__kwdefaults__
    assert _defaults is not None
    _defaults["verify"] = _authorities


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the run on Postgres of tests that have the mark `one_database` to the thorough run.

    The few browser tests of the usual run come first. So one process gets all of them, and only one browser starts.
    """
    if "not thorough" in config.getoption("markexpr"):
        items.sort(
            key=lambda item: not (isinstance(item, pytest.Function) and hasattr(item.module, "browser_page"))
        )
    for item in items:
        if item.get_closest_marker("one_database") and isinstance(item, pytest.Function):
            params = item.callspec.params if hasattr(item, "callspec") else {}
            if "postgres" in (params.get("database_url"), params.get("shared_api")):
                item.add_marker(pytest.mark.thorough)


def pytest_collection_finish() -> None:
    """Freeze the objects that stay for the whole run. Garbage collections of them took a tenth of the time."""
    garbage.exempt_the_start()
    gc.set_threshold(50_000, 20, 100)
    gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """Collect the garbage of the tests once. pytest collects it five times, and Python once more when it ends."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    """End the work in the background, and close the connections of all tests."""
    background_tasks.stop()
    database.close()
    for parts in _kept_parts.values():
        vars(database).update(parts)
        database.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server for the whole run. If there is no Postgres, the test is skipped with the reason."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresUnavailable as unavailable:
        pytest.skip(unavailable.reason)


@pytest.fixture(scope="session")
def event_loop_portal() -> Iterator[BlockingPortal]:
    """One event loop for all requests, because making a loop takes longer than most requests."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session")
def migrated_sqlite() -> Path:
    """An empty database at the newest schema, to be copied."""
    path = HOME / "migrated.db"
    fresh = Database(f"sqlite:///{path}")
    migrate(fresh)
    fresh.close()  # The last connection that closes writes everything into the one file.
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The URL of a database at the newest schema, to be emptied."""
    fresh = Database(postgres.url)
    migrate(fresh)
    fresh.close()
    return postgres.url


# The parts of `database` after the last test with each URL: its engines, with the statements that they compiled.
_kept_parts: dict[str, dict[str, Any]] = {}


@contextlib.contextmanager
def connected(url: str) -> Iterator[None]:
    """Have the program use this database, with the engines that an earlier test made."""
    if database.is_sqlite or not any(parts["engine"] is database.engine for parts in _kept_parts.values()):
        database.close()  # A thread of the last test may have used its database once more, and opened a session.
    if url in _kept_parts:
        # A thread that was late may have opened sessions since the last test.
        for late in (database._readers, database._loop_readers, database._writers):  # noqa: SLF001
            late.close()
        # Caches tell databases apart by the identity of the URL, so the equal URL is copied.
        vars(database).update(_kept_parts.pop(url), url=make_url(url).set())
        if database.is_sqlite:
            # A thread of the last test may still use the sessions of the last test's file, so new ones are made.
            database._keep_sessions()  # noqa: SLF001
            database._writer = GroupCommitWriter(database._open_writer)  # noqa: SLF001
    else:
        database.switch(url)
    engine = database._autocommit  # noqa: SLF001
    yield
    background_tasks.stop()
    wait_until(_is_unwatched)
    # The engines are not kept if the test has switched to another database or listens to statements.
    if database._autocommit is engine and not engine._has_events:  # noqa: SLF001
        _kept_parts[url] = {name: part for name, part in vars(database).items() if name != "after_commit"}
        if not database.is_sqlite:
            # The next switch closes the sessions that `database` has then, and these are kept open.
            database._keep_sessions()  # noqa: SLF001
    if database.is_sqlite or url not in _kept_parts:
        database.close()


def _is_unwatched() -> bool:
    """Whether no thread looks for events any more: it could take the next test's database for this one's."""
    return follower._thread is None or bool(follower._listeners)  # noqa: SLF001


def _delete_log(path: Path) -> None:
    for each in (Path(f"{path}-wal"), Path(f"{path}-shm")):
        each.unlink(missing_ok=True)


@contextlib.contextmanager
def database_in_use(request: pytest.FixtureRequest, folder: Path, name: str) -> Iterator[str]:
    """Have the program use an empty database at the newest schema and folders of the test's own; the URL."""
    if request.param == "sqlite":
        path, copy = HOME / name, HOME / f"{name}.new"
        shutil.copy(request.getfixturevalue("migrated_sqlite"), copy)
        # A thread that was late may open the database just now. It gets the old file or the whole new one, and what it
        # writes beside the old file is deleted.
        _delete_log(path)
        copy.replace(path)
        _delete_log(path)
        url = f"sqlite:///{path}"
    else:
        url = request.getfixturevalue("migrated_postgres")
        empty(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "cache_dir", folder)
        patch.setattr(settings, "data_dir", folder)
        # On a busy machine a transaction may be open for longer than requests usually wait.
        patch.setattr(waiting, "SETTLING_SECONDS", [*waiting.SETTLING_SECONDS, *[0.1] * 100])
        # On a busy machine mails and notifications take longer than requests usually wait for them.
        patch.setattr(background_tasks, "PATIENCE_SECONDS", SECONDS)
        patch.setattr(background_tasks, "MAIL_PATIENCE_SECONDS", SECONDS)
        forget_verified_tokens()
        completion_times.kept.clear()
        flow_history.clear()
        with connected(url):
            yield url


_numbers = itertools.count()


@pytest.fixture
def tmp_path(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the test's own. pytest's fixture looks through the folders of all earlier tests for a number."""
    name = re.sub(r"\W", "_", request.node.name)[:30]
    # A forked process has the same numbers.
    path = tmp_path_factory.getbasetemp() / f"{name}-{os.getpid()}-{next(_numbers)}"
    path.mkdir(mode=0o700)
    return path


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """See `database_in_use`."""
    with database_in_use(request, tmp_path, "own.db") as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Like `api`, on a database that all tests of a module share. A module uses only one of the two."""
    with database_in_use(request, tmp_path_factory.mktemp("shared"), "shared.db"):
        yield Api(CheckedClient(app, request.getfixturevalue("event_loop_portal")))


@functools.cache
def emptying_connection(url: str) -> psycopg.Connection[Any]:
    """A connection for deletions that stays open, because a new one would plan all of them again."""
    connection = psycopg.connect(url, autocommit=True)
    tables = [table.name for table in (*Base.metadata.sorted_tables, project_days)]
    sequences = connection.execute(SEQUENCES).fetchall()
    (is_superuser,) = connection.execute("SELECT usesuper FROM pg_user WHERE usename = user").fetchone() or (
        0,
    )
    if is_superuser:
        steps = [
            "SET LOCAL session_replication_role = replica;",
            *(
                f"DELETE FROM {name}; GET DIAGNOSTICS number = ROW_COUNT;"
                f" IF number > {MANY_ROWS} THEN EXECUTE 'TRUNCATE {name} CASCADE'; END IF;"
                for name in tables
            ),
        ]
    else:
        steps = [f"EXECUTE 'TRUNCATE {', '.join(tables)}';"]
    steps += [f"PERFORM setval('{sequence}', 1, false);" for (sequence,) in sequences]
    connection.execute(
        "CREATE FUNCTION pg_temp.empty_all() RETURNS void LANGUAGE plpgsql"
        f" AS $$ DECLARE number bigint; BEGIN {' '.join(steps)} END $$"
    )
    atexit.register(connection.close)
    return connection


def empty(url: str) -> None:
    """Delete every row, and start all numbers again.

    TRUNCATE makes new files for every table and index, which takes longer than most tests. It is used only for
    large tables, and for an account that may not switch off triggers.
    """
    emptying_connection(url).execute("SELECT pg_temp.empty_all()")


MANY_ROWS = 500
SEQUENCES = """
SELECT pg_get_serial_sequence(format('%I', table_name), column_name)
FROM information_schema.columns WHERE table_schema = 'public' AND is_identity = 'YES'
"""


@pytest.fixture
def client(database_url: str, event_loop_portal: BlockingPortal) -> TestClient:
    """A client that checks every answer against the OpenAPI document; it starts no lifespan."""
    return CheckedClient(app, event_loop_portal)


@pytest.fixture
def api(client: TestClient) -> Api:
    """The calls that most tests begin with."""
    return Api(client)
