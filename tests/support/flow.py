"""Asking for figures, and comparing them with what NumPy computes."""

from typing import Any

import numpy as np
import pytest

from tests.support.api import Person

HOUR = 3600


def figures(person: Person, path: str) -> Any:
    answer = person.get(f"/analytics/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def about(value: float | list[float] | None) -> Any:
    """Two ways to compute may round to different hundredths."""
    return pytest.approx(value, abs=0.011)


def assert_durations(found: dict[str, Any], seconds: Any) -> None:
    """The figures of these durations, as NumPy computes them."""
    expected = np.asarray(seconds) / HOUR
    assert found["n"] == len(expected)
    for name, percent in (("min", 0), ("p50", 50), ("p70", 70), ("p85", 85), ("p95", 95), ("max", 100)):
        assert found[f"{name}_hours"] == about(np.percentile(expected, percent))
    assert found["mean_hours"] == about(expected.mean())
