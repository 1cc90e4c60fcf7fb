"""Progress of an operator's long job: a bar on a terminal, elsewhere a line every ten seconds."""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

EVERY_SECONDS = 10.0
BAR_EVERY_SECONDS = 1.0


class Report(Protocol):
    """A function that a job calls to report the work done, the total, and the current step."""

    def __call__(self, done: int, total: int, doing: str = "") -> None: ...


def unreported(done: int, total: int, doing: str = "") -> None:  # by name, as a Report is called
    """Report nothing, because no one watches the job."""


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def progress(label: str, unit: str, say: Callable[[str], None] = _say) -> AbstractContextManager[Report]:
    """Show the progress of a job while it lasts. A short job shows nothing."""
    # A bar needs a width, which some terminals do not have.
    is_shown = sys.stderr.isatty() and os.get_terminal_size(sys.stderr.fileno()).columns > 0
    return _bar(label, unit) if is_shown else _lines(label, unit, say)


@contextmanager
def _lines(label: str, unit: str, say: Callable[[str], None]) -> Iterator[Report]:
    begun, state = time.monotonic(), (0, 0, "")

    def report(done: int, total: int, doing: str = "") -> None:
        nonlocal state
        state = (done, total, doing)

    def tell() -> None:
        done, total, doing = state
        at = f", at {doing}" if doing else ""
        elapsed = time.monotonic() - begun
        say(f"{label}: {done:,} of {total:,} {unit} done, {total - done:,} left{at}; {elapsed:.0f} s so far")

    with _every(EVERY_SECONDS, tell):
        yield report


@contextmanager
def _bar(label: str, unit: str) -> Iterator[Report]:
    # Imported here, because tqdm is needed only if a bar is shown.
    from tqdm import tqdm  # noqa: PLC0415

    with tqdm(desc=label, unit=f" {unit}", total=0, file=sys.stderr, delay=BAR_EVERY_SECONDS) as bar:

        def report(done: int, total: int, doing: str = "") -> None:
            bar.total = total
            bar.n = done
            bar.set_postfix_str(doing, refresh=False)

        # The clock in the bar goes on while a single step takes long.
        with _every(BAR_EVERY_SECONDS, bar.refresh):
            yield report


@contextmanager
def _every(seconds: float, call: Callable[[], object]) -> Iterator[None]:
    """Call a function repeatedly in a thread, until the block ends."""
    ended = threading.Event()

    def go_on() -> None:
        while not ended.wait(seconds):
            call()

    thread = threading.Thread(target=go_on, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
