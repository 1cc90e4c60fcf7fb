"""Postgres through PgBouncer, with sessions that have other time zones and another search path."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from config import settings
from database import Database
from migrations.schema import migrate
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import PostgresServer, create_database, drop_database
from tests.support.server import ServerProcess
from tests.support.waiting import SECONDS


@pytest.fixture
def url_with_other_zone(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a database whose sessions begin with the zone of Tokyo and German dates."""
    url = create_database(postgres.url, "elsewhere")
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        for setting in ("timezone = 'Asia/Tokyo'", "datestyle = 'German'"):
            connection.execute(f"ALTER DATABASE {name} SET {setting}".encode())
    yield url
    drop_database(postgres.url, name)


def test_works_through_a_pooler_with_times_in_utc(url_with_other_zone: str, tmp_path: Path) -> None:
    with pgbouncer(url_with_other_zone) as url:
        environment = {
            "DATABASE_URL": url,
            "DATABASE_PREPARE": "false",
            "DATABASE_POOL_SIZE": "8",
            "PGTZ": "America/New_York",
            "PGDATESTYLE": "SQL",
            "TZ": "Australia/Sydney",
        }
        server = ServerProcess(tmp_path, **environment)
        behind = Database(url, settings.model_copy(update={"database_prepare": False}))
        migrate(behind)
        behind.close()
        with server, httpx.Client(base_url=server.url, timeout=SECONDS) as client:
            account = {"username": "ada", "email": "ada@example.com", "password": "correct horse battery"}
            assert client.post("/auth/register", json=account).status_code == 200
            token = client.post("/auth/login", data=account).json()["access_token"]
            client.headers["Authorization"] = f"Bearer {token}"

            def work(number: int) -> None:
                task = client.post("/tasks", json={"title": f"Task {number}", "status": "completed"})
                assert task.status_code == 201, task.text
                made = datetime.fromisoformat(task.json()["created_at"])
                assert abs(datetime.now(UTC) - made) < timedelta(minutes=1)
                read = client.get(f"/tasks/{task.json()['id']}")
                assert read.json() == task.json()
                assert len(client.get("/tasks/search?query=task&limit=5").json()) > 0

            with ThreadPoolExecutor(12) as pool:
                list(pool.map(work, range(24)))
            assert client.get("/analytics/user-completion-stats").json()["completed_tasks"] == 24
            throughput = client.get("/analytics/throughput?interval=day").json()
            assert httpx.get(f"{server.url}/ready").status_code == 200
            assert "24" in str(throughput)
        assert "Traceback" not in server.output()


def test_the_search_path_of_the_database_url_is_respected(postgres: PostgresServer) -> None:
    plain = create_database(postgres.url, "schemas")
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA app")
        db = Database(
            make_url(plain)
            .update_query_dict({"options": "-csearch_path=app"})
            .render_as_string(hide_password=False)
        )
        migrate(db)
        found = connection.execute(
            "SELECT schemaname, count(*) FROM pg_tables WHERE schemaname IN ('app', 'public') GROUP BY 1"
        )
        ((schema, tables),) = found.fetchall()
        assert (schema, tables > 10) == ("app", True)
        assert (
            db.read(lambda session: session.connection().exec_driver_sql("SHOW timezone").scalar()) == "UTC"
        )
        assert (
            db.read(lambda session: session.connection().exec_driver_sql("SHOW lock_timeout").scalar())
            == "10s"
        )
        db.close()
    drop_database(postgres.url, plain.rpartition("/")[2])
