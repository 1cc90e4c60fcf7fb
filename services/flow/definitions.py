"""The meaning of each figure, written once: the answers and the API's documentation take the texts from here.

The terms are the Kanban Guide's: a work item is a task, it is started when it is first `in_progress` and
finished when it is `completed`.
"""

from typing import Final

DEFINITIONS: Final = {
    "throughput": (
        "How many tasks were completed within a time: those that are completed now, by their `completed_at`. "
        "A task that was reopened counts again, and only, when it is completed again; a deleted one does not count."
    ),
    "work_in_progress": "How many tasks have been started and not finished: those `in_progress` at that moment.",
    "lead_time": "From a task's creation to its completion.",
    "cycle_time": (
        "From when a task was first `in_progress`, whoever owned it then, to its completion. "
        "A task completed without it counts from its creation."
    ),
    "never_started": "Tasks that were completed without having been `in_progress`; their cycle time is their lead time.",
    "work_item_age": (
        "How long ago an open task was first `in_progress`; of one that never was, how long ago it was created."
    ),
    "age_percentile": (
        "The percentage of the cycle times of the tasks completed in the period that are no longer than the "
        "task's age."
    ),
    "time_in_status": (
        "The hours that the tasks completed in the period spent in each status until their completion, each visit "
        "added; `completed` is the time before a task was reopened. A task that never was in a status does not "
        "count for it."
    ),
    "cumulative_flow": (
        "How many tasks of the account were in each status at the end of each interval, replayed from their "
        "history. A reopened task leaves `completed` when it is reopened; a deleted one counts until it is deleted; "
        "an assigned one counts for each owner while it is theirs."
    ),
    "imported": (
        "A task imported without its history counts from its `created_at` in the status it was imported with; one "
        "imported as completed is `pending` until its `completed_at`."
    ),
    "scope": "All tasks of the account that are not deleted, completed ones included.",
    "forecast": (
        "Monte Carlo: 10,000 times a future is put together from past weeks, drawn at random from the whole weeks "
        "before the day of the forecast (26 of them, unless `from` says otherwise, and none before the first task). "
        "A week is drawn whole, weekend and all. It begins with the day of the forecast as a whole day, and the same "
        "question about the same history has the same answer."
    ),
    "forecast_percentiles": (
        "With `remaining`, the day by whose end that share of the futures was done; with `until`, how many tasks "
        "at least were done in that share of them."
    ),
    "percentiles": "Linear interpolation between the two nearest values; hours are rounded to two decimals.",
    "days": (
        "Time is elapsed time: nights, weekends and holidays count. A day begins at midnight in `tz`, a week on Monday; "
        "a day on which the clocks change has 23 or 25 hours."
    ),
    "period": (
        "From `from` until before `to`. A date is a whole day in `tz`, as `to` that day included; a time is exact. "
        "Left out, it is the last 90 days, today included."
    ),
    "previous": "The period of the same length that ends where this one begins, in days where it is whole days.",
    "filters": (
        "`project`, `tag` and `priority` go by what a task is now; in the history of the account a task that has left "
        "it, deleted or assigned to somebody else, goes by what it was when it left."
    ),
}


def chosen(*names: str) -> dict[str, str]:
    """The definitions with these names, and those that apply everywhere."""
    return {name: DEFINITIONS[name] for name in (*names, "period", "days", "filters")}


def markdown() -> str:
    """All definitions, for the API's documentation."""
    lines = "\n".join(
        f"- **{name.replace('_', ' ').capitalize()}**: {text}" for name, text in DEFINITIONS.items()
    )
    return f"How work flows: throughput, cycle time, what is stuck, and when it will be done.\n\n{lines}"
