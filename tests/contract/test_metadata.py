"""Programs that followed the roadmap make and drop the tables by `Base.metadata`, triggers included."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

from tests.support.postgres import PostgresServer, create_database

ROOT = Path(__file__).resolve().parents[2]
# Starting two such programs takes longer than all that they do, so one goes on with its second database.
PROGRAM = """
import os

from database import Base, SessionLocal, database, engine
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


def make_drop_and_look():
    global client
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
    client = TestClient(app)


make_drop_and_look()
print(engine.dialect.name)
database.switch(os.environ["SECOND_URL"])
engine, SessionLocal = database.engine, database.session_factory
make_drop_and_look()
print(engine.dialect.name)
"""


def run(program: str, folder: Path, **urls: str) -> str:
    (folder / "program.py").write_text(program)
    ended = subprocess.run(
        [sys.executable, "program.py"],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "BCRYPT_ROUNDS": "4",
            "LOG_LEVEL": "ERROR",
            **urls,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_metadata_makes_and_drops_the_whole_schema(postgres: PostgresServer, tmp_path: Path) -> None:
    on_postgres = create_database(postgres.url, f"metadata_{uuid.uuid4().hex}")
    made = run(PROGRAM, tmp_path, DATABASE_URL=f"sqlite:///{tmp_path}/tasks.db", SECOND_URL=on_postgres)
    assert made.split() == ["sqlite", "postgresql"]
