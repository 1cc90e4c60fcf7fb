"""Answering questions about the flow of work, from the record of the tasks."""

from datetime import date
from typing import Any

import numpy as np
from sqlalchemy import Select, bindparam, func, select
from sqlalchemy.orm import Session

from errors import invalid_at
from models import STATUSES, tasks
from schemas.flow import Interval
from services.bulk_numbers import Integers
from services.flow import forecast, history, replay
from services.flow.by_state import counts_by_state, only_since, time_by_state
from services.flow.definitions import chosen
from services.flow.forecast import TooLittleHistory
from services.flow.periods import DAY, WEEK, Period, intervals, midnight
from services.flow.question import Question
from services.flow.record import IDS_AT_ONCE, Record
from services.flow.replay import NEVER
from services.flow.statistics import PERCENTILES, hours, summary
from services.paging import decode_cursor, encode_cursor, invalid_cursor
from storage.column_types import moment

_NAMES: Select[Any] = select(
    tasks.c.id, tasks.c.title, tasks.c.project, func.coalesce(tasks.c.state, tasks.c.status).label("state")
).where(tasks.c.id.in_(bindparam("ids", expanding=True)))
# The number of weeks that a cone covers, and the most points of a curve of chances.
CONE_WEEKS = 26
MOST_POINTS = 120


def _period(period: Period) -> dict[str, Any]:
    return {"starts_at": moment(period.start), "ends_at": moment(period.end), "tz": period.zone.key}


def _head(question: Question, n: int, *definitions: str) -> dict[str, Any]:
    return {
        "as_of": moment(question.as_of),
        "n": n,
        "period": _period(question.period),
        "definitions": chosen(*definitions),
    }


def _completed_in(record: Record, period: Period) -> Integers:
    """The places in the record of the tasks that were completed in the period."""
    return np.flatnonzero((record.completed >= period.start) & (record.completed < period.end))


def _cycle_times(record: Record, places: Integers) -> Integers:
    started = record.started[places]
    begun = np.where(started == NEVER, record.created[places], started)
    return np.maximum(record.completed[places] - begun, 0)


def _never_started(record: Record, places: Integers) -> int:
    return int((record.started[places] == NEVER).sum())


def _cycle_summary(record: Record, places: Integers) -> dict[str, Any]:
    return {**summary(_cycle_times(record, places)), "never_started": _never_started(record, places)}


def _completed_link(question: Question, period: Period) -> str:
    return question.link("completed", completed_after=period.start, completed_before=period.end)


def flow(db: Session, question: Question) -> dict[str, Any]:
    """Throughput, work in progress, lead and cycle times of the period and of the previous period."""
    record = history.read(db, question.selection)

    def figures(period: Period) -> dict[str, Any]:
        places = _completed_in(record, period)
        at = np.array([min(period.end, question.as_of + 1)], np.int64)
        return {
            "period": _period(period),
            "throughput": len(places),
            "work_in_progress": int(replay.counts_at(record.spells, at)[0, replay.IN_PROGRESS]),
            "lead_time": summary(np.maximum(record.completed[places] - record.created[places], 0)),
            "cycle_time": _cycle_summary(record, places),
            "links": {"completed": _completed_link(question, period)},
        }

    current = figures(question.period)
    names = ("throughput", "work_in_progress", "lead_time", "cycle_time", "never_started", "imported")
    return {
        **_head(question, current["throughput"], *names, "percentiles", "previous"),
        "current": current,
        "previous": figures(question.period.before()),
    }


