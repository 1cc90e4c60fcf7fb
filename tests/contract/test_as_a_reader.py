"""The program as a reader of the README and the roadmap uses it: their commands, their client, no fixtures."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.server import ServerProcess
from tests.support.waiting import SECONDS

ROOT = Path(__file__).resolve().parents[2]
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": str(ROOT),
    "BCRYPT_ROUNDS": "4",
}

READERS_TEST = """
import gc
import json
import pathlib

from fastapi.testclient import TestClient

from main import app

# Python's own threshold leads to hundreds, which takes a fifth of the time of the imports.
assert sum(each["collections"] for each in gc.get_stats()) < 150
client = TestClient(app)

account = {"username": "reader", "email": "reader@example.com", "password": "a password\\nof two lines"}
assert client.post("/auth/register/", json=account).status_code == 200
form = {"username": "reader", "password": account["password"]}
token = client.post("/auth/login", data=form).json()["access_token"]
headers = {"Authorization": f"Bearer {token}"}
created = client.post("/tasks/", json={"title": "First\\nsecond line", "status": "completed"}, headers=headers)
assert created.status_code == 201, created.text
cached = json.loads(pathlib.Path("cache_user_1.json").read_text())
assert cached["user_id"] == 1 and cached["stats"]["completed_tasks"] == 1 and cached["updated_at"]
log = pathlib.Path("app.log").read_text()
assert "Notification sent to user 1: Task 'First\\\\nsecond line' was created" in log, log
assert "Task Completed: First" in log and "reader@example.com" in log
assert client.put("/tasks/1", json={"status": "pending"}, headers=headers).status_code == 200
assert json.loads(pathlib.Path("cache_user_1.json").read_text())["stats"]["pending_tasks"] == 1
assert client.get("/analytics/user-completion-stats", headers=headers).json()["pending_tasks"] == 1
assert client.get("/").json() == {"message": "Task API is running"}
assert client.get("/sample-task").json() == {"title": "Sample Task", "status": "pending"}
assert client.get("/health").status_code == 200
print(token)
"""


def test_a_module_level_client_works_after_create_tables_background_work_included(tmp_path: Path) -> None:
    def run(*arguments: str) -> str:
        ended = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=ENVIRONMENT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    assert run(str(ROOT / "create_tables.py")).splitlines()[-1] == "Tables created successfully!"
    (tmp_path / "readers_test.py").write_text(READERS_TEST)
    token = run("-W", "error::ResourceWarning", "readers_test.py").splitlines()[-1]
    assert token.count(".") == 2
    names = {path.name for path in tmp_path.iterdir()}
    assert names - {"tasks.db-wal", "tasks.db-shm"} == {
        "tasks.db",
        "secret_key",
        "app.log",
        "cache_user_1.json",
        "readers_test.py",
    }
    log = (tmp_path / "app.log").read_text()
    line = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} - task_platform - (INFO|WARNING|ERROR) - .+")
    assert all(line.fullmatch(each) for each in log.splitlines())
    key = (tmp_path / "secret_key").read_text().strip()
    for secret in (token, key, "a password", "$bcrypt"):
        assert secret not in log


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_readmes_first_five_minutes_run_as_pasted(tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text()
    lines = readme.partition("## The first five minutes")[2].partition("```sh\n")[2].partition("```")[0]
    with ServerProcess(tmp_path) as server:
        pasted = lines.replace("localhost:8000", f"127.0.0.1:{server.port}")
        assert pasted.count(str(server.port)) >= 5
        ended = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", pasted],
            cwd=tmp_path,
            env={"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 0, ended.stderr
    decoder, answers, place = json.JSONDecoder(), [], 0
    while place < len(ended.stdout.rstrip()):
        answer, place = decoder.raw_decode(ended.stdout, place)
        answers.append(answer)
    registered, created, completed, stats = answers
    assert registered["username"] == "ada"
    assert (created["status"], completed["status"]) == ("pending", "completed")
    assert (stats["total_tasks"], stats["completion_rate"]) == (1, 100.0)


@pytest.mark.parametrize("form", ["text", pytest.param("json", marks=pytest.mark.thorough)])
def test_several_processes_write_one_log_whole_lines_each(tmp_path: Path, form: str) -> None:
    code = (
        "import sys; from logging_config import logger, setup_logging; setup_logging();"
        "[logger.info('%s %s %s', sys.argv[1], number, 'x' * 9000 + '\\n\\r\\u2028\\ud800') for number in range(100)]"
    )
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", code, name],
            cwd=tmp_path,
            env={**ENVIRONMENT, "LOG_FORMAT": form, "LOG_FILE": "all.log"},
            stdout=subprocess.DEVNULL,
        )
        for name in ("a", "b")
    ]
    assert [writer.wait(SECONDS) for writer in writers] == [0, 0]
    lines = (tmp_path / "all.log").read_bytes().decode().split("\n")[:-1]
    assert len(lines) == 200
    for line in lines:
        message = json.loads(line)["message"] if form == "json" else line.split(" - ", 3)[3]
        assert re.fullmatch(r"[ab] \d+ x{9000}\S*", message.replace("\n\r\u2028", "")), message[-50:]
