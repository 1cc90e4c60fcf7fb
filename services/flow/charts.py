"""Drawing the answers of the flow figures as charts."""

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from services.flow.forecast import TRIALS
from services.flow.statistics import PERCENTILES
from services.flow.svg import AMBER, BLUE, GREEN, GREY, RED, Chart, Mark, steps

Answer = Mapping[str, Any]

# The grid lines of an axis of durations, in hours.
DURATIONS: Sequence[Mark] = (
    (1 / 60, "1 min"),
    (1 / 6, "10 min"),
    (1, "1 h"),
    (6, "6 h"),
    (24, "1 day"),
    (168, "1 week"),
    (720, "30 days"),
    (4380, "½ year"),
    (17520, "2 years"),
    (87600, "10 years"),
)
# The percentiles that are drawn as lines or bars.
LEVELS = ("p50", "p85", "p95")
# The shortest duration that the axis shows, in hours.
SHORTEST = 1 / 60
DAY = 24 * 60 * 60.0  # seconds


def _at(moment: datetime | date, zone: tzinfo = UTC) -> float:
    if isinstance(moment, datetime):
        return moment.timestamp()
    return datetime(moment.year, moment.month, moment.day, tzinfo=zone).timestamp()


def _days(start: float, end: float, zone: tzinfo = UTC) -> list[Mark]:
    """Up to six days for the labels of an axis of time, each day once."""
    found: dict[str, float] = {}
    for place in range(6):
        at = start + (end - start) * place / 5
        found.setdefault(datetime.fromtimestamp(at, zone).date().isoformat(), at)
    return [(at, day) for day, at in found.items()]


def _whole_numbers(start: float, end: float) -> list[Mark]:
    """Up to six whole numbers for the labels of an axis, each once."""
    found = {round(start + (end - start) * place / 5) for place in range(6)}
    return [(number, f"{number:,}") for number in sorted(found) if start <= number <= end]


def _between(start: float, end: float) -> tuple[float, float]:
    """The ends of an axis of time, which has at least a day."""
    return (start, end) if end > start else (start, start + DAY)


def _logarithm(hours: float) -> float:
    return math.log10(max(hours, SHORTEST))


def _mark_above(longest: float) -> float:
    """The end of an axis of durations: the first mark that is not below the longest of them, in hours."""
    return next((hours for hours, _ in DURATIONS if hours >= longest), longest)


def _zone(answer: Answer) -> ZoneInfo:
    return ZoneInfo(answer["period"]["tz"])


def _subtitle(answer: Answer, text: str) -> str:
    start, end = answer["period"]["starts_at"], answer["period"]["ends_at"]
    # The period ends before its end: a day that begins then is not in it.
    last = max(start, end - timedelta(microseconds=1))
    first, last = (each.astimezone(_zone(answer)) for each in (start, last))
    return f"{text} {first:%Y-%m-%d} to {last:%Y-%m-%d}, as of {answer['as_of']:%Y-%m-%d %H:%M} UTC."


def _span(hours: float | None) -> str:
    if hours is None:
        return "-"
    return f"{hours:.1f} h" if hours < 48 else f"{hours / 24:.1f} days"


def _count(n: int) -> str:
    return f"{n:,} {'task' if n == 1 else 'tasks'}"


def throughput(answer: Answer) -> Chart:
    """Bars of completed tasks, and a line of created ones."""
    rows = answer["intervals"]
    highest = max([1, *(max(row["created"], row["completed"]) for row in rows)])
    x = _between(_at(answer["period"]["starts_at"]), _at(answer["period"]["ends_at"]))
    about = _subtitle(answer, f"{_count(answer['n_created'])} created, {answer['n']:,} completed.")
    chart = Chart("Throughput", about, x, (0, steps(highest)[-1][0]))
    chart.grid(_days(*x, _zone(answer)), steps(highest))
    for row in rows:
        start, end = _at(row["starts_at"]), _at(row["ends_at"])
        gap = (end - start) * 0.12
        chart.bar(start + gap, end - gap, row["completed"], GREEN)
    middles = [((_at(row["starts_at"]) + _at(row["ends_at"])) / 2, float(row["created"])) for row in rows]
    chart.name(GREEN, "Completed")
    chart.line(middles, BLUE, "Created")
    return chart


