"""The schema: migrations alone make it, it equals the models, and it holds for programs that write past the API."""

import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import alembic.command
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from pydantic import SecretStr
from sqlalchemy import CheckConstraint, inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

import create_tables
from config import settings
from database import Base, Database, database
from migrations.schema import SchemaError, check_schema, migrate, newest_revision
from security.passwords import verify_password
from tests.support.api import Api
from tests.support.postgres import PostgresServer, create_database
from tests.support.waiting import SECONDS

# Indexes on expressions can't be compared, so their effects are tested instead.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection of expression-based index"),
    pytest.mark.filterwarnings("ignore:autogenerate skipping metadata-specified expression-based index"),
]
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(params=["sqlite", "postgres"])
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database with nothing in it."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/empty.db"
    else:
        server: PostgresServer = request.getfixturevalue("postgres")
        url = create_database(server.url, f"schema_{uuid.uuid4().hex}")
    made = Database(url)
    yield made
    made.close()


def layout(db: Database) -> Any:
    """Tables with their columns, constraints and indexes, by name."""
    with db.engine.connect() as connection:
        found = inspect(connection)
        kinds = (
            found.get_multi_columns(),
            found.get_multi_check_constraints(),
            found.get_multi_foreign_keys(),
            found.get_multi_indexes(),
        )
        return {
            table: [sorted(str(each["name"]) for each in kind[None, table]) for kind in kinds]
            for table in found.get_table_names()
        }


def test_models_and_migrations_say_the_same(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(empty_database)
    here = empty_database.engine.dialect.name
    for table in Base.metadata.tables.values():
        # Alembic does not know indexes that only one database has.
        indexes = {each for each in table.indexes if each._ddl_if is None or each._ddl_if.dialect == here}  # noqa: SLF001
        monkeypatch.setattr(table, "indexes", indexes)

    def is_ours(_object: Any, name: str | None, *_: Any) -> bool:
        # The database returns indexes over an expression in its own words.
        expressions = ("uq_users_", "ix_tasks_user_id_period_", "ix_tasks_user_id_duration")
        return not (name or "").startswith(("task_search", "ix_task_search", "project_days", *expressions))

    with empty_database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"compare_type": True, "include_object": is_ours, "target_metadata": Base.metadata},
        )
        assert compare_metadata(context, Base.metadata) == []
        found = inspect(connection)
        for table in Base.metadata.sorted_tables:
            named = {
                str(each.name)
                for each in table.constraints
                if isinstance(each, CheckConstraint)
                and (each._ddl_if is None or each._ddl_if.dialect == connection.dialect.name)  # noqa: SLF001
            }
            there = {str(each["name"]) for each in found.get_check_constraints(table.name)}
            assert named == there, table.name
            assert None not in {each.name for each in table.constraints}


def test_no_check_makes_a_table_of_values_for_each_row(api: Api) -> None:
    if not database.is_sqlite:
        pytest.skip("Postgres keeps the values of IN (...) in an array")
    made = text("SELECT name, sql FROM sqlite_master WHERE type = 'table' AND sql IS NOT NULL")
    tables = {row.name: row.sql for row in database.read(lambda db: db.execute(made).all())}
    assert "status = 'pending' OR" in tables["tasks"]
    # SQLite compares two values one by one.
    assert not [name for name, sql in tables.items() if re.search(r"\bIN \([^)]*,[^)]*,", sql)]


@pytest.mark.parametrize("name", ["tasks_inserted", "tasks_updated"])
def test_postgres_counts_after_all_other_work_of_a_change(api: Api, name: str) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    made = text("SELECT prosrc FROM pg_proc WHERE proname = :name")
    body: str = database.read(lambda db: db.execute(made, {"name": name}).scalar_one())
    # The counts are locked from there to the commit.
    written = re.findall(r"(?:INSERT INTO|DELETE FROM) (\w+)", body)
    assert written[-3:] == ["owner_counts", "project_counts", "system_counts"]
    assert {*written[:-3]} == {"task_tags"}


