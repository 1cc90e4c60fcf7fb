"""Tells work that grows with its size from work that grows with the square of its size, on any machine."""

from collections.abc import Callable
from time import process_time

# Eight times the size takes 8 times as long, or 64 times as long if the work grows with the square.
MOST = 30


def growth(work: Callable[[int], object], size: int) -> float:
    """The CPU time for the size divided by that for an eighth of it, each the shortest of three."""

    def seconds(size: int) -> float:
        began = process_time()
        work(size)
        return process_time() - began

    small, large = zip(*((seconds(size // 8), seconds(size)) for _ in range(3)), strict=True)
    return float(min(large) / min(small))
