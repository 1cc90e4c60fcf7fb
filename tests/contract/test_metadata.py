"""Programs that followed the roadmap make and drop the tables by `Base.metadata`, triggers included."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from tests.support.postgres import PostgresServer, create_database

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
from database import Base, SessionLocal, engine
from models import Task, User

Base.metadata.create_all(bind=engine)

from fastapi.testclient import TestClient
from main import app

client = TestClient(app)
ACCOUNT = {"username": "reader", "email": "reader@example.com", "password": "correct horse battery"}


def look(hours):
    assert client.post("/auth/register", json=ACCOUNT).json()["id"] == 1
    answer = client.post("/auth/login", data={"username": "reader", "password": ACCOUNT["password"]})
    headers = {"Authorization": "Bearer " + answer.json()["access_token"]}
    assert client.get("/tasks", headers=headers).json() == []
    task = {
        "title": "Straße", "tags": ["writing"], "status": "completed",
        "created_at": "2026-11-01T00:00:00Z", "completed_at": f"2026-11-01T{hours:02d}:00:00Z",
    }
    assert client.post("/tasks/import", json=[task], headers=headers).json() == {"imported": 1, "ids": [1]}
    for query in ("tag=writing", "title_contains=STRASSE", "filter=status%3Dcompleted"):
        assert len(client.get(f"/tasks?{query}", headers=headers).json()) == 1, query
    stats = client.get("/analytics/user-completion-stats", headers=headers).json()
    assert (stats["total_tasks"], stats["completed_tasks"]) == (1, 1), stats
    times = client.get("/analytics/completion-time-stats", headers=headers).json()
    assert times["average_completion_time_hours"] == hours, times
    assert len(client.get("/events", headers=headers).json()) == 1
    with SessionLocal() as db:
        assert (db.query(User).count(), db.query(Task).count()) == (1, 1)


Base.metadata.create_all(engine)
look(1)
Base.metadata.drop_all(bind=engine)
Base.metadata.drop_all(engine)
Base.metadata.create_all(bind=engine)
look(2)
with TestClient(app) as client:
    Base.metadata.drop_all(bind=engine)
    Base.metadata.create_all(bind=engine)
    look(3)
"""


def run(program: str, folder: Path, url: str) -> str:
    (folder / "program.py").write_text(program)
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "DATABASE_URL": url,
            "BCRYPT_ROUNDS": "4",
            "LOG_LEVEL": "ERROR",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_metadata_makes_and_drops_the_whole_schema(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/tasks.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = create_database(server.url, f"metadata_{uuid.uuid4().hex}")
    assert run(PROGRAM, tmp_path, url) == ""