# All migrations run up and down. The usual run looks at the tables after each of the newest.
@pytest.mark.parametrize("newest", [2, pytest.param(1000, marks=pytest.mark.thorough)])
def test_up_down_and_up_again_with_rows(empty_database: Database, newest: int) -> None:
    db = empty_database
    script = ScriptDirectory(str(ROOT / "migrations"))
    revisions = [each.revision for each in reversed(list(script.walk_revisions()))]
    assert revisions == sorted(revisions)
    revisions = [revisions[0], *revisions[1:][-newest:]]
    migrate(db, revisions[0])
    with db.engine.begin() as connection:
        now = "0" if db.is_sqlite else "now()"
        connection.exec_driver_sql(
            "INSERT INTO users (username, email, email_folded, password_hash, is_active, role, created_at)"
            f" VALUES ('ada', 'a@b.cd', 'a@b.cd', 'x', true, 'admin', {now})"
        )
        for number in range(3):
            connection.exec_driver_sql(
                "INSERT INTO tasks (user_id, title, title_folded, status, priority, project, tags, created_at,"
                f" updated_at, version) VALUES (1, 't{number}', 't{number}', 'pending', 0, 'General',"
                f" '[\"a\"]', {now}, {now}, 1)"
            )

    def kept() -> Any:
        sql = (
            "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM tasks),"
            " (SELECT count(*) FROM task_tags), (SELECT sum(pending) FROM owner_counts)"
        )
        return tuple(db.read(lambda session: session.execute(text(sql)).one()))

    assert kept() == (1, 3, 3, 3)
    layouts = []
    for revision in revisions:
        migrate(db, revision)
        assert kept() == (1, 3, 3, 3), revision
        layouts.append(layout(db))
    for revision, wanted in zip(reversed(revisions[:-1]), reversed(layouts[:-1]), strict=True):
        migrate(db, revision)
        assert kept() == (1, 3, 3, 3), revision
        assert layout(db) == wanted, revision
    migrate(db)
    assert kept() == (1, 3, 3, 3)
    assert layout(db) == layouts[-1]
    migrate(db, "base")
    assert set(layout(db)) <= {"alembic_version"}


def test_tags_and_projects_of_earlier_versions_get_one_spelling(empty_database: Database) -> None:
    db = empty_database
    migrate(db, "0016")
    kept = [("General", ["a"]), ("Café", ["é", "b"]), ("\u0958" * 60, ["\u0958" * 26])]
    rows = [*kept, (" General\u00a0", ["a", " a", "a"]), ("Cafe\u0301", ["e\u0301", "é", "b\t", "b"])]
    with db.engine.begin() as connection:
        now = "0" if db.is_sqlite else "now()"
        connection.exec_driver_sql(
            "INSERT INTO users (username, email, email_folded, password_hash, is_active, role, created_at)"
            f" VALUES ('ada', 'a@b.cd', 'a@b.cd', 'x', true, 'admin', {now})"
        )
        for project, tags in rows:
            insert = text(
                "INSERT INTO tasks (user_id, title, title_folded, status, priority, project, tags, created_at,"
                f" updated_at, version) VALUES (1, 't', 't', 'pending', 0, :project, :tags, {now}, {now}, 7)"
            )
            connection.execute(insert, {"project": project, "tags": json.dumps(tags)})
    migrate(db)
    sql = "SELECT project, tags, version FROM tasks ORDER BY id"
    found = [tuple(row) for row in db.read(lambda session: session.execute(text(sql)).all())]
    if db.is_sqlite:
        found = [(project, json.loads(tags), version) for project, tags, version in found]
    assert found == [(*row, 7) for row in kept] + [("General", ["a"], 8), ("Café", ["é", "b"], 8)]
    counts = "SELECT project, sum(pending) FROM project_counts GROUP BY project HAVING sum(pending) > 0"
    counted = db.read(lambda session: session.execute(text(counts)).all())
    assert {(project, int(number)) for project, number in counted} == {
        ("General", 2),
        ("Café", 2),
        ("\u0958" * 60, 1),
    }
    tagged = "SELECT count(*) FROM task_tags"
    assert db.read(lambda session: session.execute(text(tagged)).scalar()) == 7


