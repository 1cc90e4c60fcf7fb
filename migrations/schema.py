"""The revision of the database's schema, and the way to the newest one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import inspect, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from config import settings
from database import MIGRATIONS, Database, alembic_configuration, database
from errors import DatabaseReadOnly, DatabaseUnavailable
from logging_config import logger
from storage.faults import MISSING_RIGHT, NO_SCHEMA, is_damaged, reason_of, sqlstate, translated_error

# A function that gets the number of finished steps, the number of all steps, and the next step's name.
Report = Callable[..., None]


class SchemaError(Exception):
    """The database lacks the schema that this program needs; the message is one line that says what to do."""


@cache
def known_revisions() -> frozenset[str]:
    """All revisions that this program's migrations know, by the numbers in their file names."""
    files = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return frozenset(path.name.partition("_")[0] for path in files)


def newest_revision() -> str:
    """The revision that this program's code needs."""
    return max(known_revisions())


def problem_of(revision: str | None) -> str | None:
    """Tell in one line why this program can't use a database at this revision; None if it can."""
    if revision == newest_revision():
        return None
    if is_newer(revision):
        return f"is at revision {revision}, which is newer than this program: update the program"
    found = (
        "is empty"
        if revision is None
        else f"is at revision {revision}, and this program needs {newest_revision()}"
    )
    return f"{found}: run `python create_tables.py`"


def is_newer(revision: str | None) -> bool:
    """Whether a newer version of this program made this revision."""
    return revision is not None and revision not in known_revisions()


def revision_of(session: Session) -> str | None:
    """The revision of the database; None for an empty database."""
    if not inspect(session.connection()).has_table("alembic_version"):
        return None
    return session.execute(text("SELECT version_num FROM alembic_version")).scalar()


def encoding_problem(session: Session) -> str | None:
    """Tell in one line why a Postgres database can't hold every text; None if it can.

    A server that was set up without a locale makes databases that count bytes instead of characters.
    """
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        return None
    encoding = connection.execute(text("SELECT getdatabaseencoding()")).scalar_one()
    if encoding == "UTF8":
        return None
    made = "CREATE DATABASE ... ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
    return f"has the encoding {encoding}, in which many texts fail: use one that is made by {made}"


def migrate(db: Database = database, revision: str = "head", report: Report | None = None) -> None:
    """Bring the database to a revision, by default the newest; each step calls `report`.

    All or nothing, except on a Postgres database that is in use: there each step is kept, and a next run goes
    on from there (see `migrations/live.py`).
    """
    # Alembic is imported here, because it would take a tenth of the memory of a server that has nothing to
    # migrate.
    from alembic import command  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    configuration = alembic_configuration()
    script = ScriptDirectory.from_config(configuration)
    with explained(db), db.exclusive_connection() as connection:
        configuration.attributes["connection"] = connection
        at = revision_of(Session(connection))
        if is_newer(at):
            raise SchemaError(f"The database {problem_of(at)}")
        if at is None and inspect(connection).has_table("tasks"):
            raise SchemaError(
                "The database has tables that no migration of this program made: use an empty database."
            )
        below = (
            set()
            if revision in {"base", "head"}
            else {older.revision for older in script.iterate_revisions(revision, "base")}
        )
        if revision == "head" or at is None or at in below:
            if report is not None:
                configuration.attributes["on_version_apply"] = _reporting(script, revision, at, report)
            upgrade = partial(command.upgrade, configuration, revision)
            if at is None or db.is_sqlite:
                upgrade()
            else:
                _upgrade_beside_others(db, configuration, upgrade)
        else:
            command.downgrade(configuration, revision)


