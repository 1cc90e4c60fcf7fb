"""Migrating a Postgres database in use: short locks on one table at a time, and resuming after a failure."""

import logging
import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import op
from sqlalchemy import event

from database import Database
from migrations import live
from migrations.schema import check_schema, migrate
from tests.storage.test_schema import layout
from tests.support.postgres import PostgresServer, create_database, drop_database
from tests.support.server import ROOT
from tests.support.waiting import SECONDS, wait_until

# The last revision before shared projects.
BEFORE = "0012"
LOCKED = (
    "SELECT relname FROM pg_locks JOIN pg_class ON pg_class.oid = relation WHERE granted AND relkind = 'r'"
    " AND mode = 'AccessExclusiveLock' AND relname IN ({}) ORDER BY 1"
)


@pytest.fixture(scope="module")
def template(postgres: PostgresServer) -> Iterator[str]:
    """The name of a database of the previous version, with an account and a task."""
    name = f"live_{uuid.uuid4().hex}"
    db = Database(create_database(postgres.url, name))
    migrate(db, BEFORE)
    with db.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO users (username, email, email_folded, password_hash, is_active, role, created_at)"
            " VALUES ('ada', 'a@b.cd', 'a@b.cd', 'x', true, 'admin', now())"
        )
        connection.exec_driver_sql(
            "INSERT INTO tasks (user_id, title, title_folded, description, status, priority, project, tags,"
            " created_at, updated_at, version)"
            " VALUES (1, 't', 't', 'GRÖSSE', 'pending', 0, ' General', '[\"a\"]', now(), now(), 1)"
        )
    db.close()
    yield name
    drop_database(postgres.url, name)


@pytest.fixture
def older_database(postgres: PostgresServer, template: str) -> Iterator[Database]:
    """A copy of the template, which takes a tenth of the time of its migrations."""
    name = f"live_{uuid.uuid4().hex}"
    db = Database(create_database(postgres.url, name, template))
    yield db
    db.close()
    drop_database(postgres.url, name)


def connected(db: Database) -> "psycopg.Connection[Any]":
    return psycopg.connect(db.url.set(drivername="postgresql").render_as_string(hide_password=False))


def assert_migrated(db: Database) -> None:
    """Check that the database has the schema of a new one, and still has its rows."""
    check_schema(db)
    with db.engine.connect() as connection:
        row = connection.exec_driver_sql(
            "SELECT description_folded, project, state, version FROM tasks"
        ).one()
        assert tuple(row) == ("grösse", "General", None, 2)
        (invalid,) = connection.exec_driver_sql("SELECT count(*) FROM pg_index WHERE NOT indisvalid").one()
        (unchecked,) = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_constraint WHERE NOT convalidated"
        ).one()
        assert (invalid, unchecked) == (0, 0)


def test_a_table_in_use_is_locked_alone_and_not_while_its_rows_are_read(older_database: Database) -> None:
    tables = ", ".join(repr(name) for name in layout(older_database) if name != "alembic_version")
    seen: list[tuple[str, list[str]]] = []
    with connected(older_database) as watcher:
        watcher.autocommit = True

        def look(statement: str) -> None:
            locked = watcher.execute(LOCKED.format(tables).encode()).fetchall()
            seen.append((statement, [name for (name,) in locked]))

        def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            look(statement)

        engine = older_database._autocommit  # noqa: SLF001  # the engine of migrations
        event.listen(engine, "before_cursor_execute", note)
        event.listen(engine, "after_cursor_execute", note)
        try:
            migrate(older_database)
        finally:
            event.remove(engine, "before_cursor_execute", note)
            event.remove(engine, "after_cursor_execute", note)
    assert_migrated(older_database)
    assert {name for _, names in seen for name in names} >= {"tasks", "task_history"}
    assert [each for each in seen if len(each[1]) > 1] == []
    large = ("tasks", "task_history", "task_tags", "notifications")
    reading = [
        names
        for statement, names in seen
        if "VALIDATE" in statement
        or (
            "CREATE" in statement
            and "INDEX" in statement
            and any(f" ON {name} " in statement for name in large)
        )
    ]
    assert len(reading) > 2 * 20
    assert [names for names in reading if names] == []


