"""Console and file logs, with one line for each entry, whatever the data holds.

Text lines are `time - name - level - message`. With `LOG_FORMAT=json` each line is an object that also has
the request's id. Several processes may write the same file, and rotate it when it is full. The lines of the
server and of libraries have the same form and the same level.
"""

import contextlib
import fcntl
import json
import logging
import os
import re
import stat
import sys
import threading
import time
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from datetime import UTC, datetime
from pathlib import Path

from config import settings
from request_context import request_id_var

logger = logging.getLogger("task_platform")

TEXT_FORMAT = "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
# Characters that end a line or control a terminal: C0, DEL, C1.
_ESCAPES = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}
_ESCAPES |= {0x0A: "\\n", 0x0D: "\\r", 0x09: "\\t"}
# Unicode's line separators and format characters, which hide text or reverse its direction.
_ESCAPES |= {
    code: f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
    for code in (*range(0xA0, 0x1E000), *range(0xE0000, 0xE0080))
    if unicodedata.category(chr(code)) in ("Cf", "Zl", "Zp")
}


def one_line(text: str) -> str:
    """The text with escapes for all characters that end or disguise a line, or that UTF-8 can't hold."""
    # All of those characters are unprintable, and few lines have any.
    if text.isprintable():
        return text
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace").decode()


def _letters(word: str) -> str:
    """A pattern for a word whose letters may be percent-encoded."""
    return "".join(f"(?:{each}|%{ord(each):02x}|%{ord(each.upper()):02x})" for each in word)


