"""A real nginx, on a port and in a folder of its own."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.waiting import SECONDS, wait_until


@contextmanager
def nginx(folder: Path, port: int, http: str) -> Iterator[str]:
    """An nginx with these directives in its `http` block; yields its address."""
    paths = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; events {{}}\nhttp {{ {paths}\n{http}\n}}"
    )
    process = subprocess.Popen(["nginx", "-c", folder / "nginx.conf"])

    def listens() -> bool:
        assert process.poll() is None, "nginx did not start: its output has the reason"
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) == 0

    try:
        wait_until(listens)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(SECONDS)
