"""The same requests get the same bytes from SQLite and Postgres; only times and random values are masked."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from fastapi.testclient import TestClient

from config import settings
from database import database
from main import app
from security.tokens import forget_verified_tokens
from services import background_tasks, completion_times
from tests.support.api import Api, Person
from tests.support.fixtures import empty

NOW = re.compile(rb"20(?:2[6-9]|[3-9]\d)-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z")
TITLES = (
    "Zebra",
    "apple",
    "Äpfel",
    "zebra",
    "éclair",
    "Straße",
    "STRASSE",
    "日本",
    "🎉",
    "_x",
    "%",
    "a\\b",
    "İ",
    "ı",
)
ROWS = [
    {
        "title": title,
        "description": None if number % 3 else f"{title}\n=1",
        "status": ("pending", "in_progress", "completed")[number % 3],
        "priority": number % 5,
        "project": ("General", "Café", "café", "Z")[number % 4],
        "tags": [["ü"], [], ["b", "a"]][number % 3],
        "due_at": f"2021-01-0{number % 5 + 1}T00:00:00.{number:06}Z" if number % 2 else None,
        "created_at": f"2020-01-0{number % 4 + 1}T00:00:00Z",
        "updated_at": f"2020-02-0{number % 4 + 1}T00:00:00Z",
        "completed_at": f"2020-01-1{number % 4}T01:02:03.{number:03}Z" if number % 3 == 2 else None,
    }
    for number, title in enumerate(TITLES * 2)
]
SORTS = ("created_at", "updated_at", "due_at", "completed_at", "title", "priority", "id")


def requests(ada: Person, bob: Person, root: Person) -> Iterator[Any]:
    """The answers to more than a hundred requests."""
    yield ada.post("/tasks/import", json=ROWS)
    yield bob.post("/tasks/import", json=ROWS[:9])
    for sort_by in SORTS:
        for order in ("asc", "desc"):
            path = f"/tasks?limit=9&sort_by={sort_by}&sort_order={order}"
            for _ in range(4):
                answer = ada.get(path)
                yield answer
                path = answer.links.get("next", {}).get("url", path)
            yield ada.get(f"/tasks?sort_by={sort_by}&sort_order={order}&skip=5&limit=9")
    for text in ("STRASSE", "ß", "ä", "e", "É", "%", "_", "\\", "日", "🎉", "İ", "i", "ı", "x' OR 1=1"):
        yield ada.get("/tasks/search", params={"query": text})
        yield ada.get("/tasks", params={"title_contains": text, "sort_by": "title"})
    for query in (
        "project=caf%C3%A9",
        "tag=%C3%BC",
        "priority=3",
        "status=pending&status=completed",
        "tag=%C3%BC&tag=a&total=true&limit=5",
        "project=Z&project=Caf%C3%A9&sort_by=title",
        "updated_after=2020-02-02&tz=Asia/Tokyo&priority=1&priority=2&total=true",
        "due_after=2021-01-03T00:00:00Z",
    ):
        yield ada.get(f"/tasks?{query}")
    yield ada.post("/tasks", json={"title": "new", "due_at": "0001-01-01T00:00:00.000001Z"})
    yield ada.put("/tasks/2", json={"status": "completed", "tags": ["z", "ü"]})
    yield ada.patch("/tasks/3", json={"description": None, "due_at": "9999-12-31T23:59:59.999999Z"})
    yield ada.put("/tasks/4", json={"title": "\0"})
    yield ada.put("/tasks/4", json={"title": "x"}, headers={"If-Match": '"4-9"'})
    yield ada.get("/tasks/4", headers={"If-None-Match": '"4-1"'})
    yield ada.put(f"/tasks/5/assign?assigned_user_id={bob.id}")
    yield ada.put("/tasks/5/assign?assigned_user_id=999")
    yield ada.delete("/tasks/6")
    yield ada.delete("/tasks/6")
    yield bob.get("/tasks/1")
    yield bob.get("/tasks/5/history")
    for task_id in (1, 2, 3):
        yield ada.get(f"/tasks/{task_id}/history")
    for person in (ada, bob, root):
        yield person.get("/analytics/user-completion-stats")
        yield person.get("/analytics/project-stats")
        yield person.get("/analytics/completion-time-stats")
        yield person.get("/analytics/all-users-stats")
        yield person.get("/analytics/system-summary")
        yield person.get("/tasks/all?sort_by=title&limit=500")
        yield person.get(f"/tasks/admin/filter?user_id={bob.id}&status=pending")
    yield ada.get("/tasks/export")
    yield ada.get("/tasks/export?format=csv")
    yield ada.get("/users/lookup?username=BOB")
    yield ada.get("/auth/me")
    yield ada.client.post(
        "/auth/register", json={"username": "BOB", "email": "x@example.com", "password": "long enough"}
    )
    yield ada.client.post(
        "/auth/register", json={"username": "eve", "email": "BOB@example.com", "password": "long enough"}
    )
    yield ada.client.post("/auth/login", data={"username": "ada", "password": "wrong"})
    yield ada.get(f"/tasks/{2**63}")


def answers(url: str, folder: Path) -> list[tuple[Any, ...]]:
    """The answers of this database to all requests while the clock stands still.

    The hours of a task that is completed now have two decimals, so a few seconds could show in them.
    """
    with pytest.MonkeyPatch.context() as patch, time_machine.travel("2026-03-01T00:00:00Z", tick=False):
        patch.setattr(settings, "cache_dir", folder)
        patch.setattr(settings, "data_dir", folder)
        database.switch(url)
        forget_verified_tokens()
        completion_times.kept.clear()
        api = Api(TestClient(app, headers={"X-Request-ID": "the-same"}))
        people = api.person("ada"), api.person("bob"), api.person("root", admin=True)
        found = [
            (
                f"{answer.request.method} {answer.request.url}",
                answer.status_code,
                NOW.sub(b"NOW", answer.content),
                {
                    key: value
                    for key, value in answer.headers.items()
                    if key not in {"content-length", "ratelimit"}
                },
            )
            for answer in requests(*people)
        ]
        background_tasks.stop()
        database.close()
    return found


def test_sqlite_and_postgres_answer_the_same(
    migrated_sqlite: Path, migrated_postgres: str, tmp_path: Path
) -> None:
    shutil.copy(migrated_sqlite, tmp_path / "tasks.db")
    empty(migrated_postgres)
    ours, theirs = answers(f"sqlite:///{tmp_path}/tasks.db", tmp_path), answers(migrated_postgres, tmp_path)
    assert len(ours) >= 100
    for one, other in zip(ours, theirs, strict=True):
        assert one == other
    assert {answer[1] for answer in ours} >= {200, 201, 304, 400, 401, 403, 404, 412, 422}
