"""The endpoints for operators: health, readiness and metrics."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr
from sqlalchemy import insert, text, update

from benchmarks.servers import free_port
from config import settings
from database import database
from main import app
from migrations.schema import migrate, newest_revision
from models import users
from services.delivery.mail_tasks import mail_pause
from tables.notifications import notifications
from tables.webhooks import webhook_deliveries, webhooks
from tests.support.api import Api
from tests.support.openapi_check import CheckedClient


def figures(page: str) -> dict[str, float]:
    """The lines of a metrics page, without the label that names the process."""
    found = {}
    for line in page.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            labels = [
                part for part in name.partition("{")[2].rstrip("}").split(",") if "process=" not in part
            ]
            found[name.partition("{")[0] + "".join(f" {part}" for part in labels if part)] = float(value)
    return found


@pytest.fixture
def local_client(client: TestClient) -> TestClient:
    """A client whose address is that of this machine."""
    return CheckedClient(app, client=("127.0.0.1", 50000))


def test_ready_names_its_parts(client: TestClient) -> None:
    assert client.get("/health").status_code == 200
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()) == (
        200,
        {"parts": {"database": "ok", "schema": "ok", "delivery": "ok", "webhooks": "ok"}},
    )


@contextmanager
def at_revision(revision: str) -> Iterator[None]:
    """Mark the database with another revision, and mark it back: later tests use it too."""
    sql = text("UPDATE alembic_version SET version_num = :revision")
    database.write(lambda db: db.execute(sql, {"revision": revision}))
    try:
        yield
    finally:
        database.write(lambda db: db.execute(sql, {"revision": newest_revision()}))


def test_not_ready_says_that_the_schema_is_outdated(client: TestClient) -> None:
    with at_revision("0001"):
        answer = client.get("/ready")
    assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
    assert "schema: is at revision 0001" in answer.json()["detail"]
    assert answer.headers["retry-after"] == "5"


def test_a_server_stays_ready_while_a_newer_one_has_migrated_the_database(client: TestClient) -> None:
    with at_revision("9999"):
        answer = client.get("/ready")
    assert (answer.status_code, answer.json()["parts"]["schema"]) == (200, "ok")


@pytest.mark.one_database
@pytest.mark.parametrize("how", ["deleted", "replaced"])
def test_ready_says_that_the_file_was_deleted_or_replaced(
    client: TestClient, tmp_path: Path, how: str
) -> None:
    there = database.url.render_as_string(hide_password=False)
    file = tmp_path / "tasks.db"
    database.switch(f"sqlite:///{file}")
    try:
        migrate(database)
        assert client.get("/ready").status_code == 200
        (tmp_path / "other.db").touch()
        file.unlink() if how == "deleted" else (tmp_path / "other.db").rename(file)
        answer = client.get("/ready")
        assert (answer.status_code, "database: the file was deleted" in answer.text) == (503, True)
        # The next connections open the file that is there now.
        database.close()
        migrate(database)
        assert client.get("/ready").status_code == 200
    finally:
        database.switch(there)


@pytest.mark.one_database
def test_not_ready_says_that_redis_is_gone(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "redis_url", f"redis://127.0.0.1:{free_port()}/0")
    answer = client.get("/ready")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Not ready. redis: can't be reached")


def test_not_ready_says_that_webhooks_are_behind(
    api: Api, local_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Otherwise the server would deliver meanwhile.
    monkeypatch.setattr(settings, "webhook_delivery", False)
    ada = api.person()
    late = datetime.now(UTC) - timedelta(hours=1)
    hook = {"url": "http://example.com/", "types": ["task.*"], "enabled": False}
    assert ada.post("/webhooks", json=hook).status_code == 201
    rows = [
        {"webhook_id": 1, "type": "task.created", "state": state, "attempts": 1, "created_at": late}
        | {"next_attempt_at": late if state == "waiting" else None}
        for state in ("waiting", "waiting", "failed")
    ]
    database.write(lambda db: db.execute(insert(webhook_deliveries), rows))

    def ready(**changed: Any) -> Any:
        database.write(lambda db: db.execute(update(webhooks).values(changed)))
        return api.client.get("/ready")

    answer = ready(enabled=True, due_at=late)
    assert answer.status_code == 503
    assert re.search(r"Not ready. webhooks: behind by 3[67]\d\d seconds", answer.json()["detail"])
    told = figures(local_client.get("/metrics").text)
    assert 3600 <= told["task_platform_webhook_oldest_seconds"] < 3800
    assert told['task_platform_webhooks state="on"'] == 1
    assert told['task_platform_webhook_deliveries state="waiting"'] == 2
    assert told['task_platform_webhook_deliveries state="failed"'] == 1
    # Nothing is late by the program's fault: receivers in trouble, one that is being served, and one that gets
    # nothing because its account is off.
    assert ready(failures=1).status_code == 200
    assert ready(failures=0, is_slow=True).status_code == 200
    switch = update(users).where(users.c.id == ada.id)
    database.write(lambda db: db.execute(switch.values(is_active=False)))
    assert ready(is_slow=False).status_code == 200
    database.write(lambda db: db.execute(switch.values(is_active=True)))
    assert ready(enabled=True).status_code == 503
    assert ready(claimed_until=datetime.now(UTC) + timedelta(hours=1)).status_code == 200
    # The process that served this one is gone.
    assert ready(claimed_until=late).status_code == 503
    assert ready(enabled=False, disabled_reason="failing").status_code == 200
    assert figures(local_client.get("/metrics").text)['task_platform_webhooks state="switched_off"'] == 1


def test_not_ready_says_that_delivery_is_behind(api: Api) -> None:
    ada = api.person()
    late = datetime.now(UTC) - timedelta(hours=1)
    row = {
        "user_id": ada.id, "kind": "created", "task_id": 1, "task_title": "Write", "actor_id": ada.id,
        "created_at": late, "state": "waiting", "attempts": 0, "next_attempt_at": late,
    }  # fmt: skip
    database.write(lambda db: db.execute(insert(notifications), row))
    answer = api.client.get("/ready")
    assert answer.status_code == 503
    # On a busy machine seconds pass before the answer.
    assert re.search(r"delivery: behind by 3[67]\d\d seconds", answer.json()["detail"])
    # A mail server that is down excuses late mails, but not notifications that wait for their line in the log.
    try:
        mail_pause.begin()
        assert api.client.get("/ready").status_code == 503
        database.write(lambda db: db.execute(update(notifications).values(state="mail")))
        assert api.client.get("/ready").status_code == 200
    finally:
        mail_pause.end()
    assert api.client.get("/ready").status_code == 503


def test_metrics_count_requests_by_their_route_and_what_the_database_holds(
    api: Api, local_client: TestClient
) -> None:
    before = figures(local_client.get("/metrics").text)
    ada = api.person()
    task = ada.task()
    ada.task(status="completed")
    for _ in range(3):
        ada.get(f"/tasks/{task['id']}")
    ada.get("/tasks/999")
    ada.get("/analytics/completion-time-stats")
    ada.get("/analytics/completion-time-stats")
    api.client.post("/auth/login", data={"username": "ada", "password": "wrong password"})
    answer = local_client.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    after = figures(answer.text)

    def more(name: str) -> float:
        return after[f"task_platform_{name}"] - before.get(f"task_platform_{name}", 0)

    assert more('http_requests_total method="GET" route="/tasks/{task_id}" status="200"') == 3
    assert more('http_requests_total method="GET" route="/tasks/{task_id}" status="404"') == 1
    assert more('http_request_duration_seconds_count method="GET" route="/tasks/{task_id}"') == 4
    bucket = 'http_request_duration_seconds_bucket method="GET" route="/tasks/{task_id}" le='
    assert more(bucket + '"+Inf"') == 4
    assert more(bucket + '"0.001"') <= more(bucket + '"10.0"')
    assert more("failed_logins_total") == 1
    assert more('cache_reads_total result="hit"') == 1
    assert after['task_platform_tasks status="completed"'] == 1
    assert after['task_platform_outbox_notifications state="failed"'] == 0
    assert 'process="' in answer.text


@pytest.mark.one_database
def test_metrics_are_closed_to_the_public(
    client: TestClient, local_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/metrics").status_code == 403
    assert local_client.get("/metrics", headers={"X-Forwarded-For": "127.0.0.1"}).status_code == 403
    monkeypatch.setattr(settings, "metrics_token", SecretStr("a token for the scraper"))
    assert local_client.get("/metrics").status_code == 401
    wrong = local_client.get("/metrics", headers={"Authorization": "Bearer another"})
    assert wrong.status_code == 401
    for scheme in ("Bearer", "bearer"):
        right = client.get("/metrics", headers={"Authorization": f"{scheme} a token for the scraper"})
        assert right.status_code == 200


def test_metrics_work_while_the_database_does_not(
    client: TestClient, local_client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    database.switch("postgresql://postgres@127.0.0.1:1/none")
    assert "task_platform_database_up{process=" in local_client.get("/metrics").text
    answer = local_client.get("/ready")
    assert (answer.status_code, answer.json()["detail"]) == (503, "Not ready. database: can't be reached")
