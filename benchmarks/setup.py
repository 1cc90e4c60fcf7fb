"""The common beginning of every command: its options, its folder, its databases and its servers."""

import argparse
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.people import PASSWORD
from benchmarks.report import Report
from benchmarks.servers import ROOT, NotStartedError, Postgres, Server, run_script

ADMIN = {
    "FIRST_ADMIN_USERNAME": "benchadmin",
    "FIRST_ADMIN_EMAIL": "benchadmin@example.com",
    "FIRST_ADMIN_PASSWORD": PASSWORD,
}


def options(about: str, module: str) -> argparse.ArgumentParser:
    """The options that all commands have."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--write", action="store_true", help="keep the results in RESULTS.md")
    parser.add_argument(
        "--env",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting for the program, on top of those it is started with",
    )
    parser.add_argument(
        "--root", type=Path, default=ROOT, help="the checkout of the program, if it is not this one"
    )
    parser.add_argument(
        "--dir", type=Path, default=None, help="where the temporary folder is made (a real disk)"
    )
    return parser


def with_database(parser: argparse.ArgumentParser, default: str = "both") -> None:
    """Add the option that chooses the databases."""
    parser.add_argument("--database", choices=("sqlite", "postgres", "both"), default=default)


def databases(arguments: argparse.Namespace) -> list[str]:
    """The databases that were asked for."""
    return ["sqlite", "postgres"] if arguments.database == "both" else [arguments.database]


@dataclass
class Place:
    """The folder and the servers of one command; all servers end with the `with` block."""

    directory: Path
    root: Path
    extra: dict[str, str]
    stack: ExitStack
    cores: set[int] | None = None
    _postgres: Postgres | None = field(default=None, init=False)

    def url(self, database: str, name: str) -> str:
        """The URL of a database of that name; a kept folder may have it already."""
        if database == "sqlite":
            return f"sqlite:///{self.directory / name}.db"
        return self.postgres().create(name)

    def postgres(self) -> Postgres:
        """The Postgres server, started the first time it is asked for."""
        if self._postgres is None:
            self._postgres = self.stack.enter_context(Postgres(self.directory, self.cores))
        return self._postgres

    def settings(self, name: str, url: str, **more: str) -> dict[str, str]:
        """The program's settings for one server: its own folders, cheap accounts, a shared key."""
        folder = self.directory / f"{name}-data"
        folder.mkdir(exist_ok=True)
        return {
            "DATABASE_URL": url,
            "DATA_DIR": str(folder),
            "CACHE_DIR": str(folder),
            "LOG_FILE": str(folder / "app.log"),
            "BCRYPT_ROUNDS": "4",
            "ACCESS_TOKEN_EXPIRE_MINUTES": "600",
            **more,
            **self.extra,
        }

    def ours(self, name: str, url: str, app: str = "main:app", **more: str) -> Server:
        """The program as it ships, or `app`, which is made of it; on a migrated database with its first admin."""
        if not (self.root / "main.py").exists():
            raise NotStartedError("there is no main.py here: --root says where the program is")
        settings = self.settings(name, url, **more)
        run_script(self.root / "create_tables.py", self.directory, settings | ADMIN)
        server = Server(
            name,
            app,
            self.directory,
            settings=settings,
            chosen=self.cores,
            root=self.root,
        )
        return self.stack.enter_context(server)

    def peer(self, name: str, module: str, url: str, **more: str) -> Server:
        """An application to compare with the program."""
        settings = {"DATABASE_URL": url, "BCRYPT_ROUNDS": "4", **more}
        server = Server(
            name,
            f"benchmarks.{module}:app",
            self.directory,
            settings=settings,
            chosen=self.cores,
        )
        return self.stack.enter_context(server)


@contextmanager
def place(
    arguments: argparse.Namespace, cores: set[int] | None = None, keep: Path | None = None
) -> Iterator[Place]:
    """A folder for one run, removed after the servers have ended unless it is to be kept."""
    extra = dict(pair.split("=", 1) for pair in arguments.env)
    if keep is None:
        folder = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.dir))
    else:
        folder = keep.resolve()
        folder.mkdir(parents=True, exist_ok=True)
    # A terminated benchmark must end its servers too: without this no `with` block is left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with ExitStack() as stack:
            yield Place(folder, arguments.root.resolve(), extra, stack, cores)
    finally:
        if keep is None:
            shutil.rmtree(folder, ignore_errors=True)


def finish(report: Report, arguments: argparse.Namespace, *, failed: bool) -> int:
    """Write the results if asked for; the exit status is 1 if a measured program gave a wrong answer."""
    if arguments.write:
        report.write()
    if failed:
        print("\nnot every request was answered as it should be")
    return int(failed)