def _upgrade_beside_others(db: Database, configuration: Any, upgrade: Callable[[], None]) -> None:
    """Upgrade a Postgres database while others use it: each step is a transaction of its own, or several."""
    from migrations import live  # noqa: PLC0415  # it imports Alembic

    told = configuration.attributes.get("on_version_apply")
    with db.connection_beside() as connection:
        if settings.database_prepare:
            # Indexes are made outside of transactions. A pooler would keep this setting for others.
            connection.exec_driver_sql("SET statement_timeout = 0")

        def applied(**about: Any) -> None:
            connection.exec_driver_sql("COMMIT")
            connection.exec_driver_sql(live.BEGIN)
            if told is not None:
                told(**about)

        configuration.attributes.update(connection=connection, live=True, on_version_apply=applied)
        for attempt in range(live.MOST_ATTEMPTS):
            connection.exec_driver_sql(live.BEGIN)
            try:
                upgrade()
                connection.exec_driver_sql("COMMIT")
            except BaseException as error:
                if not connection.invalidated:
                    connection.exec_driver_sql("ROLLBACK")
                if not live.is_taken(error) or attempt + 1 == live.MOST_ATTEMPTS:
                    raise
                time.sleep(live.PAUSE_SECONDS)
            else:
                break
    # The migration closes connections whose statements it has spoiled, and this process has some too.
    db.engine.dispose()


def _reporting(script: Any, revision: str, at: str | None, report: Report) -> Callable[..., None]:
    """The function that Alembic calls after each step, to report the steps done and the next one."""
    steps = [step.revision for step in script.iterate_revisions(revision, at or "base")][::-1]
    report(0, len(steps), *steps[:1])

    def applied(step: Any, **_: Any) -> None:
        done = steps.index(step.up_revision_id) + 1
        report(done, len(steps), *steps[done : done + 1])

    return applied


def check_schema(db: Database = database) -> None:
    """Raise SchemaError unless the database is at the newest revision; an empty SQLite file is migrated."""
    with explained(db):
        at = db.read(revision_of)
        if at is None and db.is_sqlite:
            # An operator who expected the data of a volume should see that there was none.
            logger.info(
                "The database is empty, and gets its tables: %s", Path(db.url.database or "").absolute()
            )
            migrate(db)
        elif problem := problem_of(at):
            raise SchemaError(f"The database {problem}")
        # Servers without a locale make such databases, which serve programs that write ASCII alone.
        if problem := db.read(encoding_problem):
            logger.warning("The database %s", problem)


def check_writable(db: Database = database) -> None:
    """Raise SchemaError if the database can be read but not written."""
    with explained(db):
        db.write(db.look_whether_writable)
        if not db.is_sqlite and not db.read(lambda session: session.execute(_MAY_WRITE).scalar_one()):
            raise SchemaError(_missing_right(db, "permission denied for table tasks"))


_MAY_WRITE = text(
    "SELECT has_table_privilege('tasks', 'INSERT') AND has_table_privilege('tasks', 'UPDATE')"
    " AND has_table_privilege('tasks', 'DELETE')"
)


@contextmanager
def explained(db: Database) -> Iterator[None]:
    """Translate the database's refusals into a SchemaError, with one line that says what to do."""
    try:
        yield
    except (DBAPIError, DatabaseUnavailable) as error:
        reason = reason_of(error)
        if sqlstate(error) in (MISSING_RIGHT, NO_SCHEMA):
            raise SchemaError(_missing_right(db, reason)) from None
        fault = translated_error(error)
        place = f" ({Path(db.url.database or '').absolute()})" if db.is_sqlite else ""
        if isinstance(fault, DatabaseReadOnly):
            about = (
                f"the file or its folder is read-only for this account: {reason}" if db.is_sqlite else reason
            )
            raise SchemaError(f"The database{place} can't be written to: {about}") from None
        if isinstance(fault, DatabaseUnavailable):
            raise SchemaError(f"The database can't be reached{place}: {reason}") from None
        if is_damaged(error):
            raise SchemaError(f"The database{place} is damaged: {reason}. Restore a backup") from None
        raise


def _missing_right(db: Database, reason: str) -> str:
    """The refusal of Postgres, and the statement that grants the missing right."""
    user, name = db.url.username or "CURRENT_USER", db.url.database or "postgres"
    if "schema" in reason:
        schema = reason.rpartition("for schema ")[2] or "public"
        schema = "public" if " " in schema else schema
        grant = f'GRANT USAGE, CREATE ON SCHEMA {schema} TO "{user}"'
    elif "extension" in reason:
        grant = f'GRANT CREATE ON DATABASE "{name}" TO "{user}"'
    else:
        grant = (
            f'GRANT ALL ON ALL TABLES IN SCHEMA public TO "{user}"; '
            f'GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO "{user}"'
        )
    return f"The database refuses it: {reason}. Let its owner run: {grant};"