def test_a_failed_migration_changes_nothing(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = empty_database

    def fail_after(function: Callable[..., Any]) -> Callable[..., Any]:
        def failing(*arguments: Any, **options: Any) -> Any:
            function(*arguments, **options)
            raise RuntimeError("the power went")

        return failing

    with monkeypatch.context() as patch:
        patch.setattr(alembic.command, "upgrade", fail_after(alembic.command.upgrade))
        with pytest.raises(RuntimeError, match="power"):
            migrate(db)
    assert layout(db) == {}
    migrate(db)
    check_schema(db)


def test_an_outdated_a_newer_and_a_foreign_database_are_refused_in_one_line(empty_database: Database) -> None:
    db = empty_database
    if not db.is_sqlite:
        with pytest.raises(SchemaError, match="is empty: run"):
            check_schema(db)
    migrate(db, "0001")
    if newest_revision() != "0001":
        with pytest.raises(SchemaError, match=r"revision 0001.*run `python create_tables\.py`") as refused:
            check_schema(db)
        assert "\n" not in str(refused.value)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    for refuse in (check_schema, migrate):
        with pytest.raises(SchemaError, match="newer than this program: update the program") as refused:
            refuse(db)
        assert "\n" not in str(refused.value)
    with db.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE alembic_version")
    with pytest.raises(SchemaError, match="no migration"):
        migrate(db)


WRONG = [
    "UPDATE tasks SET status = 'done', completed_at = NULL",
    "UPDATE tasks SET status = 'completed'",
    "UPDATE tasks SET title = ''",
    "UPDATE tasks SET title = '   '",
    "UPDATE tasks SET title = NULL",
    "UPDATE tasks SET description = '{long}'",
    "UPDATE tasks SET title = '{title}'",
    "UPDATE tasks SET project = ''",
    "UPDATE tasks SET project = '{title}'",
    "UPDATE tasks SET priority = 5",
    "UPDATE tasks SET priority = -1",
    "UPDATE tasks SET user_id = 999",
    "UPDATE users SET role = 'boss'",
    "UPDATE users SET username = 'ab'",
    "UPDATE users SET username = 'a b c'",
    "UPDATE users SET username = 'ünï'",
    "UPDATE users SET username = 'ADA' WHERE username = 'bob'",
    "UPDATE users SET email = 'ADA@EXAMPLE.COM' WHERE username = 'bob'",
    "UPDATE users SET email_folded = 'ada@example.com' WHERE username = 'bob'",
    "DELETE FROM users WHERE username = 'ada'",
    "UPDATE task_history SET kind = 'made up'",
    "UPDATE tasks SET project_id = 999, state = 'pending'",
    "UPDATE tasks SET state = 'pending'",
    "UPDATE tasks SET blocked_at = created_at",
    "UPDATE tasks SET blocked_reason = 'waits'",
]


def test_constraints_hold_for_programs_that_write_past_the_api(api: Api) -> None:
    ada = api.person()
    api.person("bob")
    ada.task()
    for statement in WRONG:
        sql = text(statement.format(long="x" * 65_537, title="x" * 501))
        with pytest.raises(DBAPIError, match=r"(?i)constraint|too long|null value"):
            database.write(partial(Session.execute, statement=sql))
    assert ada.get("/tasks").json()[0]["status"] == "pending"


def test_an_email_that_differs_in_case_beyond_ascii_is_taken_on_both(api: Api) -> None:
    account = {"password": "correct horse battery"}
    for name, email, status in (
        ("first", "ÄDA@example.com", 200),
        ("second", "äda@EXAMPLE.com", 400),
        ("third", "İda@example.com", 200),
        ("fourth", "ida@example.com", 200),
        ("fifth", "i̇DA@example.com", 400),
        ("sixth", "straße@example.com", 200),
        ("seventh", "STRASSE@example.com", 400),
    ):
        answer = api.client.post("/auth/register", json={"username": name, "email": email, **account})
        assert answer.status_code == status, (email, answer.text)


# -- the command -----------------------------------------------------------------------------------


def command(folder: Path, url: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, str(ROOT / "create_tables.py")],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "DATABASE_URL": url,
            "BCRYPT_ROUNDS": "4",
            **environment,
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


# On Postgres the usual run looks at what this consists of: migrations that wait, and first admins made at once.
@pytest.mark.parametrize(
    "empty_database", ["sqlite", pytest.param("postgres", marks=pytest.mark.thorough)], indirect=True
)
def test_several_started_at_once_make_the_tables_and_one_admin(
    empty_database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = empty_database.url.render_as_string(hide_password=False)
    admin = {
        "FIRST_ADMIN_USERNAME": "root",
        "FIRST_ADMIN_EMAIL": "root@example.com",
        "FIRST_ADMIN_PASSWORD": "correct horse battery",
    }
    at_once = [command(tmp_path, url, **admin) for _ in range(2)]
    outputs = [process.communicate(timeout=SECONDS)[0] for process in at_once]
    assert [process.returncode for process in at_once] == [0, 0], outputs
    for output in outputs:
        assert output.splitlines()[-1] == "Tables created successfully!"
        assert "correct horse battery" not in output
    again = {**admin, "FIRST_ADMIN_PASSWORD": "another horse battery"}
    if empty_database.is_sqlite:
        # It is the same program, without the start of a third process.
        for name, value in again.items():
            secret = SecretStr(value) if name.endswith("PASSWORD") else value
            monkeypatch.setattr(settings, name.lower(), secret)
        monkeypatch.setattr(create_tables, "migrate", partial(migrate, empty_database))
        monkeypatch.setattr(
            create_tables, "create_first_admin", partial(create_tables.create_first_admin, empty_database)
        )
        assert create_tables.main() == 0
        output = capsys.readouterr().out
    else:
        output = command(tmp_path, url, **again).communicate(timeout=SECONDS)[0]
    assert output.splitlines()[-1] == "Tables created successfully!"
    sql = text("SELECT username, role, password_hash FROM users")
    rows = empty_database.read(lambda session: session.execute(sql).all())
    assert [(row.username, row.role) for row in rows] == [("root", "admin")]
    assert verify_password("correct horse battery", rows[0].password_hash)


def test_a_database_that_can_not_be_reached_is_said_in_a_line(tmp_path: Path) -> None:
    process = command(tmp_path, "postgresql://nobody@127.0.0.1:9/nothing")
    output = process.communicate(timeout=SECONDS)[0]
    assert process.returncode == 1
    assert len(output.strip().splitlines()) == 1
    assert "Traceback" not in output
