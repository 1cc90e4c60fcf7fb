"""A real PgBouncer in front of a Postgres, which gives each transaction any free connection."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url

from benchmarks.servers import free_port
from tests.support.waiting import SECONDS, wait_until

# There are fewer connections than threads, so a thread soon meets the traces of another in its connection.
CONNECTIONS = 3


def path_of_pgbouncer() -> str:
    """The path of PgBouncer; skips the test if it is not installed."""
    found = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip("pgbouncer is not installed")
    return found


@contextmanager
def pgbouncer(url: str) -> Iterator[str]:
    """Yields the URL of the same database through a pooler."""
    behind, port, found = make_url(url), free_port(), path_of_pgbouncer()
    home = Path(tempfile.mkdtemp(prefix="pgbouncer-"))
    (home / "users").write_text(f'"{behind.username}" "{behind.password or ""}"\n')
    (home / "ini").write_text(
        f"[databases]\n* = host={behind.host} port={behind.port}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n"
        f"auth_type = trust\nauth_file = {home}/users\npool_mode = transaction\n"
        f"default_pool_size = {CONNECTIONS}\nlogfile = {home}/log\n"
    )
    account = None
    if os.geteuid() == 0:
        # PgBouncer refuses to run as root.
        account = pwd.getpwnam("nobody").pw_uid
        for path in (home, *home.iterdir()):
            os.chown(path, account, -1)
    process = subprocess.Popen(
        [found, "-q", home / "ini"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, user=account
    )
    try:

        def listens() -> bool:
            assert process.poll() is None, (home / "log").read_text()
            with socket.socket() as attempt:
                return attempt.connect_ex(("127.0.0.1", port)) == 0

        wait_until(listens)
        yield behind.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait(SECONDS)
        shutil.rmtree(home)
