"""Monte Carlo: futures put together from past weeks."""

from dataclasses import dataclass
from datetime import date

import numpy as np

from errors import Conflict
from services.bulk_numbers import Integers
from services.flow.periods import DAY, WEEK, local_day, midnight
from services.flow.question import Question
from services.flow.statistics import PERCENTILES

TRIALS = 10_000
SEED = 20_161_122
HISTORY_WEEKS = 26
FEWEST_WEEKS = 4
FEWEST_COMPLETED = 10
# Ten years: a later day is not worth a date.
HORIZON_WEEKS = 522


class TooLittleHistory(Conflict):
    """The past has too few whole weeks or completed tasks for a forecast."""

    code = "too_little_history"


@dataclass(frozen=True, slots=True)
class Past:
    """The number of tasks completed on each day, a row a week; the future begins on `starts_on`."""

    starts_on: date
    weeks: Integers

    @property
    def completed(self) -> int:
        return int(self.weeks.sum())

    @property
    def began_on(self) -> date:
        return self.starts_on - len(self.weeks) * WEEK


def past(question: Question, created: Integers, completed: Integers, *, from_given: bool) -> Past:
    """The whole weeks before the day of the forecast, from sorted times; raises TooLittleHistory."""
    period = question.period
    today = local_day(min(period.end, question.as_of), period.zone)
    first = period.first_day() if from_given else today - HISTORY_WEEKS * WEEK
    known = created[: np.searchsorted(created, midnight(today, period.zone))]
    if len(known):
        # Weeks before the first task don't count as idle. A task may be from a year that the zone's calendar lacks.
        first = max(first, local_day(max(int(known[0]), midnight(first, period.zone)), period.zone))
    weeks = max(0, (today - first) // WEEK) if len(known) else 0
    days = [today - (weeks * 7 - place) * DAY for place in range(weeks * 7 + 1)]
    bounds = np.array([midnight(day, period.zone) for day in days], np.int64)
    counts = np.diff(np.searchsorted(completed, bounds)).reshape(weeks, 7)
    found = Past(today, counts)
    if weeks < FEWEST_WEEKS or found.completed < FEWEST_COMPLETED:
        raise TooLittleHistory(
            f"Too little history for a forecast: {found.completed} tasks were completed in {weeks} whole weeks "
            f"before {today}; it takes at least {FEWEST_COMPLETED} in {FEWEST_WEEKS} weeks"
        )
    return found


def _drawn(weeks: int, count: int) -> Integers:
    """The past week that each week of each future repeats; the seed is fixed, so that answers repeat too."""
    return np.random.Generator(np.random.PCG64(SEED)).integers(0, weeks, (count, TRIALS))


def done_after(known: Past, remaining: int) -> Integers:
    """The days until `remaining` tasks are done, sorted over the futures; one past the horizon if later."""
    ends = known.weeks.sum(axis=1)
    within = known.weeks.cumsum(axis=1)
    total = np.zeros(TRIALS, np.int64)
    days = np.full(TRIALS, HORIZON_WEEKS * 7 + 1, np.int64)
    open_ = np.arange(TRIALS)
    draw = np.random.Generator(np.random.PCG64(SEED))
    for week in range(HORIZON_WEEKS):
        # Every future draws in every week, so that the draws do not depend on the number of remaining tasks.
        drawn = draw.integers(0, len(ends), TRIALS)[open_]
        after = total[open_] + ends[drawn]
        done = after >= remaining
        missing = remaining - total[open_[done]]
        days[open_[done]] = week * 7 + 1 + (within[drawn[done]] < missing[:, None]).sum(axis=1)
        total[open_] = after
        open_ = open_[~done]
        if not len(open_):
            break
    return np.sort(days)


def done_within(known: Past, days: int) -> Integers:
    """The number of tasks done within this many days, sorted over the futures."""
    weeks, rest = divmod(days, 7)
    drawn = _drawn(len(known.weeks), weeks + 1)
    ends = known.weeks.sum(axis=1)
    partial = known.weeks[:, :rest].sum(axis=1)
    return np.sort(ends[drawn[:weeks]].sum(axis=0) + partial[drawn[weeks]])


def day_by_chance(known: Past, days: Integers, percent: int) -> date | None:
    """The day by whose end this share of the futures is done; None beyond the horizon."""
    after = int(days[_rank(percent)])
    return known.starts_on + (after - 1) * DAY if after <= HORIZON_WEEKS * 7 else None


def count_by_chance(counts: Integers, percent: int) -> int:
    """The least number of tasks that is done in this share of the futures."""
    return int(counts[TRIALS - 1 - _rank(percent)])


def _rank(percent: int) -> int:
    return TRIALS * percent // 100 - 1


def by_days(known: Past, remaining: int) -> dict[str, date | None]:
    """The day of completion for each chance."""
    days = done_after(known, remaining)
    return {f"p{percent}": day_by_chance(known, days, percent) for percent in PERCENTILES}


def by_counts(counts: Integers) -> dict[str, int]:
    """The number of tasks for each chance."""
    return {f"p{percent}": count_by_chance(counts, percent) for percent in PERCENTILES}
