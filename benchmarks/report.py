"""Tables, the machine's description, and the one file that results are written to."""

import math
import os
import platform
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

RESULTS = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "sqlalchemy", "pydantic", "psycopg")


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 2) -> str:
    """A Markdown table that reads as plain text too; figures, behind the `left` first, right."""
    cells = [list(head), *[list(row) for row in rows]]
    width = [max(len(row[at]) for row in cells) for at in range(len(head))]

    def line(row: Sequence[str]) -> str:
        padded = [
            text.ljust(width[at]) if at < left else text.rjust(width[at]) for at, text in enumerate(row)
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * width[at] if at < left else "-" * (width[at] - 1) + ":" for at in range(len(head))]
    return "\n".join([line(cells[0]), line(rule), *[line(row) for row in cells[1:]]])


def number(value: float, digits: int = 0) -> str:
    """A figure for a table, or a dash if it is missing."""
    return "-" if math.isnan(value) else f"{value:,.{digits}f}"


def kinds(failures: dict[str, int]) -> str:
    """The kinds of failures and their numbers, most frequent first; 0 if there was no failure."""
    if not failures:
        return "0"
    ordered = sorted(failures.items(), key=lambda item: -item[1])
    return ", ".join(f"{count:,} x {kind}" for kind, count in ordered)


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.processor() or platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _fsync_ms(directory: Path) -> float:
    """The milliseconds of one durable write here, which bound every figure about commits."""
    times = []
    with tempfile.TemporaryFile(dir=directory) as file:
        for _ in range(30):
            file.write(b"x" * 4096)
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            times.append(time.perf_counter() - start)
    return median(times) * 1000


def _commit() -> str:
    """The state of the program that was measured, as far as git can tell it."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, cwd=RESULTS.parent, capture_output=True, text=True, check=False)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"


def machine(directory: Path) -> str:
    """One paragraph on what the figures were measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores, {_processor()}; {platform.system()} {platform.release()}; "
        f"a 4 KB write and fsync {_fsync_ms(directory):.2f} ms; load average at the start "
        f"{os.getloadavg()[0]:.1f}. Python {platform.python_version()}, {packages}. "
        f"The program at commit {_commit()}."
    )


@dataclass
class Report:
    """The output of a command, which is printed and, if asked for, kept in a file."""

    module: str
    title: str
    directory: Path
    parts: list[str] = field(default_factory=list)
    # The name of the section, if the command has several, such as one for each database.
    section: str = ""

    def __post_init__(self) -> None:
        self._started = datetime.now(UTC)
        self._machine = machine(self.directory)

    def say(self, text: str) -> None:
        """Add to the results and print at once."""
        self.parts.append(text)
        print(f"\n{text}", flush=True)

    def write(self) -> None:
        """Put this command's section in the place of its older one; the others stay."""
        # A folder of this machine means nothing to a reader.
        words = [Path(word).name if word.startswith("/") else word for word in sys.argv[1:]]
        command = shlex.join(["python", "-m", self.module, *words])
        section = "\n\n".join(
            [
                f"## {self.title}",
                f"{self._started:%Y-%m-%d %H:%M} UTC: `{command}`",
                self._machine,
                *self.parts,
            ]
        )
        name = f"{self.module} {self.section}".strip()
        start, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        old = RESULTS.read_text() if RESULTS.exists() else "# Results\n\nWritten by the commands.\n"
        before, found, rest = old.partition(start)
        after = rest.partition(end)[2] if found else ""
        block = f"{start}\n\n{section}\n\n{end}\n"
        text = before.rstrip() + "\n\n" + block + "\n" + after.lstrip("\n")
        RESULTS.write_text(text.rstrip() + "\n")
        print(f"\nwritten to {RESULTS.name}")


def progress(text: str) -> None:
    """Print one line about the current step, apart from the results."""
    print(f"  {text}", file=sys.stderr, flush=True)
