"""A real tracker's issues of six years, for tests that compute figures once more by themselves."""

import gzip
import json
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FILE = Path(__file__).parents[1] / "data" / "issue_tracker.json.gz"
SECOND = 1_000_000


@cache
def issues() -> list[dict[str, Any]]:
    """The issues, as import takes them."""
    found: list[dict[str, Any]] = json.loads(gzip.decompress(FILE.read_bytes()))
    return found


def moments(rows: list[dict[str, Any]], name: str) -> NDArray[np.int64]:
    """A time of each row as seconds since 1970; a row without it gets one in the far future."""
    times = (row.get(name) for row in rows)
    return np.array([second(time) if time else 2**40 for time in times], np.int64)


def second(time: str) -> int:
    """A time as seconds since 1970."""
    return round(datetime.fromisoformat(time).timestamp())