def throughput(db: Session, question: Question, interval: Interval) -> dict[str, Any]:
    """The numbers of tasks that were created and completed in each interval."""
    parts = intervals(question.period, interval)
    record = history.read(db, question.selection)
    bounds = np.array([question.period.start, *(part.end for part in parts)], np.int64)
    created = np.diff(np.searchsorted(np.sort(record.created), bounds)).tolist()
    completed = np.diff(np.searchsorted(np.sort(record.completed), bounds)).tolist()
    start, end = question.period.start, question.period.end
    return {
        **_head(question, sum(completed), "throughput", "imported"),
        "n_created": sum(created),
        "intervals": [
            {
                "date": part.first_day(),
                "starts_at": moment(part.start),
                "ends_at": moment(part.end),
                "created": made,
                "completed": done,
            }
            for part, made, done in zip(parts, created, completed, strict=True)
        ],
        "links": {
            "created": question.link(created_after=start, created_before=end),
            "completed": _completed_link(question, question.period),
        },
    }


def _until_now(question: Question, interval: Interval) -> list[Period]:
    """The intervals that have begun; the last of them ends now."""
    asked = question.period
    end = question.now_or_end
    return intervals(Period(asked.start, end, asked.zone), interval) if end > asked.start else []


def cumulative_flow(
    db: Session, question: Question, interval: Interval, completed: str = "all"
) -> dict[str, Any]:
    """The tasks in each status at the end of each interval; `completed` counts all or the period's."""
    parts = _until_now(question, interval)
    record = history.read(db, question.selection)
    bounds = np.array([question.period.start, *(part.end for part in parts)], np.int64)
    counted = replay.counts_at(record.spells, bounds)
    if completed == "period":
        only_since(counted, replay.COMPLETED)
    at_start, *counts = counted.tolist()
    end = parts[-1].end if parts else question.period.start
    spells = record.spells
    there = spells.mine & (spells.start < end) & (spells.stop >= question.period.start)
    # Spells are sorted by task.
    n = int(np.count_nonzero(np.diff(spells.task[there], prepend=-1)))
    return {
        **_head(question, n, "cumulative_flow", "imported"),
        "at_start": dict(zip(STATUSES, at_start, strict=True)),
        "intervals": [
            {
                "date": part.first_day(),
                "ends_at": moment(part.end),
                **dict(zip(STATUSES, each, strict=True)),
            }
            for part, each in zip(parts, counts, strict=True)
        ],
        "states": counts_by_state(db, question, record, bounds, completed),
    }


def time_in_status(db: Session, question: Question) -> dict[str, Any]:
    """The time in each status of the tasks completed in the period."""
    record = history.read(db, question.selection)
    places = _completed_in(record, question.period)
    spent = replay.time_spent(record.spells, record.ids[places], record.completed[places])
    return {
        **_head(question, len(places), "time_in_status", "imported", "percentiles"),
        "statuses": [
            {"status": status, **summary(times)} for status, times in zip(STATUSES, spent, strict=True)
        ],
        "states": time_by_state(db, question, record, places),
        "links": {"completed": _completed_link(question, question.period)},
    }


def _names(db: Session, ids: list[int]) -> dict[int, tuple[str, str, str]]:
    found = {}
    for place in range(0, len(ids), IDS_AT_ONCE):
        for row in db.execute(_NAMES, {"ids": ids[place : place + IDS_AT_ONCE]}):
            found[row.id] = (row.title, row.project, row.state)
    return found


def _behind(cursor: str | None, kind: str, keys: Integers, ids: Integers) -> Integers:
    """The places of a sorted list that follow the cursor; raises InvalidInput."""
    if cursor is None:
        return np.arange(len(keys))
    name, key, task_id = decode_cursor(cursor, str, int, int)
    if name != kind:
        raise invalid_cursor()
    return np.flatnonzero((keys > key) | ((keys == key) & (ids > task_id)))