def cumulative_flow(answer: Answer) -> Chart:
    """One area for each status, stacked."""
    rows, ends = answer["intervals"], [_at(answer["as_of"])]
    if rows:
        # Without the start, one interval would be an area without width.
        ends = [_at(answer["period"]["starts_at"]), *(_at(row["ends_at"]) for row in rows)]
        rows = [answer["at_start"], *rows]
    highest = max([1, *(row["pending"] + row["in_progress"] + row["completed"] for row in rows)])
    x = _between(ends[0], ends[-1])
    chart = Chart(
        "Cumulative flow", _subtitle(answer, f"{_count(answer['n'])}."), x, (0, steps(highest)[-1][0])
    )
    chart.grid(_days(*x, _zone(answer)), steps(highest))
    layers = (
        ("Pending", GREY, ("pending", "in_progress", "completed")),
        ("In progress", AMBER, ("in_progress", "completed")),
        ("Completed", GREEN, ("completed",)),
    )
    for name, colour, statuses in layers:
        points = [
            (end, float(sum(row[each] for each in statuses))) for end, row in zip(ends, rows, strict=False)
        ]
        chart.area(points, colour, name)
    return chart


def _durations(answer: Answer, title: str, about: str, x: tuple[float, float], longest: float) -> Chart:
    """A chart with a logarithmic axis of durations, and the lines of past cycle times."""
    figures = answer["cycle_time"]
    levels = [figures[f"{name}_hours"] for name in LEVELS if figures[f"{name}_hours"] is not None]
    top = _mark_above(max([1, longest, *levels]))
    return Chart(title, _subtitle(answer, about), x, (SHORTEST, top), _logarithm)


def _draw_levels(chart: Chart, answer: Answer) -> None:
    for name, dash in zip(LEVELS, ("2 4", "9 4", ""), strict=True):
        hours = answer["cycle_time"][f"{name}_hours"]
        if hours is not None:
            chart.line([(at, hours) for at in chart.x], RED, f"{name[1:]}%: {_span(hours)}", dash)


def _marks(chart: Chart) -> list[Mark]:
    return [mark for mark in DURATIONS if mark[0] <= chart.y[1]]


def _tasks(answer: Answer, which: str, what: str) -> str:
    """A sentence that says how many tasks there are, and how many of them are drawn."""
    drawn, n = len(answer["tasks"]), answer["n"]
    return f"{_count(n)} {what}." if drawn == n else f"The {which} {drawn:,} of {_count(n)} {what}."


def cycle_times(answer: Answer) -> Chart:
    """A dot for each completed task, and the percentiles as lines."""
    tasks = answer["tasks"]
    x = _between(_at(answer["period"]["starts_at"]), _at(answer["period"]["ends_at"]))
    if tasks and len(tasks) < answer["n"]:
        # The axis begins with the oldest task that is drawn, as the subtitle says.
        x = _between(_at(tasks[-1]["completed_at"]), _at(tasks[0]["completed_at"]))
    longest = max([0.0, *(task["cycle_time_hours"] for task in tasks)])
    chart = _durations(answer, "Cycle time", _tasks(answer, "newest", "completed"), x, longest)
    chart.grid(_days(*x, _zone(answer)), _marks(chart))
    for task in tasks:
        point = (_at(task["completed_at"]), task["cycle_time_hours"])
        chart.dot(point, BLUE, f"{task['title']}: {_span(task['cycle_time_hours'])}")
    _draw_levels(chart, answer)
    return chart


def aging(answer: Answer) -> Chart:
    """A dot for each open task, oldest first, and the percentiles of past cycle times as lines."""
    tasks = answer["tasks"]
    longest = max([0.0, *(task["age_hours"] for task in tasks)])
    x = (0.5, max(len(tasks), 1) + 0.5)
    chart = _durations(answer, "Aging work", f"{_tasks(answer, 'oldest', 'open')} Cycle times:", x, longest)
    chart.grid([], _marks(chart))
    colours = {"pending": GREY, "in_progress": AMBER}
    for place, task in enumerate(tasks, 1):
        chart.dot(
            (place, task["age_hours"]),
            colours[task["status"]],
            f"{task['title']}: {_span(task['age_hours'])}",
        )
    chart.name(GREY, "Pending")
    chart.name(AMBER, "In progress")
    _draw_levels(chart, answer)
    return chart


