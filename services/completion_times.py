"""Statistics of how long an account's completed tasks took, without reading every duration.

Triggers count the tasks by buckets of similar durations, in the transaction of each change. The counts say in
which bucket a place in the order of durations lies. From the beginning of the bucket it takes a few steps
along an index to reach the place, as long as the durations differ. If very many durations are equal, all of
them are read.
"""

from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from typing import Any

import numpy as np
from sqlalchemy import BigInteger, bindparam, func, literal_column, select, union_all
from sqlalchemy.orm import Session

from models import tasks
from services.bulk_numbers import in_bulk, read_numbers
from services.flow.statistics import hours
from storage.bounded_cache import BoundedCache
from storage.column_types import MicrosecondsBetween
from storage.prepared import prepared
from tables.counts import duration_counts, owner_counts

PERCENTS = (50, 85, 95)
# Below this a bucket holds one duration only.
EXACT = 100
# This many steps along the index take hardly any time. Beyond that, steps for half of the tasks take as long
# as reading all durations.
FEW_STEPS = 1000

_owner = bindparam("user_id", type_=BigInteger())
VERSION = select(func.coalesce(func.sum(owner_counts.c.version), 0)).where(owner_counts.c.user_id == _owner)
_took = MicrosecondsBetween(tasks.c.created_at, tasks.c.completed_at)
_is_completed = (tasks.c.user_id == _owner, tasks.c.completed_at.is_not(None))
_ALL = in_bulk(select(_took.label("took")).where(*_is_completed))
_sums = [func.sum(duration_counts.c[name]).label(name) for name in ("count", "seconds", "microseconds")]
_BUCKETS = prepared(
    select(duration_counts.c.bucket, *_sums, VERSION.scalar_subquery().label("version"))
    .where(duration_counts.c.user_id == _owner)
    .group_by(duration_counts.c.bucket)
    .having(func.sum(duration_counts.c.count) > 0)
    .order_by(duration_counts.c.bucket)
)


def _from(number: int) -> Any:
    """Two durations that follow one another in order, `skip` places after the first one of a bucket."""
    here = (
        select(_took.label("took"))
        .where(*_is_completed, _took >= bindparam(f"least_{number}", type_=BigInteger()))
        .order_by(_took)
        .limit(literal_column("2"))
        .offset(bindparam(f"skip_{number}"))
        .subquery()
    )
    return select(literal_column(str(number)).label("number"), here.c.took)


# The shortest, the percentiles and the longest duration; row -1 is the version of the tasks.
_PLACES = prepared(
    union_all(
        *(_from(number) for number in range(len(PERCENTS) + 2)),
        select(literal_column("-1"), VERSION.scalar_subquery()),
    ),
    plan_each_time=True,
)


kept: BoundedCache[int, dict[str, Any]] = BoundedCache(1000)


def get_stats(db: Session, user_id: int) -> dict[str, Any]:
    """Statistics in hours, percentiles by linear interpolation; cached until the account's tasks change."""
    # The version is read first: a change in between makes the figures newer than their version, never older.
    version = int(db.execute(VERSION, {"user_id": user_id}).scalar_one())
    figures = kept.get(user_id, version)
    if figures is None:
        figures = from_counts(db, user_id) or from_all(db, user_id)
        kept.put(user_id, figures, version)
    return figures


def from_all(db: Session, user_id: int) -> dict[str, Any]:
    """Compute the figures from every duration, read by one statement, so that they are right while tasks change."""
    (durations,) = read_numbers(db, _ALL, {"user_id": user_id})
    took: list[int] = np.sort(durations).tolist()
    return _summarize(len(took), sum(took), took.__getitem__)


def from_counts(db: Session, user_id: int) -> dict[str, Any] | None:
    """Compute the figures from the counts, by two statements; None if tasks changed in between or too many are alike."""
    rows = db.execute(_BUCKETS, {"user_id": user_id}).all()
    if not rows:
        return _summarize(0, 0, [].__getitem__)
    buckets, counts, seconds, microseconds, versions = zip(*rows, strict=True)
    # The number of durations up to the end of each bucket.
    upto = list(accumulate(map(int, counts)))
    total_microseconds = int(sum(seconds)) * 1_000_000 + int(sum(microseconds))
    total = upto[-1]
    places = [0, *(_place(total, percent)[0] for percent in PERCENTS), total - 1]
    values: dict[str, int] = {"user_id": user_id}
    steps = 0
    for number, place in enumerate(places):
        at = bisect_right(upto, place)
        skip = place - (upto[at - 1] if at else 0)
        if 0 <= buckets[at] < EXACT and (place + 1 < upto[at] or place + 1 == total):
            # All durations of this bucket are equal, so the first one is enough.
            skip = 0
        values[f"least_{number}"], values[f"skip_{number}"] = _least(buckets[at]), skip
        steps += skip
    if steps > FEW_STEPS and steps > total / 2:
        return None
    found: dict[int, list[int]] = {}
    for number, took in db.execute(_PLACES, values).all():
        found.setdefault(number, []).append(int(took))
    if found.pop(-1) != [int(versions[0])]:
        return None
    durations: dict[int, int] = {}
    for number, place in enumerate(places):
        durations |= {place + beyond: took for beyond, took in enumerate(sorted(found[number]))}
    return _summarize(total, total_microseconds, durations.__getitem__)


def _least(bucket: int) -> int:
    """The shortest duration of a bucket; the lowest bucket holds tasks that were completed before they were begun."""
    if bucket < 0:
        return -(2**63)
    digits, leading = divmod(bucket, 100)
    return leading * int(10**digits)


def _place(total: int, percent: int) -> tuple[int, int]:
    """The place of a percentile in the order, and how many hundredths of the way to the next place it lies."""
    return divmod((total - 1) * percent, 100)


def _summarize(total: int, total_microseconds: int, at: Callable[[int], int]) -> dict[str, Any]:
    """The statistics in hours; `total_microseconds` is the sum in microseconds, and `at` gives the duration at a place in the order."""

    def percentile(percent: int) -> float | None:
        if not total:
            return None
        # Whole numbers keep the result exact until the division by 100.
        below, part = _place(total, percent)
        shorter = at(below)
        return hours(shorter + (at(below + 1) - shorter) * part / 100 if part else shorter)

    median, p85, p95 = map(percentile, PERCENTS)
    return {
        "total_completed_tasks": total,
        "average_completion_time_hours": hours(total_microseconds / total) if total else None,
        "fastest_completion_hours": hours(at(0)) if total else None,
        "slowest_completion_hours": hours(at(total - 1)) if total else None,
        "median_completion_time_hours": median,
        "p85_completion_time_hours": p85,
        "p95_completion_time_hours": p95,
        "message": None if total else "No completed tasks found",
    }
