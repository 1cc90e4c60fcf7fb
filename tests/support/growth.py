"""Telling work that grows with its size from work that grows with the square of it, on any machine."""

from collections.abc import Callable
from time import process_time

# Eight times the size takes eight times as long, or 64 times where the square of it counts.
MOST = 30


def growth(work: Callable[[int], object], size: int) -> float:
    """How many times the CPU time for an eighth of the size the work takes, each the shortest of three times."""

    def seconds(size: int) -> float:
        began = process_time()
        work(size)
        return process_time() - began

    small, large = zip(*((seconds(size // 8), seconds(size)) for _ in range(3)), strict=True)
    return float(min(large) / min(small))
