"""Every test that asks for `client` runs on SQLite and on Postgres, each time on a fresh, migrated database."""

import contextlib
import gc
import inspect
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_HOME = tempfile.mkdtemp(prefix="task-platform-tests-")
os.environ.update(
    {
        "DATABASE_URL": f"sqlite:///{_HOME}/tasks.db",
        "DATA_DIR": _HOME,
        "CACHE_DIR": _HOME,
        "LOG_FILE": f"{_HOME}/app.log",
        "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough",
        "BCRYPT_ROUNDS": "4",
        "DATABASE_POOL_SIZE": "4",
        # What survives a power cut is not for these tests to show.
        "SQLITE_SYNCHRONOUS": "OFF",
    }
)

# The settings are read when the program is imported: its imports come after them.
import httpx  # noqa: E402
import psycopg  # noqa: E402
import pytest  # noqa: E402
from anyio.from_thread import BlockingPortal, start_blocking_portal  # noqa: E402
from fastapi.testclient import TestClient  # noqa: E402

from config import settings  # noqa: E402
from database import Base, Database, database  # noqa: E402
from main import app  # noqa: E402
from migrations.schema import migrate  # noqa: E402
from security.tokens import forget_verified_tokens  # noqa: E402
from services import background_tasks, completion_times  # noqa: E402
from services.flow import history as flow_history  # noqa: E402
from tests.support.api import Api  # noqa: E402
from tests.support.openapi_check import CheckedClient  # noqa: E402
from tests.support.postgres import PostgresServer, PostgresUnavailable, postgres_server  # noqa: E402
from tests.support.waiting import SECONDS  # noqa: E402
from web import waiting  # noqa: E402

# All calls of httpx share this default: five seconds, in which a busy machine may not answer.
_usual: httpx.Timeout = inspect.signature(httpx.get).parameters["timeout"].default
_usual.connect = _usual.read = _usual.write = _usual.pool = SECONDS


def pytest_collection_finish() -> None:
    """Keep the garbage collector from what stays for the whole run: going through it took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def pytest_unconfigure() -> None:
    """Leave nothing behind."""
    background_tasks.stop()
    database.close()
    shutil.rmtree(_HOME, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A Postgres server for the whole run; tests that need one are skipped, with the reason, where none is to be had."""
    try:
        with postgres_server() as server:
            yield server
    except PostgresUnavailable as unavailable:
        pytest.skip(unavailable.reason)


@pytest.fixture(scope="session")
def event_loop_portal() -> Iterator[BlockingPortal]:
    """One event loop for all requests: making one takes longer than most of them. `test_as_a_reader` makes one each."""
    with start_blocking_portal() as portal:
        yield portal


@pytest.fixture(scope="session")
def migrated_sqlite() -> Path:
    """An empty database at the newest schema, to be copied."""
    path = Path(_HOME) / "migrated.db"
    fresh = Database(f"sqlite:///{path}")
    migrate(fresh)
    fresh.close()  # The last connection to close writes all into the one file.
    return path


@pytest.fixture(scope="session")
def migrated_postgres(postgres: PostgresServer) -> str:
    """The URL of a database at the newest schema, to be emptied."""
    fresh = Database(postgres.url)
    migrate(fresh)
    fresh.close()
    return postgres.url


@contextlib.contextmanager
def database_in_use(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The URL of an empty database at the newest schema, which the program now uses; and folders of the test's own."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("migrated_sqlite"), folder / "tasks.db")
        url = f"sqlite:///{folder}/tasks.db"
    else:
        url = request.getfixturevalue("migrated_postgres")
        empty(url)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "cache_dir", folder)
        patch.setattr(settings, "data_dir", folder)
        database.switch(url)
        # A transaction of a busy machine may be open for longer than a client would be kept waiting.
        patch.setattr(waiting, "SETTLING_SECONDS", [*waiting.SETTLING_SECONDS, *[0.1] * 100])
        forget_verified_tokens()
        completion_times.kept.clear()
        flow_history.clear()
        yield url
        background_tasks.stop()
        database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """See `database_in_use`."""
    with database_in_use(request, tmp_path) as url:
        yield url


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def shared_api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """Like `api`, on a database that all tests of a module share; not to be used beside `api` in one module."""
    with database_in_use(request, tmp_path_factory.mktemp("shared")):
        yield Api(CheckedClient(app, request.getfixturevalue("event_loop_portal")))


def empty(url: str) -> None:
    """Delete every row, and start all numbers anew.

    TRUNCATE makes new files for every table and index, which takes longer than most tests: it is left for what
    has become large, and for an account that may not tell the triggers to stay quiet.
    """
    tables = [table.name for table in Base.metadata.sorted_tables]
    with psycopg.connect(url) as connection:
        (is_superuser,) = connection.execute(
            "SELECT usesuper FROM pg_user WHERE usename = user"
        ).fetchone() or (False,)
        large = tables
        if is_superuser:
            connection.execute("SET LOCAL session_replication_role = replica")
            large = [
                name for name in tables if connection.execute(f"DELETE FROM {name}").rowcount > MANY_ROWS
            ]
            connection.execute(RESTART_NUMBERS)
        if large:
            connection.execute(f"TRUNCATE {', '.join(large)} RESTART IDENTITY CASCADE")


MANY_ROWS = 500
RESTART_NUMBERS = """
SELECT setval(pg_get_serial_sequence(format('%I', table_name), column_name), 1, false)
FROM information_schema.columns WHERE table_schema = 'public' AND is_identity = 'YES'
"""


@pytest.fixture
def client(database_url: str, event_loop_portal: BlockingPortal) -> TestClient:
    """A client whose every answer is checked against the OpenAPI document; it starts no lifespan."""
    return CheckedClient(app, event_loop_portal)


@pytest.fixture
def api(client: TestClient) -> Api:
    """The calls that most tests begin with."""
    return Api(client)
