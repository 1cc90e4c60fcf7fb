"""Check settings, database, schema, mail and cache, each with its verdict; the exit code is 0 or 1."""

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import aiosmtplib
from sqlalchemy import text

from config import ConfigurationError, settings, settings_warnings
from database import database
from errors import AppError
from migrations.schema import SchemaError, encoding_problem, explained, problem_of, revision_of
from services import email_service
from services.background_tasks.analytics_tasks import ask_redis


class Ailing(Exception):
    """A failed check, with its problem in one line."""


FAULTS = (
    Ailing,
    AppError,
    SchemaError,
    ConfigurationError,
    aiosmtplib.SMTPException,
    OSError,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no arguments."""


def run(_arguments: argparse.Namespace) -> int:
    """Run all checks, also after a failed one."""
    ailing = False
    for name, check in CHECKS.items():
        try:
            verdict = f"ok      {name}: {check()}"
        except FAULTS as error:
            ailing = True
            verdict = f"FAILED  {name}: {' '.join(str(error).split()) or type(error).__name__}"
        print(verdict)
    for warning in settings_warnings():
        print(f"warning settings: {warning}")
    return 1 if ailing else 0


def _settings() -> str:
    """Check the key and the log; the settings themselves were read at the start of this program."""
    settings.signing_key()
    try:
        _try_the_log(settings.log_file.absolute())
    except OSError as error:
        raise Ailing(f"LOG_FILE: the log can't be written: {error}") from None
    return f"ENVIRONMENT={settings.environment}, the key is there, the log can be written"


def _try_the_log(path: Path) -> None:
    """Raise OSError unless the log can be written. No file is made that would belong to the account of now."""
    if path.exists():
        with path.open("a"):
            return
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent):
        pass


def _database() -> str:
    version = "SELECT sqlite_version()" if database.is_sqlite else "SHOW server_version"
    with explained(database):
        found = database.read(lambda db: db.execute(text(version)).scalar_one())
        problem = database.read(encoding_problem)
    if problem:
        raise Ailing(f"the database {problem}")
    if not database.is_sqlite:
        return f"Postgres {found}"
    file = database.url.database
    assert file is not None
    if not os.access(file, os.W_OK):
        raise Ailing(f"{file} can't be written")
    if database.is_nearly_full():
        raise Ailing(f"the disk of {file} is full")
    return f"SQLite {found}, {file}"


def _schema() -> str:
    with explained(database):
        found = database.read(revision_of)
    if problem := problem_of(found):
        raise Ailing(f"the database {problem}")
    return f"{found}, the newest"


def _mail() -> str:
    if not settings.smtp_server:
        return "SMTP_SERVER is not set: mails are only logged"

    async def greet() -> None:
        async with email_service.mail_server():
            pass

    asyncio.run(greet())
    return (
        f"{settings.smtp_server}:{settings.smtp_port} answers"
        + (" and accepts the login" if settings.smtp_username else "")
        + f"; links in mails begin with {settings.public_url}"
    )


def _cache() -> str:
    if settings.redis_url:
        ask_redis(settings.redis_url, lambda client: client.ping())
        return "Redis answers"
    # The first entry makes the folder.
    settings.cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=settings.cache_dir):
        pass
    return f"{settings.cache_dir.absolute()} can be written"


CHECKS: dict[str, Callable[[], str]] = {
    "settings": _settings,
    "database": _database,
    "schema": _schema,
    "mail": _mail,
    "cache": _cache,
}
