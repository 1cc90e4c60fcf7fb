"""Asking for figures, and comparing them with what NumPy computes."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.api import Person

HOUR = 3600
STATUSES = ("pending", "in_progress", "completed")
NEVER = 2**62


def figures(person: Person, path: str) -> Any:
    answer = person.get(f"/analytics/{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def approximately(value: float | list[float] | None) -> Any:
    """The value, give or take a hundredth, because two ways to compute may round differently."""
    return pytest.approx(value, abs=0.011)


def assert_durations(found: dict[str, Any], seconds: Any) -> None:
    """Check that the figures of these durations are those that NumPy computes."""
    expected = np.asarray(seconds) / HOUR
    assert found["n"] == len(expected)
    for name, percent in (("min", 0), ("p50", 50), ("p70", 70), ("p85", 85), ("p95", 95), ("max", 100)):
        assert found[f"{name}_hours"] == approximately(np.percentile(expected, percent))
    assert found["mean_hours"] == approximately(expected.mean())


# -- lives of tasks --------------------------------------------------------------------------------


def micro(moment: datetime) -> int:
    """A time as microseconds since 1970."""
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def midnight(day: date, tz: str) -> int:
    return micro(datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tz)).astimezone(UTC))


class Lives:
    """The times and statuses of each task, in the order of their ids; figures of them by the plainest NumPy."""

    def __init__(self, lives: Sequence[Sequence[tuple[int, str]]]) -> None:
        self._times = [np.array([at for at, _ in life], np.int64) for life in lives]
        self._codes = [np.array([-1] + [STATUSES.index(status) for _, status in life]) for life in lives]
        self.created = np.array([times[0] for times in self._times])
        self.is_open = np.array([codes[-1] != 2 for codes in self._codes])
        last = np.array([times[-1] for times in self._times])
        self.completed = np.where(self.is_open, NEVER, last)
        started = [
            times[codes[1:] == 1].min(initial=NEVER)
            for times, codes in zip(self._times, self._codes, strict=True)
        ]
        self.started = np.array(started, np.int64)
        self.since = np.where(self.started == NEVER, self.created, self.started)

    def codes_before(self, edges: Sequence[int]) -> NDArray[np.int64]:
        """For each task the place of its status just before each of the moments; -1 before its creation."""
        pairs = zip(self._times, self._codes, strict=True)
        return np.array([codes[np.searchsorted(times, edges, "left")] for times, codes in pairs])

    def seconds_in(self, status: int, chosen: NDArray[np.bool_]) -> list[float]:
        """The seconds that each of the chosen tasks, which are all completed, was in a status, if it was in it."""
        found = []
        for task in np.flatnonzero(chosen):
            times, codes = self._times[task], self._codes[task][1:]
            spent = int(np.diff(times)[codes[:-1] == status].sum())
            found += [spent / 1e6] if spent else []
        return found

    def completed_within(self, chosen: NDArray[np.bool_], start: int, end: int) -> NDArray[np.bool_]:
        return chosen & (self.completed >= start) & (self.completed < end)

    def cycle_seconds(self, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
        seconds: NDArray[np.float64] = (self.completed - self.since)[chosen] / 1e6
        return seconds


def edges_of_months(first: date, behind: date, tz: str, until: int) -> list[int]:
    """The beginning of a period, the beginning of each month in it, and its end, which is not after `until`."""
    days = np.arange(f"{first:%Y-%m}", f"{behind + timedelta(days=31):%Y-%m}", dtype="datetime64[M]")
    starts = [day for day in days.astype("datetime64[D]").tolist() if first < day < behind]
    end = min(midnight(behind, tz), until)
    inner = [midnight(day, tz) for day in starts]
    return [midnight(first, tz), *(edge for edge in inner if edge < end), end]
