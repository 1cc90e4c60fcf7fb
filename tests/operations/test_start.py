"""The checks when the program starts, each told in one line; and the first admin."""

import runpy
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr
from sqlalchemy import Engine, event, make_url

import create_tables
import manage
from benchmarks.servers import free_port
from config import settings
from database import Database, database
from migrations.schema import SchemaError, check_schema, check_writable, migrate
from storage.faults import fault_log
from tests.support.api import PASSWORD, Api
from tests.support.confined import confined_command
from tests.support.postgres import PostgresServer, create_database, drop_database
from tests.support.server import ServerProcess
from tests.support.waiting import SECONDS

pytestmark = pytest.mark.thorough

STARTUP_FAILED = 3
FULL = SimpleNamespace(free=0)


@pytest.mark.parametrize("what", ["file", "folder", "key", "no key"])
def test_what_can_not_be_written_or_read_stops_the_start_in_one_line(
    tmp_path: Path, migrated_sqlite: Path, what: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    path, key = data / "tasks.db", data / "secret_key"
    path.write_bytes(migrated_sqlite.read_bytes())
    environment = {"DATA_DIR": str(data), "LOG_FORMAT": "json", "LOG_LEVEL": "ERROR", "LOG_FILE": "/dev/null"}
    if "key" in what:
        environment["SECRET_KEY"] = ""
    if what == "file":
        path.chmod(0o444)
    elif what == "key":
        key.write_text("a-key-that-this-account-may-not-read")
        key.chmod(0)
    else:
        data.chmod(0o555)
    server = ServerProcess(tmp_path, **environment)
    server.prefix = confined_command([])
    try:
        assert server.run("--log-level", "error").wait(SECONDS) == STARTUP_FAILED
    finally:
        server.__exit__()
    said = [line for line in server.output().splitlines() if "startup failed. Exiting" not in line]
    assert len(said) == 1
    assert "The program can't start. " in said[0]
    expected = f"DATA_DIR: the key in {data} can't be" if "key" in what else f"The database ({path}) can't be"
    assert expected in said[0]
    assert "Permission denied" in said[0] or "readonly" in said[0] or "unable to open" in said[0]


def test_read_only_that_comes_later_is_said_by_ready_the_answer_and_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    ada = api.person()
    assert ada.get("/ready").json()["parts"]["database"] == "ok"
    fault_log.next_at.clear()
    make_read_only(on=True)
    try:
        answer = ada.post("/tasks", json={"title": "Lost"})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_read_only")
        assert "read-only" in answer.json()["detail"]
        ready = ada.get("/ready")
        assert (ready.status_code, ready.json()["detail"]) == (503, "Not ready. database: read-only")
        assert ada.get("/tasks").status_code == 200
        with pytest.raises(SchemaError, match="can't be written to"):
            check_writable()
    finally:
        make_read_only(on=False)
    assert [record.levelname for record in caplog.records if "is read-only" in record.message] == ["ERROR"]
    assert ada.get("/ready").status_code == 200
    assert ada.task("Kept")["title"] == "Kept"


def test_a_full_disk_is_said_by_the_answer_and_once_by_the_log(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    if not database.is_sqlite:
        pytest.skip("filling the disk of Postgres takes a disk of its own")
    ada = api.person()
    fault_log.next_at.clear()
    event.listen(Engine, "connect", allow_no_growth)
    database.close()
    try:
        for _ in range(2):
            answer = ada.post("/tasks", json={"title": "Lost", "description": "x" * 5_000})
            assert (answer.status_code, answer.json()["code"]) == (507, "insufficient_storage")
        assert ada.get("/tasks").status_code == 200
    finally:
        event.remove(Engine, "connect", allow_no_growth)
        database.close()
    assert [record.levelname for record in caplog.records if "storage" in record.message] == ["ERROR"]


def test_a_database_that_is_gone_is_said_once_by_the_log(api: Api, caplog: pytest.LogCaptureFixture) -> None:
    fault_log.next_at.clear()
    port, there = free_port(), database.url
    database.switch(f"postgresql://postgres@127.0.0.1:{port}/none")
    try:
        for _ in range(2):
            assert api.client.get("/tasks", headers={"Authorization": "Bearer tp_x"}).status_code == 503
    finally:
        database.switch(there.render_as_string(hide_password=False))
    said = [record.message for record in caplog.records if "can't be reached" in record.message]
    assert [f"port {port} failed" in line for line in said] == [True]


def test_ready_and_the_doctor_say_that_the_disk_is_full(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: FULL)
    ready = api.client.get("/ready")
    manage.main(["doctor"])
    said = capsys.readouterr().out
    if database.is_sqlite:
        assert (ready.status_code, ready.json()["detail"]) == (503, "Not ready. database: the disk is full")
        assert "FAILED  database: the disk of" in said
    else:
        assert ready.status_code == 200
        assert "ok      database" in said


def test_a_damaged_database_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there = database.url.render_as_string(hide_password=False)
    file = tmp_path / "tasks.db"
    file.write_bytes(b"SQLite format 3\0" + b"x" * 5_000)
    database.switch(f"sqlite:///{file}")
    try:
        with pytest.raises(SchemaError, match=r"is damaged: .*Restore a backup") as refused:
            check_schema()
        assert str(file) in str(refused.value)
        assert [manage.main([command]) for command in ("doctor", "outbox")] == [1, 1]
        assert manage.main(["backup", str(tmp_path / "backup")]) == 1
    finally:
        database.switch(there)
    said = capsys.readouterr()
    assert f"FAILED  database: The database ({file}) is damaged" in said.out
    assert [line.partition(":")[0] for line in said.err.splitlines()] == [
        f"The database ({file}) is damaged"
    ] * 2


def allow_no_growth(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA max_page_count=1")


def refuse_changes(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA query_only=ON")


def make_read_only(*, on: bool) -> None:
    """Have the database refuse changes on new connections, as after a failover or on a broken file system."""
    if database.is_sqlite:
        (event.listen if on else event.remove)(Engine, "connect", refuse_changes)
    else:
        url, name = database.url.set(drivername="postgresql"), sql.Identifier(database.url.database or "")
        with psycopg.connect(url.render_as_string(hide_password=False), autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            change = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = {}")
            connection.execute(change.format(name, sql.Literal("on" if on else "off")))
    database.close()


@pytest.fixture
def bare_role(postgres: PostgresServer) -> Iterator[str]:
    """The URL of a new database for an account that owns nothing in it and may only connect."""
    url, role = create_database(postgres.url, "bare"), f"bare_{uuid4().hex}"
    name = url.rpartition("/")[2]
    with psycopg.connect(url, autocommit=True) as connection:
        # A new database has these rights since Postgres 15.
        for statement in (
            "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
            f"CREATE ROLE {role} LOGIN PASSWORD 'x'",
            f"GRANT CONNECT ON DATABASE {name} TO {role}",
        ):
            connection.execute(statement.encode())
    yield make_url(url).set(username=role, password="x").render_as_string(hide_password=False)
    drop_database(postgres.url, name)
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(f"DROP ROLE {role}".encode())


def test_a_right_that_is_missing_is_one_line_with_the_statement_that_grants_it(
    bare_role: str, postgres: PostgresServer
) -> None:
    role, name = make_url(bare_role).username, make_url(bare_role).database
    owner = make_url(postgres.url).set(database=name).render_as_string(hide_password=False)
    db = Database(bare_role)
    with pytest.raises(SchemaError) as refused:
        migrate(db)
    line, _, grant = str(refused.value).partition("Let its owner run: ")
    assert line == "The database refuses it: permission denied for schema public. "
    assert grant == f'GRANT USAGE, CREATE ON SCHEMA public TO "{role}";'
    with psycopg.connect(owner, autocommit=True) as connection:
        # The message names this statement. The extensions need the next one.
        connection.execute(grant.encode())
        connection.execute(f"GRANT CREATE ON DATABASE {name} TO {role}".encode())
    migrate(db)
    check_schema(db)
    check_writable(db)
    with psycopg.connect(owner, autocommit=True) as connection:
        connection.execute(f"REVOKE INSERT ON tasks FROM {role}".encode())
    with pytest.raises(SchemaError, match=r"permission denied for table tasks.*GRANT ALL ON ALL TABLES"):
        check_writable(db)
    db.close()


def as_first_admin(monkeypatch: pytest.MonkeyPatch, **given: str | None) -> None:
    for name, value in given.items():
        secret = SecretStr(value) if name == "password" and value else value
        monkeypatch.setattr(settings, f"first_admin_{name}", secret)


def test_the_first_admin_is_made_once_and_never_again(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    as_first_admin(monkeypatch, username="root", email="root@example.com", password=PASSWORD)
    assert create_tables.create_first_admin()
    second = api.person("second", admin=True)
    (root,) = [each["id"] for each in second.get("/users").json() if each["username"] == "root"]
    caplog.clear()
    assert second.delete(f"/users/{root}?transfer_to={second.id}").status_code == 200
    assert not create_tables.create_first_admin()
    assert "root" not in {each["username"] for each in second.get("/users").json()}
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []


@pytest.mark.parametrize(
    ("given", "warning"),
    [
        ({"username": "ADA", "email": "root@example.com", "password": PASSWORD}, "FIRST_ADMIN_USERNAME is"),
        ({"username": "root", "email": "Ada@Example.com", "password": PASSWORD}, "FIRST_ADMIN_EMAIL is"),
        ({"username": "root", "email": None, "password": None}, "FIRST_ADMIN_EMAIL, FIRST_ADMIN_PASSWORD"),
    ],
)
def test_what_keeps_the_first_admin_from_being_made_is_one_warning_and_no_more(
    api: Api,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capsys: pytest.CaptureFixture[str],
    given: dict[str, str | None],
    warning: str,
) -> None:
    ada = api.person()
    as_first_admin(monkeypatch, **given)
    assert create_tables.main() == 0
    (said,) = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warning in said
    assert PASSWORD not in capsys.readouterr().out
    assert ada.get("/auth/me").json()["role"] == "member"


def test_a_password_of_the_first_admin_that_breaks_a_rule_is_one_line_without_it(
    api: Api, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    as_first_admin(monkeypatch, username="root-of-all", email="root@example.com", password="Root-of-all")
    assert create_tables.main() == 1
    said = capsys.readouterr()
    rule = "The password may not be the username or the email address"
    assert said.err == f"Tables not created: FIRST_ADMIN_PASSWORD: {rule}\n"
    assert "Root-of-all" not in said.out


@pytest.mark.parametrize(("argument", "code"), [("--help", 0), ("--dry-run", 2)])
def test_asking_for_help_migrates_nothing(
    argument: str, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["create_tables.py", argument])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(create_tables.__file__, run_name="__main__")
    said = capsys.readouterr()
    assert (ended.value.code, "usage: create_tables.py" in said.out + said.err) == (code, True)
    assert "Tables created" not in said.out