def test_a_migration_waits_for_another_one_and_says_so(
    older_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "task_platform"), ThreadPoolExecutor(1) as thread:
        with older_database.exclusive_connection():
            waiting = thread.submit(migrate, older_database)
            wait_until(lambda: "Waiting for the end of another migration" in caplog.messages)
            assert not waiting.done()
        waiting.result(SECONDS)
    assert caplog.messages.count("Waiting for the end of another migration") == 1
    assert_migrated(older_database)


@pytest.mark.thorough
def test_several_migrations_at_once_do_no_harm(older_database: Database, tmp_path: Path) -> None:
    url = older_database.url.render_as_string(hide_password=False)
    environment = {**os.environ, "DATABASE_URL": url, "DATA_DIR": str(tmp_path), "LOG_FILE": os.devnull}
    command = [sys.executable, str(ROOT / "create_tables.py")]
    migrating = [subprocess.Popen(command, env=environment, cwd=tmp_path) for _ in range(3)]
    assert [process.wait() for process in migrating] == [0, 0, 0]
    # The migration has closed the connections of others.
    older_database.engine.dispose()
    assert_migrated(older_database)


@pytest.mark.parametrize(
    "fails_at", [7, *(pytest.param(step, marks=pytest.mark.thorough) for step in (0, 19))]
)
def test_a_migration_that_failed_midway_goes_on(
    older_database: Database, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    made: list[str] = []
    create_index = live.create_index

    def failing(name: str, *arguments: Any, **options: Any) -> None:
        if len(made) == fails_at:
            raise RuntimeError("the power went")
        made.append(name)
        create_index(name, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(live, "create_index", failing)
        with pytest.raises(RuntimeError, match="power"):
            migrate(older_database)
    migrate(older_database)
    assert_migrated(older_database)


def test_a_step_whose_lock_is_taken_is_tried_again(
    older_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "BEGIN", live.BEGIN.replace(live.LOCK_TIMEOUT, "20ms"))
    paused = []
    with connected(older_database) as other:
        other.execute("SELECT * FROM tasks")

        def pause(seconds: float) -> None:
            paused.append(seconds)
            if len(paused) == 2:
                other.rollback()

        monkeypatch.setattr(time, "sleep", pause)
        migrate(older_database)
    assert len(paused) == 2
    assert_migrated(older_database)


def test_a_server_that_ends_long_statements_ends_no_migration(
    older_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with connected(older_database) as other:
        other.execute(
            f"ALTER DATABASE \"{older_database.url.database}\" SET statement_timeout = '500ms'".encode()
        )
    older_database.engine.dispose()
    create_index = live.create_index
    made: list[str] = []

    def slow(name: str, *arguments: Any, **options: Any) -> None:
        # Making an index of a large table takes as long.
        if not made:
            op.execute("SELECT pg_sleep(0.6)")
        made.append(name)
        create_index(name, *arguments, **options)

    monkeypatch.setattr(live, "create_index", slow)
    migrate(older_database)
    assert_migrated(older_database)


@pytest.mark.thorough
def test_a_project_that_is_deleted_meanwhile_does_no_harm(older_database: Database) -> None:
    migrate(older_database, "0026")
    with older_database.engine.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO projects (name, created_at, updated_at, version) VALUES ('Gone', now(), now(), 1),"
            " ('There', now(), now(), 1)"
        )
        # The tasks of both are made on one day.
        connection.exec_driver_sql("UPDATE tasks SET project_id = 1, state = 'pending'")
        connection.exec_driver_sql(
            "INSERT INTO tasks (user_id, title, title_folded, status, priority, project, tags, created_at,"
            " updated_at, version, project_id, state)"
            " VALUES (1, 'u', 'u', 'pending', 0, 'There', '[]', now(), now(), 1, 2, 'pending')"
        )
    deleting: list[threading.Timer] = []
    with connected(older_database) as other:

        def delete(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            if "INSERT INTO project_days" in statement and "FROM tasks" in statement and not deleting:
                other.execute("UPDATE tasks SET project_id = NULL, state = NULL WHERE project_id = 1")
                other.execute("DELETE FROM projects WHERE id = 1")
                deleting.append(threading.Timer(0.2, other.commit))
                deleting[0].start()

        engine = older_database._autocommit  # noqa: SLF001  # the engine of migrations
        event.listen(engine, "before_cursor_execute", delete)
        try:
            migrate(older_database)
        finally:
            event.remove(engine, "before_cursor_execute", delete)
        deleting[0].join()
    check_schema(older_database)
    with older_database.engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT project_id FROM project_days").scalars().all()
    assert found == [2]