# Secrets in addresses: the signature of a picture, the token in a calendar's path, and what clients send by
# mistake: a token, a password or a key as a parameter. A token is known by its beginning, wherever it stands.
_SECRETS_THEMSELVES = ("signature", "token", "pass", "pwd", "secret", "key")
_KINDS_OF_TOKENS = ("jwt", "bearer", "credential", "authorization")
_SECRET_NAMES = "|".join(_letters(word) for word in (*_SECRETS_THEMSELVES, *_KINDS_OF_TOKENS))
_OF_NAME = r"[^=&;?#\s\"]"
_SECRETS = re.compile(
    # Looking for the `=` and for a first letter before trying the words halves the time.
    rf"((?:^|[?&;])(?={_OF_NAME}{{0,160}}=){_OF_NAME}{{0,60}}?"
    rf"(?=[stpkjbca%])(?:{_SECRET_NAMES}){_OF_NAME}{{0,60}}=)[^&\s\"#]+"
    rf"|((?:/|%2f){_letters('calendar')}(?:/|%2f)+)[^/?\s\"]+"
    r"|\b((?:tp|tr|tb)_|eyJ)[\w.-]{16,}"
    # The secret of a webhook is base64, in which `+`, `/` and `=` may be percent-encoded.
    r"|\b(whsec_)[\w.+/=%-]{16,}",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """A path, with or without query, whose secrets are cut out."""
    return _SECRETS.sub(lambda found: f"{found[found.lastindex or 0]}...", text)


class TextFormatter(logging.Formatter):
    """The text format, in one line even for a traceback."""

    def __init__(self) -> None:
        super().__init__(TEXT_FORMAT)
        self._second = (0, "")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: ARG002, N802
        """The time of an entry; the part that all entries of a second share is formatted once."""
        second = int(record.created)
        kept = self._second
        if kept[0] != second:
            kept = self._second = (second, time.strftime(self.default_time_format, time.localtime(second)))
        return f"{kept[1]},{int(record.msecs):03d}"

    def format(self, record: logging.LogRecord) -> str:
        if record.exc_info or record.stack_info:
            return one_line(super().format(record))
        # The same as TEXT_FORMAT, in half the time.
        message = record.getMessage()
        return one_line(f"{self.formatTime(record)} - {record.name} - {record.levelname} - {message}")


class JsonFormatter(logging.Formatter):
    """A JSON object for each line, for programs that collect logs."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "logger": record.name,
            "level": record.levelname,
            "message": record.getMessage(),
            "request_id": request_id_var.get(),
            "process": os.getpid(),
            # The fields of a line in the access log.
            **record.__dict__.get("fields", {}),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        # json escapes everything outside ASCII, including line ends and lone surrogates.
        return json.dumps(entry)


class _Block(threading.local):
    """The waiting lines of a thread's `in_one_write` block, by handler; None outside of a block."""

    waiting: "dict[LineHandler, list[str]] | None" = None


_block = _Block()


@contextmanager
def in_one_write() -> Iterator[None]:
    """Collect this thread's entries, and write them together at the end of the block, which is cheaper."""
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


def info_each(message: str, *arguments: tuple[object, ...]) -> None:
    """Write the message once for each of these arguments, like `logger.info`; the shared parts are found only once."""
    if not logger.isEnabledFor(logging.INFO):
        return
    record = logger.makeRecord(logger.name, logging.INFO, "", 0, message, (), None)
    ours = [handler for handler in _handlers() if isinstance(handler, LineHandler)]
    others = [handler for handler in _handlers() if not isinstance(handler, LineHandler | OthersHandler)]
    lines = []
    for each in arguments:
        record.args = each
        if ours:
            # The line is the same for all of these handlers, because they share the formatter.
            lines.append(ours[0].format(record) + "\n")
        for handler in others:
            handler.handle(copy(record))
    for handler in ours:
        handler.add("".join(lines))


def _handlers() -> Iterator[logging.Handler]:
    """The handlers of the program's entries."""
    place: logging.Logger | None = logger
    while place is not None:
        yield from place.handlers
        place = place.parent if place.propagate else None


class LineHandler(logging.Handler, ABC):
    """Writes each entry as a line.

    A log that can't be written must not stop the program. The error is printed once on standard error, and
    the next entry tries to write again.
    """

    def __init__(self, place: str) -> None:
        super().__init__()
        self._place = place
        self._failed = False

    def emit(self, record: logging.LogRecord) -> None:
        line: str | None = record.__dict__.get("line")
        if line is None:
            # The line is the same for all of these handlers, because they share the formatter.
            line = record.__dict__["line"] = self.format(record) + "\n"
        self.add(line)

    def add(self, lines: str) -> None:
        """Write whole lines, within `in_one_write` at its end."""
        if _block.waiting is None:
            self.write(lines)
        else:
            _block.waiting.setdefault(self, []).append(lines)

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
        """Write whole lines; raises OSError or ValueError on failure."""


class ConsoleHandler(LineHandler):
    """Writes to standard output."""

    def __init__(self) -> None:
        super().__init__("the console")
        self._stream = sys.stdout

    def _write(self, lines: str) -> None:
        self._stream.write(lines)
        self._stream.flush()


class AppendingHandler(LineHandler):
    """Appends to a file with one system call, so that the lines of several processes never mix.

    If the file was moved away, as logrotate does, it is opened again. If the file would grow beyond `largest`
    bytes, it becomes `app.log.1`, the former one `app.log.2`, and so on; `kept` of them are kept.
    """

    def __init__(self, path: Path, largest: int = 0, kept: int = 1) -> None:
        super().__init__(str(path))
        self._path, self._largest, self._kept = path, largest, kept
        self._descriptor: int | None = None

    def _open(self) -> tuple[int, os.stat_result]:
        if self._descriptor is not None:
            ours = os.fstat(self._descriptor)
            if self._is_there(ours):
                return self._descriptor, ours
            os.close(self._descriptor)
            self._descriptor = None
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        return self._descriptor, os.fstat(self._descriptor)

    def _is_there(self, ours: os.stat_result) -> bool:
        """Whether the open file is still the one at the path."""
        try:
            there = os.stat(self._path)
        except FileNotFoundError:
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def _write(self, lines: str) -> None:
        data = lines.encode("utf-8", "backslashreplace")
        descriptor, file = self._open()
        if self._is_full(file, len(data)):
            self._put_aside(descriptor, len(data))
            descriptor, _ = self._open()
        os.write(descriptor, data)

    def _is_full(self, file: os.stat_result, more: int) -> bool:
        size = file.st_size
        return 0 < self._largest < size + more and size > 0 and stat.S_ISREG(file.st_mode)

    def _put_aside(self, descriptor: int, more: int) -> None:
        """Rotate the full file, unless another process did so meanwhile. The lock is on the file itself."""
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            file = os.fstat(descriptor)
            if not (self._is_there(file) and self._is_full(file, more)):
                return
            for number in range(self._kept - 1, 0, -1):
                with contextlib.suppress(FileNotFoundError):
                    os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
            os.replace(self._path, f"{self._path}.1")
        except OSError as error:
            # One large file is better than no log.
            self._largest = 0
            sys.stderr.write(f"The log {self._path} can't be put aside, and keeps growing: {error}\n")
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        self.acquire()
        try:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None
        finally:
            self.release()
        super().close()


class NoSecrets(logging.Filter):
    """Removes secrets in addresses from uvicorn's own access log, if uvicorn writes it."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(redacted(each) if isinstance(each, str) else each for each in record.args)
        return True


_no_secrets = NoSecrets()


class OthersHandler(logging.Handler):
    """Passes on the lines of libraries, which have no handlers of their own."""

    def __init__(self, handlers: Sequence[logging.Handler]) -> None:
        super().__init__()
        self._handlers = handlers

    def emit(self, record: logging.LogRecord) -> None:
        # A line that its own logger wrote already is not written twice.
        if record.name.partition(".")[0] not in (logger.name, "uvicorn"):
            for handler in self._handlers:
                handler.handle(record)


def formatter() -> logging.Formatter:
    """The formatter of all lines, according to `LOG_FORMAT`."""
    return JsonFormatter() if settings.log_format == "json" else TextFormatter()


def server_console() -> logging.Handler:
    """The handler for the server's lines before the program is loaded, and for its supervisor."""
    handler = ConsoleHandler()
    handler.setFormatter(formatter())
    handler.setLevel(settings.log_level)
    return handler


def setup_logging() -> logging.Logger:
    """Send the log of the program, of the server and of libraries to the console and to `LOG_FILE`.

    Calling it again sets everything up again.
    """
    # No line names the place in the code, the thread or the name of the process, and finding them takes a third of
    # the time of an entry: see "Optimization" in Python's logging HOWTO.
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for handler in list(logger.handlers):
        if isinstance(handler, LineHandler):
            logger.removeHandler(handler)
            handler.close()
    largest = settings.log_file_mb * 1024 * 1024
    handlers = (ConsoleHandler(), AppendingHandler(settings.log_file, largest, settings.log_files))
    for each in handlers:
        each.setFormatter(formatter())
        logger.addHandler(each)
    logger.setLevel(settings.log_level)
    _take_over_the_servers(handlers)
    _take_over_the_others(handlers)
    return logger


def _take_over_the_servers(handlers: Sequence[logging.Handler]) -> None:
    """Write uvicorn's lines like all others, if uvicorn set up its logging, and keep a higher level."""
    logging.getLogger("uvicorn.access").addFilter(_no_secrets)
    server = logging.getLogger("uvicorn")
    if not server.handlers:
        return
    server.handlers[:] = handlers
    server.propagate = False
    for each in (server, logging.getLogger("uvicorn.error")):
        each.setLevel(max(each.level, logger.level))
    access = logging.getLogger("uvicorn.access")
    if access.handlers:
        # The middleware writes these lines, with the request's id and its duration (see web/access_log.py).
        access_lines.wanted = access.isEnabledFor(logging.INFO)
        access.handlers.clear()
        access.propagate = False


def _take_over_the_others(handlers: Sequence[logging.Handler]) -> None:
    root = logging.getLogger()
    if all(isinstance(each, OthersHandler) for each in root.handlers):
        root.handlers[:] = [OthersHandler(handlers)]
        root.setLevel(max(logging.WARNING, logger.level))
        logging.captureWarnings(capture=True)


class _AccessLines:
    """Whether requests are logged, because the server was started with an access log."""

    wanted = False


access_lines = _AccessLines()