def time_in_status(answer: Answer) -> Chart:
    """The median, 85% and 95% of the time in each status."""
    rows = answer["statuses"]
    longest = max([1.0, *(row["p95_hours"] or 0 for row in rows)])
    about = _subtitle(answer, f"{_count(answer['n'])} completed.")
    chart = Chart("Time in status", about, (0, len(rows)), (SHORTEST, _mark_above(longest)), _logarithm)
    names = [
        (place + 0.5, f"{row['status'].replace('_', ' ')} ({row['n']})") for place, row in enumerate(rows)
    ]
    chart.grid(names, _marks(chart))
    for place, row in enumerate(rows):
        for step, (name, colour) in enumerate(zip(LEVELS, (GREEN, BLUE, RED), strict=True)):
            if row[f"{name}_hours"] is not None:
                chart.bar(place + 0.2 + step * 0.2, place + 0.38 + step * 0.2, row[f"{name}_hours"], colour)
    for name, colour in zip(LEVELS, (GREEN, BLUE, RED), strict=True):
        chart.name(colour, f"{name[1:]}% took no longer")
    return chart


def forecast(answer: Answer) -> Chart:
    """The probability by day, or by number of tasks."""
    by_day = answer["done_by"] is not None
    rows = answer["days"] if by_day else answer["counts"]
    points = [(_at(row["date"]) if by_day else float(row["count"]), row["percentage"]) for row in rows]
    x = (points[0][0], points[-1][0]) if points else (0.0, 1.0)
    if x[0] == x[1]:
        half = DAY / 2 if by_day else 0.5
        x = (x[0] - half, x[1] + half)
    found = answer["done_by"] or answer["how_many"]
    asked = f"{_count(answer['remaining'])} done by" if by_day else f"Done by {answer['until']}, at least"
    chances = ", ".join(
        f"{'later' if found[name] is None else found[name]} ({name[1:]}%)"
        for name in (f"p{percent}" for percent in PERCENTILES)
    )
    chart = Chart("Forecast", f"{asked}: {chances}. As of {answer['as_of']:%Y-%m-%d}.", x, (0, 100))
    chart.grid(
        _days(*x) if by_day else _whole_numbers(*x),
        [(percent, f"{percent}%") for percent in range(0, 101, 20)],
    )
    chart.line(points, BLUE, f"Chance, from {TRIALS:,} futures")
    return chart


def burnup(answer: Answer) -> Chart:
    """Scope and completed tasks, and the cone of the forecast."""
    rows, cone = answer["intervals"], answer["forecast"]["cone"]
    zone = _zone(answer)
    ends = [_at(row["ends_at"]) for row in rows] or [_at(answer["as_of"])]
    x = _between(ends[0], max([ends[-1], *(_at(point["date"], zone) for point in cone)]))
    highest = max([1, *(row["scope"] for row in rows)])
    about = answer["forecast"]["refused"] or _subtitle(
        answer, f"{answer['forecast']['remaining']} tasks remain."
    )
    chart = Chart("Burn-up", about, x, (0, steps(highest)[-1][0]))
    chart.grid(_days(*x, zone), steps(highest))
    done = [(end, float(row["completed"])) for end, row in zip(ends, rows, strict=False)]
    if cone and done:
        fast, slow = (
            [(_at(point["date"], zone), float(point[name])) for point in cone] for name in ("p50", "p95")
        )
        chart.line([done[-1], *fast], BLUE, "50%", "6 4")
        chart.line(
            [done[-1], *((_at(point["date"], zone), float(point["p85"])) for point in cone)],
            RED,
            "85%",
            "6 4",
        )
        chart.line([done[-1], *slow], AMBER, "95%", "6 4")
    chart.line([(end, float(row["scope"])) for end, row in zip(ends, rows, strict=False)], GREY, "Scope")
    chart.line(done, GREEN, "Completed")
    return chart


CHARTS: Mapping[str, Callable[[Answer], Chart]] = {
    "throughput": throughput,
    "cumulative-flow": cumulative_flow,
    "cycle-times": cycle_times,
    "time-in-status": time_in_status,
    "aging": aging,
    "forecast": forecast,
    "burnup": burnup,
}
