"""Databases of other languages, which have other rules for letters."""

import re
from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from database import Database
from errors import BadRequest
from migrations.schema import SchemaError, check_schema, migrate
from models import Caller
from services.accounts import account, login, user
from tests.support.postgres import PostgresServer, drop_database, with_database

pytestmark = pytest.mark.one_database


@pytest.fixture
def turkish(postgres: PostgresServer) -> Iterator[Database]:
    """A database in which the small letter of `I` is a dotless i, at the version before usernames heeded that."""
    made = sql.SQL("CREATE DATABASE turkish TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'tr'")
    try:
        with psycopg.connect(postgres.url, autocommit=True) as connection:
            connection.execute(made)
    except (psycopg.errors.FeatureNotSupported, psycopg.errors.SyntaxError):
        pytest.skip("this Postgres knows no languages: it lacks ICU, or is older than version 15")
    database = Database(with_database(postgres.url, "turkish"))
    migrate(database, "0030")
    yield database
    database.close()
    drop_database(postgres.url, "turkish")


def test_a_username_is_the_same_in_any_letter_case(turkish: Database) -> None:
    ivan = turkish.write(lambda db: user.create_user(db, "IVAN", "ivan@example.com", "hash"))
    migrate(turkish)
    for name in ("IVAN", "ivan", "Ivan"):
        assert turkish.read(lambda db, name=name: user.look_up(db, name)).id == ivan.id  # type: ignore[misc]
        assert turkish.write(lambda db, name=name: login.begin(db, name)).user_id == ivan.id  # type: ignore[misc]
    with pytest.raises(BadRequest, match="Username already registered"):
        turkish.write(lambda db: user.create_user(db, "ivan", "other@example.com", "hash"))
    other = turkish.write(lambda db: user.create_user(db, "other", "other@example.com", "hash"))
    caller = Caller(*other)
    with pytest.raises(BadRequest, match="Username already registered"):
        turkish.write(lambda db: account.rename(db, caller, "ivan"))


def test_usernames_that_have_become_the_same_are_named_by_the_migration(turkish: Database) -> None:
    for name in ("IVAN", "other"):
        turkish.write(lambda db, name=name: user.create_user(db, name, f"{name}@example.com", "hash"))  # type: ignore[misc]
    with turkish.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET username = 'ivan' WHERE username = 'other'")
    with pytest.raises(SchemaError, match=r"IVAN \(id 1\) and ivan \(id 2\)"):
        migrate(turkish)
    with turkish.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE users SET username = 'other' WHERE id = 2")
    migrate(turkish)
    check_schema(turkish)


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_that_can_not_hold_every_text_is_warned_of(
    postgres: PostgresServer, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    made = f"CREATE DATABASE few ENCODING '{encoding}' LOCALE 'C' TEMPLATE template0"
    with psycopg.connect(postgres.url, autocommit=True) as connection:
        connection.execute(made)
    few = Database(with_database(postgres.url, "few"))
    try:
        migrate(few)
        check_schema(few)
        assert re.search(f"encoding {encoding}.* ENCODING 'UTF8'", caplog.text)
    finally:
        few.close()
        drop_database(postgres.url, "few")
