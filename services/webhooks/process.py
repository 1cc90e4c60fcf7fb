"""The process beside a server that delivers to webhooks, so that deliveries take no time from requests.

The server starts it as `manage.py deliver-webhooks --attached`. A pair of sockets connects the two: the child says
when it is ready, the server wakes it for new events, and each notices the end of the other, whatever ended it.
"""

import contextlib
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from logging_config import logger

_COMMAND = (
    sys.executable,
    str(Path(__file__).parents[2] / "manage.py"),
    "deliver-webhooks",
    "--attached",
)
# The least time between two starts, because a child that can't work would be started again and again.
RESTART_SECONDS = 30.0


class DeliveryProcess:
    """A child process, or none; `changed` is called when it is ready and when it has ended."""

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._child: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._watcher: threading.Thread | None = None
        self._started_at = -RESTART_SECONDS
        self._is_to_end = False
        # Whether the child delivers.
        self.is_ready = False

    def keep(self, *, wanted: bool) -> None:
        """Have a child exactly if it is wanted; returns before a new child is ready."""
        if not wanted:
            self.begin_to_stop()
        elif self._child is None and time.monotonic() - self._started_at >= RESTART_SECONDS:
            self._start()

    def _start(self) -> None:
        self._started_at, self._is_to_end = time.monotonic(), False
        self._line, theirs = socket.socketpair()
        try:
            with theirs:
                self._child = subprocess.Popen(_COMMAND, stdin=theirs.fileno())  # noqa: S603  # this program itself
        except OSError as error:
            logger.warning("The process that delivers to webhooks can't be started: %s", error)
            self._line.close()
            return
        self._watcher = threading.Thread(
            target=self._watch, args=(self._child, self._line), name="webhook-process", daemon=True
        )
        self._watcher.start()

    def _watch(self, child: "subprocess.Popen[bytes]", line: socket.socket) -> None:
        with line, contextlib.suppress(OSError):
            while line.recv(16):
                self.is_ready = not self._is_to_end
                self._changed()
        self.is_ready = False
        code = child.wait()
        self._child = None
        if not self._is_to_end:
            logger.warning(
                "The process that delivers to webhooks ended (%d): the server delivers until the next one starts",
                code,
            )
            self._changed()

    def wake(self) -> None:
        """Have the child look at once."""
        with contextlib.suppress(OSError):
            assert self._line is not None
            self._line.send(b"\n", socket.MSG_DONTWAIT)

    def begin_to_stop(self) -> None:
        """Tell the child to end. A signal handler may call this."""
        self._is_to_end, self.is_ready = True, False
        if self._child is not None and self._line is not None:
            with contextlib.suppress(OSError):
                self._line.shutdown(socket.SHUT_WR)

    def stop(self, patience: float) -> None:
        """End the child; the next process takes up its remaining deliveries."""
        self.begin_to_stop()
        child, watcher = self._child, self._watcher
        if child is None or watcher is None:
            return
        watcher.join(patience)
        if watcher.is_alive():
            child.kill()
            watcher.join(patience)
        self._started_at = -RESTART_SECONDS
