"""The parts that the drills share: servers in a folder of their own, and queries past them to the database."""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from benchmarks.servers import Postgres
from tests.support.server import ROOT, ServerProcess


class DrillFailed(AssertionError):
    """A condition of the drill does not hold."""


def must(holds: object, what: str) -> None:
    """Fail the drill unless the condition holds."""
    if not holds:
        raise DrillFailed(what)


def wait_until(holds: Callable[[], object], seconds: float, what: str) -> float:
    """Wait until the condition holds, and return the seconds that it took."""
    began = time.monotonic()
    while not holds():
        must(time.monotonic() - began < seconds, f"not within {seconds} s: {what}")
        time.sleep(0.05)
    return time.monotonic() - began


class Space:
    """A folder, a database in it, and the servers that use it."""

    def __init__(self, home: Path, kind: str, stack: ExitStack) -> None:
        self.home, self.kind = home, kind
        self.postgres: Postgres | None = None
        if kind == "postgres":
            self.postgres = Postgres(home)
            # The servers by name: a drill stops a server and starts another in the same folder.
            stack.callback(self._end_postgres)
            self.postgres.__enter__()
            self.url = self.postgres.create("drill")
        else:
            self.url = f"sqlite:///{home}/tasks.db"
        self._stack = stack

    def _end_postgres(self) -> None:
        if self.postgres is not None:
            self.postgres.__exit__()

    def prepare(self) -> None:
        """Bring the database to the newest schema."""
        server = ServerProcess(self.home, DATABASE_URL=self.url)
        subprocess.run(
            [sys.executable, str(ROOT / "create_tables.py")],
            cwd=self.home,
            env=dict(server.environment),
            check=True,
            capture_output=True,
        )

    def server(self, name: str = "a", **settings: str) -> ServerProcess:
        """A server that the drill can start; it ends with the drill."""
        home = self.home / name
        home.mkdir(exist_ok=True)
        server = ServerProcess(home, DATABASE_URL=self.url, LOG_LEVEL="INFO", **settings)
        self._stack.callback(server.__exit__)
        return server

    def ask(self, sql: str) -> Sequence[Any]:
        """The rows of a query, on a connection of its own."""
        engine = create_engine(self.url)
        try:
            with engine.connect() as connection:
                return connection.execute(text(sql)).all()
        finally:
            engine.dispose()

    def titles(self) -> dict[int, str]:
        """The titles of all tasks."""
        return {row.id: row.title for row in self.ask("SELECT id, title FROM tasks")}

    def count(self, sql: str) -> int:
        """The number that a query gives."""
        return int(self.ask(sql)[0][0])


@contextmanager
def space(kind: str) -> Iterator[Space]:
    """A new folder with a new database, all of it gone afterwards."""
    with (
        tempfile.TemporaryDirectory(prefix="drill-", dir="/var/tmp", ignore_cleanup_errors=True) as folder,
        ExitStack() as stack,
    ):
        Path(folder).chmod(0o711)
        made = Space(Path(folder), kind, stack)
        made.prepare()
        yield made
