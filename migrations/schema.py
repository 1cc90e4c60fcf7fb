"""The schema that the database is at, and how it comes to the newest one."""

from functools import cache
from pathlib import Path

from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from database import Database, database

FOLDER = Path(__file__).resolve().parent


class SchemaError(Exception):
    """The database is not at the schema this program needs; the message is one line that says what to run."""


@cache
def known_revisions() -> frozenset[str]:
    """All revisions that this program's migrations lead through: they are numbered by their file's name."""
    files = (FOLDER / "versions").glob("[0-9]*.py")
    return frozenset(path.name.partition("_")[0] for path in files)


def newest_revision() -> str:
    """The revision that this program's code needs."""
    return max(known_revisions())


def revision_of(session: Session) -> str | None:
    """The revision the database is at; none for an empty one."""
    if not inspect(session.connection()).has_table("alembic_version"):
        return None
    return session.execute(text("SELECT version_num FROM alembic_version")).scalar()


def migrate(db: Database = database, revision: str = "head") -> None:
    """Bring the database to a revision, by default the newest, all or nothing."""
    # A server that has nothing to migrate never loads Alembic, which would take a tenth of its memory.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    configuration = Config()
    configuration.set_main_option("script_location", str(FOLDER).replace("%", "%%"))
    script = ScriptDirectory.from_config(configuration)
    with db.exclusive_connection() as connection:
        configuration.attributes["connection"] = connection
        at = revision_of(Session(connection))
        if at is not None and at not in known_revisions():
            raise SchemaError(
                f"The database is at revision {at}, which is newer than this program: update the program."
            )
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
            command.upgrade(configuration, revision)
        else:
            command.downgrade(configuration, revision)


def check_schema(db: Database = database) -> None:
    """Raise SchemaError unless the database is at the newest revision; an empty SQLite file is brought there."""
    at, newest = db.read(revision_of), newest_revision()
    if at is None and db.is_sqlite:
        migrate(db)
    elif at != newest:
        found = "is empty" if at is None else f"is at revision {at}, and this program needs {newest}"
        raise SchemaError(f"The database {found}: run `python create_tables.py`")
