"""Machines whose clock on the wall does not show UTC."""

import contextlib
import time
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """Have the machine show the time of a zone: what the program takes for UTC must not be that time."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            yield
    finally:
        time.tzset()
