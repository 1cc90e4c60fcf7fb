"""Console and file logs: one line an entry, whatever the data holds.

Text lines are `time - name - level - message`; with `LOG_FORMAT=json` each line is an object that
has the request's id too. Several processes may write the same file.
"""

import contextlib
import json
import logging
import os
import re
import sys
import threading
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from config import settings
from request_context import request_id_var

logger = logging.getLogger("task_platform")

PROBES = ("/health", "/ready", "/metrics")
TEXT_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
# All that ends a line or steers a terminal: C0, DEL, C1.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
# Unicode's line separators and format characters: these hide text, or turn its direction around.
_ESCAPES |= {
    code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    for code in (*range(0xA0, 0x1E000), *range(0xE0000, 0xE0080))
    if unicodedata.category(chr(code)) in ("Cf", "Zl", "Zp")
}


def one_line(text: str) -> str:
    """The text with everything escaped that could end the line, disguise it, or can't be written as UTF-8."""
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def _letters(word: str) -> str:
    """A pattern for a word of which any letter may be percent-encoded."""
    return "".join(f"(?:{each}|%{ord(each):02x}|%{ord(each.upper()):02x})" for each in word)


# What lets in whoever has the address: the signature of a picture, the token in a calendar's path.
_SECRETS = re.compile(
    rf"((?:^|[?&]){_letters('signature')}=)[^&\s\"#]+|((?:/|%2f){_letters('calendar')}(?:/|%2f)+)[^/?\s\"]+",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """A path, with its query or without, that lets nobody in who reads it."""
    return _SECRETS.sub(lambda found: (found[1] or found[2]) + "...", text)


class TextFormatter(logging.Formatter):
    """The text format, kept to one line also for a traceback."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        return one_line(super().format(record))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
            "request_id": request_id_var.get(),
            "process": record.process,
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # json escapes what is not ASCII, line ends and lone surrogates included.
        return json.dumps(entry)


class _Block(threading.local):
    """What the entries of a thread's `together` block have come to, for each handler; None outside of one."""

    waiting: "dict[LineHandler, list[str]] | None" = None


_block = _Block()


@contextmanager
def together() -> Iterator[None]:
    """Write this thread's entries at the end of the block, with one call for all: for a loop that says much."""
    if _block.waiting is not None:
        yield
        return
    waiting: dict[LineHandler, list[str]] = {}
    _block.waiting = waiting
    try:
        yield
    finally:
        _block.waiting = None
        for handler, lines in waiting.items():
            handler.write("".join(lines))


class LineHandler(logging.Handler, ABC):
    """Writes each entry as a line.

    A log that can't be written must not stop the program: it is said once on standard error, with the place,
    and the next entry tries again.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        line: str | None = record.__dict__.get("line")
        if line is None:
            # For all of these handlers, which have the same formatter.
            line = record.__dict__["line"] = self.format(record) + "\n"
        if _block.waiting is None:
            self.write(line)
        else:
            _block.waiting.setdefault(self, []).append(line)

    def write(self, lines: str) -> None:
        """Write whole lines."""
        self.acquire()
        try:
            self._write(lines)
            self._failed = False
        except (OSError, ValueError) as error:
            if not self._failed:
                self._failed = True
                with contextlib.suppress(OSError, ValueError):
                    sys.stderr.write(f"The log can't be written to {self._place}: {error}\n")
        finally:
            self.release()

    @abstractmethod
    def _write(self, lines: str) -> None:
        """Write whole lines; raises OSError or ValueError where they can't be written."""


class ConsoleHandler(LineHandler):
    """Writes to standard output."""

    def __init__(self) -> None:
        super().__init__("the console")
        self._stream = sys.stdout

    def _write(self, lines: str) -> None:
        self._stream.write(lines)
        self._stream.flush()


class AppendingHandler(LineHandler):
    """Appends to a file with one system call, so that processes never mix their lines.

    The file is opened again when it was moved away, as logrotate does.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(str(path))
        self._path = path
        self._descriptor: int | None = None

    def _open(self) -> int:
        if self._descriptor is not None:
            try:
                there, ours = os.stat(self._path), os.fstat(self._descriptor)
                if (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino):
                    return self._descriptor
            except FileNotFoundError:
                pass
            os.close(self._descriptor)
            self._descriptor = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._descriptor

    def _write(self, lines: str) -> None:
        os.write(self._open(), lines.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        self.acquire()
        try:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
        finally:
            self.release()
        super().close()


class NoProbes(logging.Filter):
    """Keeps out of the server's access log what only asks how the program is."""

    def filter(self, record: logging.LogRecord) -> bool:
        # The client, the method, the path with its query, the version of HTTP, and the status.
        path = record.args[2] if isinstance(record.args, tuple) and len(record.args) > 2 else ""
        return str(path).partition("?")[0].rstrip("/") not in PROBES


class NoSignatures(logging.Filter):
    """Keeps out of the server's log the secret of an address, with which anybody could use it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redacted(each) if isinstance(each, str) else each for each in record.args)
        return True


_no_probes = NoProbes()
_no_signatures = NoSignatures()


def setup_logging() -> logging.Logger:
    """Send the logger `task_platform` to the console and to `LOG_FILE`; calling it again starts anew."""
    formatter = JsonFormatter() if settings.log_format == "json" else TextFormatter()
    for handler in list(logger.handlers):
        if isinstance(handler, LineHandler):
            logger.removeHandler(handler)
            handler.close()
    for handler in (ConsoleHandler(), AppendingHandler(settings.log_file)):
        handler.setFormatter(formatter)
        logger.addHandler(handler)
    logger.setLevel(settings.log_level)
    for each in (_no_probes, _no_signatures):
        logging.getLogger("uvicorn.access").addFilter(each)
    return logger
