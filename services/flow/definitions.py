"""The meaning of each figure, written once: the answers and the API's documentation take the texts from here.

The terms are the Kanban Guide's: a work item is a task, it is started when it is first `in_progress` and
finished when it is `completed`.
"""

from typing import Final

DEFINITIONS: Final = {
    "throughput": (
        "The number of tasks that were completed within a time: those that are completed now, by their "
        "`completed_at`. A reopened task counts only after it is completed again, by its new "
        "`completed_at`; a deleted task does not count."
    ),
    "work_in_progress": (
        "The number of tasks that are started and not finished: those `in_progress` at that moment."
    ),
    "lead_time": "The time from a task's creation to its completion.",
    "cycle_time": (
        "The time from the moment when a task was first `in_progress`, under any owner, to its "
        "completion. A task that was completed without being `in_progress` counts from its creation."
    ),
    "never_started": "Tasks that were completed without having been `in_progress`; their cycle time is their lead time.",
    "work_item_age": (
        "The time since an open task was first `in_progress`; for a task that never was, the time since "
        "its creation."
    ),
    "age_percentile": (
        "The percentage of the cycle times of the tasks completed in the period that are no longer than the "
        "task's age."
    ),
    "time_in_status": (
        "The hours that tasks completed in the period spent in each status until their completion, all "
        "visits added. `completed` is the time before a task was reopened. A task that never was in a "
        "status does not count for that status."
    ),
    "cumulative_flow": (
        "The number of the account's tasks in each status at the end of each interval, replayed from "
        "their history. A reopened task leaves `completed` when it is reopened. A deleted task counts "
        "until its deletion. An assigned task counts for each owner while they own it."
    ),
    "imported": (
        "A task imported without its history counts from its `created_at`, in the status that it was "
        "imported with. A task imported as completed is `pending` until its `completed_at`."
    ),
    "scope": "All tasks of the account that are not deleted, completed ones included.",
    "forecast": (
        "Monte Carlo: 10,000 futures are put together from past weeks, which are drawn at random. The "
        "weeks are the whole weeks before the day of the forecast: 26 of them, unless `from` says "
        "otherwise, and none before the first task. A week is drawn with all of its days, the weekend "
        "included. The futures begin with the day of the forecast as a whole day. The same question about"
        " the same history has the same answer."
    ),
    "forecast_percentiles": (
        "With `remaining`, the day by whose end this share of the futures is done. With `until`, the "
        "number of tasks that this share of the futures reaches or exceeds."
    ),
    "percentiles": "Linear interpolation between the two nearest values; hours are rounded to two decimals.",
    "days": (
        "Time is elapsed time: nights, weekends and holidays count. A day begins at midnight in `tz`, a week on Monday; "
        "a day on which the clocks change has 23 or 25 hours."
    ),
    "period": (
        "From `from` until before `to`. A date is a whole day in `tz`, and `to` includes its day; a time "
        "is exact. By default the period is the last 90 days, today included."
    ),
    "previous": (
        "The period of the same length that ends where this one begins. A period of whole days is counted"
        " in days."
    ),
    "filters": (
        "`project`, `tag` and `priority` mean the present values of a task. For a task that has left the "
        "account, deleted or assigned to somebody else, they mean its values when it left."
    ),
}


def chosen(*names: str) -> dict[str, str]:
    """The definitions with these names, and those that apply everywhere."""
    return {name: DEFINITIONS[name] for name in (*names, "period", "days", "filters")}


def markdown() -> str:
    """All definitions, for the guide."""
    return "\n".join(
        f"- **{name.replace('_', ' ').capitalize()}**: {text}" for name, text in DEFINITIONS.items()
    )