def aging(db: Session, question: Question, limit: int, cursor: str | None = None) -> dict[str, Any]:
    """The open tasks, oldest first, beside the cycle times of those completed in the period."""
    record = history.read(db, question.selection)
    past = _completed_in(record, question.period)
    cycle_times = np.sort(_cycle_times(record, past))
    places = np.flatnonzero(record.status != replay.COMPLETED)
    started = record.started[places]
    since = np.where(started == NEVER, record.created[places], started)
    ids = record.ids[places]
    order = np.lexsort((ids, since))
    order = order[_behind(cursor, "aging", since[order], ids[order])]
    oldest = order[:limit]
    ages = np.maximum(question.as_of - since, 0)
    passed = np.searchsorted(cycle_times, ages, "right")
    names = _names(db, ids[oldest].tolist())
    rows = []
    for place in oldest.tolist():
        task_id = int(ids[place])
        if task_id not in names:
            continue  # The task was deleted since the record was read.
        rows.append(
            {
                "id": task_id,
                "title": names[task_id][0],
                "project": names[task_id][1],
                "status": STATUSES[record.status[places[place]]],
                "state": names[task_id][2],
                "since": moment(int(since[place])),
                "never_started": bool(started[place] == NEVER),
                "age_hours": hours(int(ages[place])),
                "age_percentile": round(100 * int(passed[place]) / len(past), 2) if len(past) else None,
            }
        )
    return {
        **_head(question, len(places), "work_item_age", "age_percentile", "cycle_time", "never_started"),
        "cycle_time": _cycle_summary(record, past),
        "tasks": rows,
        "next_cursor": (
            encode_cursor("aging", int(since[oldest[-1]]), int(ids[oldest[-1]]))
            if len(order) > limit
            else None
        ),
        "links": {
            "open": question.link("pending", "in_progress"),
            "completed": _completed_link(question, question.period),
        },
    }


def cycle_times(db: Session, question: Question, limit: int, cursor: str | None = None) -> dict[str, Any]:
    """The tasks completed last in the period, each with its lead and cycle time."""
    record = history.read(db, question.selection)
    places = _completed_in(record, question.period)
    newest = places[np.lexsort((record.ids[places], record.completed[places]))[::-1]]
    # Newest first means that the keys fall, so their negatives rise as `_behind` expects.
    newest = newest[_behind(cursor, "cycle-times", -record.completed[newest], -record.ids[newest])]
    last = newest[:limit]
    names = _names(db, record.ids[last].tolist())
    durations = _cycle_times(record, last)
    rows = []
    for place, cycle_time in zip(last.tolist(), durations.tolist(), strict=True):
        task_id = int(record.ids[place])
        if task_id not in names:
            continue  # The task was deleted since the record was read.
        rows.append(
            {
                "id": task_id,
                "title": names[task_id][0],
                "project": names[task_id][1],
                "completed_at": moment(int(record.completed[place])),
                "never_started": bool(record.started[place] == NEVER),
                "lead_time_hours": hours(max(int(record.completed[place] - record.created[place]), 0)),
                "cycle_time_hours": hours(cycle_time),
            }
        )
    return {
        **_head(question, len(places), "cycle_time", "lead_time", "never_started", "imported", "percentiles"),
        "cycle_time": _cycle_summary(record, places),
        "tasks": rows,
        "next_cursor": (
            encode_cursor("cycle-times", -int(record.completed[last[-1]]), -int(record.ids[last[-1]]))
            if len(newest) > limit
            else None
        ),
        "links": {"completed": _completed_link(question, question.period)},
    }


# -- forecasts -------------------------------------------------------------------------------------


