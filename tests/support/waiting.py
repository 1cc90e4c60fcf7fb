"""Waits for something that happens by itself."""

import time
from collections.abc import Callable
from typing import TypeVar

# On a slow and busy machine everything takes many times longer. Waiting ends as soon as the thing is there.
SECONDS = 120.0

Found = TypeVar("Found")


def wait_until(look: Callable[[], Found]) -> Found:
    """Look until there is something, and return it; an assertion fails if nothing comes."""
    end = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < end, f"it did not come within {SECONDS:.0f} seconds: {found!r}"
        time.sleep(0.01)
    return found
