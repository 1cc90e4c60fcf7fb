"""Machines whose local time is not UTC."""

import contextlib
import time
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def machine_in(zone: str) -> Iterator[None]:
    """Give the machine the local time of a zone, which the program must not take for UTC."""
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("TZ", zone)
            time.tzset()
            yield
    finally:
        time.tzset()