def _curve(points: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """At most `MOST_POINTS` points of a curve, the last point among them."""
    step = -(-len(points) // MOST_POINTS) or 1
    return points[::-1][::step][::-1]


def will_be_done(
    db: Session, question: Question, *, remaining: int | None, until: date | None, from_given: bool
) -> dict[str, Any]:
    """Forecast the day when `remaining` tasks are done, or the number of tasks done by the day `until`.

    Raises TooLittleHistory, InvalidInput.
    """
    if (remaining is None) == (until is None):
        pointer = "?remaining" if remaining is None else "?until"
        raise invalid_at(pointer, "Give one of `remaining` and `until`")
    record = history.read(db, question.selection)
    known = forecast.past(question, np.sort(record.created), np.sort(record.completed), from_given=from_given)
    zone = question.period.zone
    start, end = midnight(known.began_on, zone), midnight(known.starts_on, zone)
    answer: dict[str, Any] = {
        **_head(question, known.completed, "forecast", "forecast_percentiles", "throughput"),
        "starts_on": known.starts_on,
        "basis": {
            "starts_on": known.began_on,
            "ends_before": known.starts_on,
            "weeks": len(known.weeks),
            "completed": known.completed,
            "trials": forecast.TRIALS,
        },
        "remaining": remaining,
        "until": until,
        "done_by": None,
        "how_many": None,
        "days": [],
        "counts": [],
        "links": {"completed": question.link("completed", completed_after=start, completed_before=end)},
    }
    if remaining is not None:
        answer["done_by"], answer["days"] = _by_when(known, remaining)
    elif until is not None:
        answer["how_many"], answer["counts"] = _how_many(known, until)
    return answer


def _by_when(known: forecast.Past, remaining: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    days = forecast.done_after(known, remaining)
    reached, counts = np.unique(days, return_counts=True)
    curve = [
        {"date": known.starts_on + (after - 1) * DAY, "percentage": round(100 * done / forecast.TRIALS, 2)}
        for after, done in zip(reached.tolist(), counts.cumsum().tolist(), strict=True)
        if after <= forecast.HORIZON_WEEKS * 7
    ]
    done_by = {f"p{percent}": forecast.day_by_chance(known, days, percent) for percent in PERCENTILES}
    return done_by, _curve(curve)


def _how_many(known: forecast.Past, until: date) -> tuple[dict[str, int], list[dict[str, Any]]]:
    days = (until - known.starts_on).days + 1
    if not 1 <= days <= forecast.HORIZON_WEEKS * 7:
        last = known.starts_on + (forecast.HORIZON_WEEKS * 7 - 1) * DAY
        problem = f"Should be from {known.starts_on}, the day of the forecast, to {last}"
        raise invalid_at("?until", problem)
    counts = forecast.done_within(known, days)
    reached, first = np.unique(counts, return_index=True)
    curve = [
        {"count": count, "percentage": round(100 * (forecast.TRIALS - before) / forecast.TRIALS, 2)}
        for count, before in zip(reached.tolist(), first.tolist(), strict=True)
    ]
    return forecast.by_counts(counts), _curve(curve)


def burnup(db: Session, question: Question, interval: Interval) -> dict[str, Any]:
    """Scope and completed tasks at the end of each interval, and a forecast for the present scope."""
    parts = _until_now(question, interval)
    record = history.read(db, question.selection)
    ends = [part.end for part in parts] or [question.now_or_end]
    counts = replay.counts_at(record.spells, np.array(ends, np.int64))
    scope, completed = counts.sum(axis=1).tolist(), counts[:, replay.COMPLETED].tolist()
    return {
        **_head(question, scope[-1], "scope", "forecast", "forecast_percentiles", "imported"),
        "intervals": [
            {
                "date": part.first_day(),
                "ends_at": moment(part.end),
                "scope": scope[place],
                "completed": completed[place],
            }
            for place, part in enumerate(parts)
        ],
        "forecast": _cone(question, record, scope[-1] - completed[-1], completed[-1]),
    }


def _cone(question: Question, record: Record, remaining: int, completed: int) -> dict[str, Any]:
    answer: dict[str, Any] = {"remaining": remaining, "done_by": None, "cone": [], "refused": None}
    try:
        known = forecast.past(question, np.sort(record.created), np.sort(record.completed), from_given=False)
    except TooLittleHistory as refusal:
        return answer | {"refused": refusal.detail}
    if remaining == 0:
        return answer
    answer["done_by"] = forecast.by_days(known, remaining)
    for week in range(1, CONE_WEEKS + 1):
        counts = forecast.by_counts(forecast.done_within(known, week * 7))
        # The cone ends where the scope is reached.
        point = {name: completed + min(count, remaining) for name, count in counts.items()}
        answer["cone"].append({"date": known.starts_on + week * WEEK - DAY, **point})
        if counts["p95"] >= remaining:
            break
    return answer
