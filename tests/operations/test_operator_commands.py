"""`python manage.py doctor`, `backup`, `restore`, `create-admin` and `outbox`, on both databases."""

import io
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import inspect, text, update

import manage
from benchmarks.servers import free_port
from config import settings
from database import Database, database
from migrations.schema import migrate, revision_of
from services.operations import backup
from services.operations.backup import (
    OUR_FUNCTIONS,
    OUR_TABLES,
    POSTGRES_MAGIC,
    BackupRefused,
    back_up,
    restore,
)
from tables.notifications import notifications
from tests.support.api import PASSWORD, Api
from tests.support.mail import mail_catcher
from tests.support.pgbouncer import pgbouncer
from tests.support.server import ROOT
from tests.support.waiting import wait_until

pytestmark = pytest.mark.thorough


def test_doctor_gives_each_part_its_verdict(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert manage.main(["doctor"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in said] == [
        ["ok", f"{part}:"] for part in ("settings", "database", "schema", "mail", "cache")
    ]
    (tmp_path / "file").touch()
    monkeypatch.setattr(settings, "cache_dir", tmp_path / "file" / "cache")
    monkeypatch.setattr(settings, "smtp_server", "127.0.0.1")
    monkeypatch.setattr(settings, "smtp_port", free_port())
    assert manage.main(["doctor"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in said] == ["ok", "ok", "ok", "FAILED", "FAILED", "warning"]
    assert "SMTP_FROM is not set" in said[-1]
    with mail_catcher() as catcher:
        monkeypatch.setattr(settings, "smtp_port", catcher.port)
        monkeypatch.setattr(settings, "smtp_security", "none")
        manage.main(["doctor"])
    assert f"ok      mail: 127.0.0.1:{catcher.port} answers" in capsys.readouterr().out


def test_doctor_finds_a_database_that_is_not_there(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    database.switch(f"postgresql://postgres@127.0.0.1:{port}/none")
    assert manage.main(["doctor"]) == 1
    said = capsys.readouterr().out
    for part in ("database", "schema"):
        assert re.search(
            rf"^FAILED  {part}: The database can't be reached: .*port {port} failed", said, re.MULTILINE
        )


def test_doctor_finds_a_log_and_a_key_that_can_not_be_there(
    database_url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(settings, "log_file", tmp_path)
    assert manage.main(["doctor"]) == 1
    assert "FAILED  settings: LOG_FILE: the log can't be written" in capsys.readouterr().out
    monkeypatch.setenv("REGISTRATON_OPEN", "false")
    (tmp_path / "file").touch()
    monkeypatch.setattr(settings, "secret_key", None)
    monkeypatch.setattr(settings, "data_dir", tmp_path / "file")
    assert manage.main(["doctor"]) == 1
    said = capsys.readouterr().out
    assert "FAILED  settings: DATA_DIR: the key in" in said
    assert "warning settings: REGISTRATON_OPEN is no setting and is ignored: REGISTRATION_OPEN may" in said
    assert "ok      cache" in said


def test_backup_brings_back_what_was_there(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if not database.is_sqlite and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    ada = api.person()
    kept = ada.task("Kept", tags=["a"])
    file = tmp_path / "backup"
    assert manage.main(["backup", str(file)]) == 0
    assert manage.main(["backup", str(file)]) == 1
    assert "is there already" in capsys.readouterr().err
    lost = ada.task("Lost")
    ada.delete(f"/tasks/{kept['id']}")
    assert manage.main(["restore", str(file)]) == 1
    assert "say --replace" in capsys.readouterr().err
    assert manage.main(["restore", "--replace", str(file)]) == 0
    assert ada.get(f"/tasks/{kept['id']}").json() == kept
    assert ada.get(f"/tasks/{lost['id']}").status_code == 404
    assert [each["title"] for each in ada.get("/tasks").json()] == ["Kept"]
    assert ada.task("New")["id"] > kept["id"]
    assert ada.get("/analytics/user-completion-stats").json()["total_tasks"] == 2


@pytest.fixture
def old_backup(api: Api, tmp_path: Path) -> Path:
    """A backup that was made before there were projects and most triggers; the database itself is the newest."""
    if not database.is_sqlite and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    ada = api.person()
    ada.task("Kept")
    migrate(database, "0011")
    try:
        back_up(database, tmp_path / "old")
    finally:
        migrate(database)
    project = ada.post("/projects", json={"name": "Later"}).json()
    ada.task("Lost", project_id=project["id"])
    return tmp_path / "old"


def foreign_keys() -> set[tuple[str, str]]:
    found = inspect(database.engine)
    return {
        (table, str(key["name"]))
        for table in found.get_table_names()
        for key in found.get_foreign_keys(table)
    }


def test_an_older_backup_replaces_a_newer_database(
    old_backup: Path, api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = foreign_keys()
    cut = tmp_path / "cut"
    cut.write_bytes(old_backup.read_bytes()[: -old_backup.stat().st_size // 4])
    assert manage.main(["restore", "--replace", str(cut)]) == 1
    # Nothing was changed.
    assert foreign_keys() == keys
    titles = text("SELECT title FROM tasks ORDER BY id")
    assert database.read(lambda db: db.execute(titles).scalars().all()) == ["Kept", "Lost"]
    assert manage.main(["restore", "--replace", str(old_backup)]) == 0
    assert foreign_keys() == keys
    assert database.read(lambda db: db.execute(titles).scalars().all()) == ["Kept"]
    assert database.read(lambda db: db.execute(text("SELECT count(*) FROM projects")).scalar_one()) == 0


def test_a_restore_that_is_killed_changes_nothing(
    old_backup: Path, database_url: str, api: Api, tmp_path: Path
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite's own backup does this")
    keys = foreign_keys()
    titles = text("SELECT title FROM tasks ORDER BY id")
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'")
    command = [sys.executable, str(ROOT / "manage.py"), "restore", "--replace", str(old_backup)]
    environment = {**os.environ, "DATABASE_URL": database_url, "DATA_DIR": str(tmp_path)}
    with database.engine.connect() as reading:
        reading.execute(titles)
        with subprocess.Popen(command, env=environment) as restoring:
            # The reader keeps the restore from going on.
            wait_until(lambda: database.read(lambda db: db.execute(waiting).scalar_one() > 0))
            restoring.kill()
        reading.rollback()
        others = text("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql'")
        wait_until(lambda: database.read(lambda db: db.execute(others).scalar_one() == 0))
    assert foreign_keys() == keys
    assert database.read(lambda db: db.execute(titles).scalars().all()) == ["Kept", "Lost"]


def test_a_backup_goes_into_an_empty_database(old_backup: Path, api: Api, tmp_path: Path) -> None:
    migrate(database, "base")
    restore(database, old_backup)
    migrate(database)
    assert database.read(lambda db: db.execute(text("SELECT title FROM tasks")).scalars().all()) == ["Kept"]


def test_a_newer_pg_restore_restores_to_an_older_server(
    old_backup: Path, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no programs of its own")
    # Version 17 begins its script so, whatever the server is.
    newer = tmp_path / "pg_restore"
    newer.write_text(
        f"#!/bin/sh\n{shutil.which('pg_restore')} \"$@\" | sed 's/^SET lock_timeout = 0;$/&\\nSET transaction_timeout = 0;/'\n"
    )
    newer.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    restore(database, old_backup, replace=True)
    migrate(database)
    assert database.read(lambda db: db.execute(text("SELECT title FROM tasks")).scalars().all()) == ["Kept"]


def test_a_restore_through_a_pooler_leaves_no_settings_there(
    old_backup: Path, database_url: str, api: Api
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no pooler")
    with pgbouncer(database_url) as url:
        with closing(Database(url)) as pooled:
            restore(pooled, old_backup, replace=True)
        with psycopg.connect(url) as next_one:
            assert next_one.execute("SELECT title FROM tasks").fetchall() == [("Kept",)]
    migrate(database)


def test_a_password_is_asked_for_and_given(database_url: str, api: Api, tmp_path: Path) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no passwords")
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute("SHOW hba_file").fetchone()
        assert found is not None
        rules = Path(found[0])
        if not rules.exists():
            pytest.skip("the server is on another machine")
        before = rules.read_text()
        connection.execute("CREATE ROLE asked SUPERUSER LOGIN PASSWORD 's/e@c%r:e t'")
        try:
            rules.write_text(f"host all asked all scram-sha-256\n{before}")
            connection.execute("SELECT pg_reload_conf()")
            url = database.url.set(username="asked", password="s/e@c%r:e t")
            api.person().task("Kept")
            with closing(Database(url.render_as_string(hide_password=False))) as asked:
                back_up(asked, tmp_path / "backup")
                restore(asked, tmp_path / "backup", replace=True)
        finally:
            rules.write_text(before)
            connection.execute("SELECT pg_reload_conf()")
            connection.execute("REASSIGN OWNED BY asked TO CURRENT_USER")
            connection.execute("DROP OWNED BY asked")
            connection.execute("DROP ROLE asked")
    assert database.read(lambda db: db.execute(text("SELECT title FROM tasks")).scalars().all()) == ["Kept"]


def test_what_others_made_stops_a_restore(
    old_backup: Path, api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite's own backup replaces the whole file")
    tables = set(inspect(database.engine).get_table_names())
    with database.engine.begin() as connection:
        connection.execute(text("CREATE VIEW others AS SELECT title FROM tasks"))
    try:
        assert manage.main(["restore", "--replace", str(old_backup)]) == 1
        assert "psql failed" in (said := capsys.readouterr().err)
        assert "view others depends on table tasks" in said
        assert set(inspect(database.engine).get_table_names()) == tables
        assert database.read(lambda db: db.execute(text("SELECT * FROM others")).all()) == [
            ("Kept",),
            ("Lost",),
        ]
    finally:
        with database.engine.begin() as connection:
            connection.execute(text("DROP VIEW others"))


def test_a_backup_of_another_schema_changes_nothing(old_backup: Path, api: Api) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has no schemas")
    migrate(database, "base")
    with database.engine.begin() as connection:
        connection.execute(text("DROP EXTENSION IF EXISTS pg_trgm; CREATE SCHEMA app"))
    url = database.url.update_query_dict({"options": "-csearch_path=app"})
    try:
        with closing(Database(url.render_as_string(hide_password=False))) as elsewhere:
            migrate(elsewhere)
            with pytest.raises(BackupRefused, match='relation "alembic_version" does not exist'):
                restore(elsewhere, old_backup, replace=True)
            assert elsewhere.read(revision_of) is not None
    finally:
        with database.engine.begin() as connection:
            connection.execute(text("DROP SCHEMA app CASCADE"))
        migrate(database)


def test_a_backup_of_a_newer_version_changes_nothing(
    old_backup: Path, api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "known_revisions", lambda: frozenset({"0001"}))
    assert manage.main(["restore", "--replace", str(old_backup)]) == 1
    assert "was made by a newer version" in capsys.readouterr().err
    assert len(api.person("other").get("/tasks").json()) == 0
    assert database.read(lambda db: db.execute(text("SELECT count(*) FROM tasks")).scalar_one()) == 2


def test_restore_knows_all_tables_and_functions_of_this_program(api: Api) -> None:
    there = set(inspect(database.engine).get_table_names())
    assert {name for name in there if not name.startswith("task_search")} - OUR_TABLES == set()
    if not database.is_sqlite:
        functions = text("SELECT DISTINCT tgfoid::regproc::text FROM pg_trigger WHERE NOT tgisinternal")
        assert database.read(lambda db: set(db.execute(functions).scalars())) == OUR_FUNCTIONS


def test_restore_refuses_what_is_no_backup_of_this_program(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    task = api.person().task()
    other = tmp_path / "other.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE t (x)")
    connection.close()
    nothing = tmp_path / "nothing"
    nothing.write_text("no database")
    for file in (other, nothing, tmp_path / "missing"):
        assert manage.main(["restore", "--replace", str(file)]) == 1
        assert len(capsys.readouterr().err.splitlines()) == 1
    count = database.read(lambda db: db.execute(text("SELECT count(*) FROM tasks")).scalar_one())
    assert (count, task["id"]) == (1, 1)


@pytest.mark.parametrize("how", ["cut", "blank"])
def test_restore_refuses_a_damaged_backup(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str], how: str
) -> None:
    if not database.is_sqlite and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    ada = api.person()
    file = tmp_path / "backup"
    ada.task("Kept")
    assert manage.main(["backup", str(file)]) == 0
    ada.task("Later")
    whole = file.read_bytes()
    good = whole[: len(whole) * 2 // 3]
    file.write_bytes(good if how == "cut" else good.ljust(len(whole), b"\0"))
    capsys.readouterr()
    assert manage.main(["restore", "--replace", str(file)]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert [each["title"] for each in ada.get("/tasks").json()] == ["Later", "Kept"]


def test_postgres_without_its_programs_is_a_clear_refusal(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if database.is_sqlite:
        assert manage.main(["backup", str(tmp_path / "backup")]) == 0
    else:
        assert manage.main(["backup", str(tmp_path / "backup")]) == 1
        assert "pg_dump is not installed here" in capsys.readouterr().err
        assert list(tmp_path.glob("*backup*")) == []
        (tmp_path / "made").write_bytes(POSTGRES_MAGIC)
        assert manage.main(["restore", "--replace", str(tmp_path / "made")]) == 1
        assert "psql is not installed here" in capsys.readouterr().err


def test_commands_on_a_new_folder_need_no_start_before(tmp_path: Path) -> None:
    empty = Database(f"sqlite:///{tmp_path / 'empty.db'}")
    with closing(empty), pytest.raises(BackupRefused, match="The database is empty"):
        back_up(empty, tmp_path / "backup")
    for arguments, said in (
        (("create-admin", "root", "root@example.com"), "root is an admin"),
        (("reset-link", "nobody"), "There is no user nobody"),
    ):
        done = subprocess.run(
            [sys.executable, ROOT / "manage.py", *arguments],
            input=f"{PASSWORD}\n", cwd=tmp_path, env={**os.environ, "DATABASE_URL": "sqlite:///./tasks.db"},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert said in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_create_admin_reads_the_password_and_makes_an_admin(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert manage.main(["create-admin", "root", "root@example.com"]) == 0
    token = api.log_in("root")
    answer = api.client.get("/tasks/all", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{PASSWORD}\n"))
    assert manage.main(["create-admin", "Root", "another@example.com"]) == 1
    monkeypatch.setattr("sys.stdin", io.StringIO("short\n"))
    assert manage.main(["create-admin", "other", "not an email"]) == 1
    said = capsys.readouterr().err
    assert "The username Root is taken" in said
    assert "email" in said
    assert "short" not in said


def test_outbox_shows_what_failed_and_sends_it_again(api: Api, capsys: pytest.CaptureFixture[str]) -> None:
    api.person().task()
    failed = update(notifications).values(state="failed", attempts=20, last_error="550 No such mailbox")
    database.write(lambda db: db.execute(failed))
    assert manage.main(["outbox"]) == 0
    said = capsys.readouterr().out
    assert "failed: 1" in said
    assert "550 No such mailbox" in said
    assert manage.main(["outbox", "retry", "--id", "999"]) == 1
    assert manage.main(["outbox", "retry"]) == 0
    assert "Sent again: 1" in capsys.readouterr().out
    assert database.read(lambda db: db.execute(notifications.select()).one()).state == "mail"


def test_a_backup_goes_to_standard_output_and_comes_back_from_standard_input(
    database_url: str, api: Api, tmp_path: Path
) -> None:
    if not database.is_sqlite and shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed")
    ada = api.person()
    kept = ada.task("Kept")
    environment = {**os.environ, "DATABASE_URL": database_url, "DATA_DIR": str(tmp_path)}

    def manage_py(*arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, str(ROOT / "manage.py"), *arguments]
        return subprocess.run(command, env=environment, input=given, capture_output=True, check=False)

    made = manage_py("backup", "-")
    assert (made.returncode, made.stderr) == (0, b"")
    ada.delete(f"/tasks/{kept['id']}")
    restored = manage_py("restore", "--replace", "-", given=made.stdout)
    assert (restored.returncode, restored.stderr) == (0, b"")
    assert ada.get(f"/tasks/{kept['id']}").json() == kept
    assert [path.name for path in tmp_path.iterdir() if "backup" in path.name] == []


def test_a_backup_into_a_folder_that_can_not_be_written_is_one_line(
    api: Api, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage.main(["backup", str(tmp_path / "nowhere" / "backup")]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"{tmp_path}/nowhere/backup can't be written: No such file or directory" in said
    assert "/data" in said
