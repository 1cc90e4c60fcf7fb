"""The analytics cache: other programs read it, and its failures never reach a request."""

import contextlib
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from benchmarks.servers import free_port
from config import settings
from services.background_tasks import analytics_tasks
from services.background_tasks.analytics_tasks import Refresher, cache_name, update_analytics_cache
from tests.support.api import PASSWORD, Api, Person
from tests.support.waiting import wait_until


def entry(person: Person) -> Any:
    path = settings.cache_dir / f"cache_user_{person.id}.json"
    return json.loads(path.read_text()) if path.exists() else None


def figures(person: Person) -> Any:
    answer = person.get("/analytics/user-completion-stats")
    assert answer.status_code == 200
    return answer.json()


def test_entry_is_refreshed_after_the_response(api: Api) -> None:
    ada = api.person()
    task = ada.task()
    first = entry(ada)
    assert first == {"user_id": ada.id, "stats": figures(ada), "updated_at": first["updated_at"]}
    assert first["updated_at"].endswith("Z")
    ada.put(f"/tasks/{task['id']}", json={"status": "completed"})
    assert (
        entry(ada)["stats"]
        == figures(ada)
        == first["stats"]
        | {
            "completed_tasks": 1,
            "pending_tasks": 0,
            "completion_rate": 100.0,
        }
    )


@pytest.mark.one_database
def test_damaged_entry_changes_no_figure_and_is_written_anew(api: Api) -> None:
    ada = api.person()
    path = settings.cache_dir / f"cache_user_{ada.id}.json"
    for content in (b"", b'{"user_id": 1, "sta', b"\xff\0", b'{"user_id": 99, "stats": {}}'):
        before = figures(ada)["total_tasks"]
        path.write_bytes(content)
        path.chmod(0o000)
        assert figures(ada)["total_tasks"] == before
        ada.task()
        assert entry(ada)["stats"] == figures(ada)


@pytest.mark.one_database
def test_cache_that_can_not_be_written_is_left_alone_and_then_caught_up(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    monkeypatch.setattr(settings, "cache_dir", in_the_way / "cache")
    with caplog.at_level("WARNING", "task_platform"):
        for _ in range(3):
            ada.task()
    assert len([line for line in caplog.messages if "can't be written" in line]) <= 1
    assert figures(ada)["total_tasks"] == 3
    refresher = Refresher()
    refresher.add({ada.id})
    assert (refresher.refresh(at_once=True) or 0) > 0
    in_the_way.unlink()
    monkeypatch.setattr("services.background_tasks.analytics_tasks.PAUSE_SECONDS", 0.0)
    refresher = Refresher()
    refresher.add({ada.id})
    assert refresher.refresh(at_once=True) is None
    assert entry(ada)["stats"]["total_tasks"] == 3


@pytest.mark.one_database
def test_entries_that_can_not_be_written_hold_up_no_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    people = [api.person(name) for name in ("ada", "bob", "eve")]
    refresher = Refresher()
    refresher.add({person.id for person in people})
    monkeypatch.setattr(analytics_tasks, "PAUSE_SECONDS", 0.0)
    # Somebody else's files may have these names.
    for person in people[:2]:
        (settings.cache_dir / f"cache_user_{person.id}.json").mkdir()
    for _ in people:
        assert refresher.refresh(at_once=True) == 0.0
    assert entry(people[2])["stats"] == figures(people[2])
    (settings.cache_dir / f"cache_user_{people[1].id}.json").rmdir()
    for _ in people:
        assert refresher.refresh(at_once=True) == 0.0
    assert entry(people[1])["stats"] == figures(people[1])


@pytest.mark.one_database
def test_the_folder_of_the_cache_is_made(api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "not" / "there")
    ada = api.person()
    ada.task()
    assert entry(ada)["stats"]["total_tasks"] == 1


def test_account_that_changes_all_the_time_is_refreshed_now_and_then(api: Api) -> None:
    ada = api.person()
    ada.task()
    refresher = Refresher()
    refresher.add({ada.id})
    assert refresher.refresh(at_once=False) is None
    refresher.add({ada.id})
    again = refresher.refresh(at_once=False)
    assert again is not None
    assert 0 < again <= 1


@pytest.fixture
def redis_port(tmp_path: Path) -> Iterator[int]:
    """A real Redis on a free port."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed")
    port = free_port()
    server = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--dir", str(tmp_path), "--save", ""],
        stdout=subprocess.DEVNULL,
    )

    def answers() -> bool:
        try:
            return bool(probe.ping())
        except redis.ConnectionError:
            return False

    with redis.Redis("127.0.0.1", port) as probe:
        wait_until(answers)
    yield port
    server.kill()
    server.wait()


@pytest.mark.one_database
def test_with_redis_the_entry_is_there_in_place_of_the_file(
    api: Api, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "redis_url", f"redis://127.0.0.1:{redis_port}/0")
    ada = api.person()
    ada.task()
    with redis.Redis("127.0.0.1", redis_port) as client:
        kept = json.loads(str(client.get(f"cache_user_{ada.id}"), "utf-8"))
    assert kept["stats"] == figures(ada)
    assert entry(ada) is None
    assert api.client.get("/ready").json()["parts"]["redis"] == "ok"


@pytest.mark.one_database
def test_a_deleted_account_has_no_entry_wherever_it_was_kept(
    api: Api, redis_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "redis_url", f"redis://127.0.0.1:{redis_port}/0")
    admin = api.person("root", admin=True)
    ada, bob = api.person(), api.person("bob")
    with redis.Redis("127.0.0.1", redis_port) as client:
        for person in (ada, bob, admin):
            person.task()
        assert ada.call("DELETE", "/auth/me", json={"password": PASSWORD}).status_code == 200
        assert admin.delete(f"/users/{bob.id}", params={"transfer_to": admin.id}).status_code == 200
        assert client.keys() == [cache_name(admin.id).encode()]
        # A refresh that was under way when the account went does not bring the entry back.
        update_analytics_cache(ada.id)
        assert client.keys() == [cache_name(admin.id).encode()]


@pytest.mark.one_database
def test_a_redis_that_hangs_is_asked_once_and_then_left_alone_for_a_while(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analytics_tasks, "REDIS_TIMEOUT_SECONDS", 0.1)
    monkeypatch.setattr(analytics_tasks, "PAUSE_SECONDS", 3600.0)
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        monkeypatch.setattr(settings, "redis_url", f"redis://127.0.0.1:{hanging.getsockname()[1]}/0")
        ada = api.person()
        for _ in range(10):
            ada.task()
        assert figures(ada)["total_tasks"] == 10
        hanging.settimeout(0)
        asked = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                hanging.accept()[0].close()
                asked += 1
    # The client itself tries a second time.
    assert asked == 2
