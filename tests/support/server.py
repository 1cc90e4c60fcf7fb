"""The program as a real process: started by uvicorn's command, stopped by signals, killed."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from benchmarks.servers import free_port
from tests.support.waiting import SECONDS, wait_until

ROOT = Path(__file__).resolve().parents[2]


class ServerProcess:
    """One server in a folder of its own, where its log, its cache and its SQLite database are."""

    def __init__(self, home: Path, **settings: str) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "SECRET_KEY": "a-key-for-the-tests-that-is-long-enough",
            "BCRYPT_ROUNDS": "4",
            **settings,
        }
        self.prefix: list[str] = []
        self._output = home / f"output-{self.port}"
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, *options: str) -> "subprocess.Popen[bytes]":
        """Start the server without waiting for it."""
        command = [
            *self.prefix,
            sys.executable,
            "-m",
            "uvicorn",
            "main:app",
            "--port",
            str(self.port),
            *options,
        ]
        with self._output.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=self.home, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        return self.process

    def start(self, *options: str) -> Self:
        """Start the server and wait until it answers."""
        self.run(*options)
        return self.wait()

    def wait(self) -> Self:
        """Wait until the server answers."""
        process = self.process
        assert process is not None

        def listens() -> bool:
            # The server listens only after its startup.
            assert process.poll() is None, f"the server did not start:\n{self.output()}"
            with socket.socket() as attempt:
                return attempt.connect_ex(("127.0.0.1", self.port)) == 0

        try:
            wait_until(listens)
        except AssertionError:
            # A server that starts too late would go on after the test.
            process.kill()
            process.wait()
            raise
        return self

    def output(self) -> str:
        """The text that the server wrote to its console."""
        return self._output.read_text(errors="replace")

    def log(self) -> str:
        """The text that the server wrote to its log."""
        path = self.home / "app.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def end(self, how: signal.Signals = signal.SIGTERM, seconds: float = SECONDS) -> int:
        """Send the server a signal, wait for its end, and return its exit code, which is negative for a signal."""
        assert self.process is not None
        self.process.send_signal(how)
        return self.process.wait(seconds)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
