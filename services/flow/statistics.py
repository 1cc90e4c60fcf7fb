"""Statistics of durations, in whole microseconds, so that every database gives the same figures."""

from typing import Any

import numpy as np

from services.bulk_numbers import Integers

HOUR = 3_600_000_000  # microseconds
PERCENTILES = (50, 70, 85, 95)


def hours(value: float) -> float:
    """Microseconds as hours, to two decimals."""
    return round(value / HOUR, 2)


def percentile(ordered: Integers, percent: int) -> float | None:
    """The percentile of sorted values by linear interpolation, in microseconds; None if there are no values."""
    if not len(ordered):
        return None
    # Whole numbers keep the result exact until the division by 100.
    below, part = divmod((len(ordered) - 1) * percent, 100)
    low, high = int(ordered[below]), int(ordered[min(below + 1, len(ordered) - 1)])
    return low + (high - low) * part / 100


def summary(durations: Integers) -> dict[str, Any]:
    """The number of durations and their statistics in hours; null if there are none."""
    ordered = np.sort(durations)
    # Python sums them: a hundred thousand durations of years do not fit into 64 bits.
    values: list[float | None] = [sum(ordered.tolist()) / len(ordered) if len(ordered) else None]
    values += [percentile(ordered, percent) for percent in (*PERCENTILES, 0, 100)]
    names = ("mean", *(f"p{percent}" for percent in PERCENTILES), "min", "max")
    figures = {
        f"{name}_hours": None if value is None else hours(value)
        for name, value in zip(names, values, strict=True)
    }
    return {"n": len(ordered), **figures}
