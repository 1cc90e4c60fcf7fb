"""Statistics about tasks."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from schemas.common import Answer

Percentage = Annotated[float, Field(description="0 to 100", examples=[66.67])]
Hours = Annotated[float, Field(examples=[26.5])]


class UserStats(Answer):
    """An account's tasks by status."""

    user_id: Annotated[int, Field(examples=[1])]
    username: Annotated[str, Field(examples=["ada"])]
    total_tasks: Annotated[int, Field(examples=[3])]
    completed_tasks: Annotated[int, Field(examples=[2])]
    pending_tasks: Annotated[int, Field(examples=[1])]
    in_progress_tasks: Annotated[int, Field(examples=[0])]
    completion_rate: Percentage


class ProjectStats(Answer):
    """A project's tasks by status."""

    project: Annotated[str, Field(examples=["Research"])]
    total_tasks: Annotated[int, Field(examples=[3])]
    completed_tasks: Annotated[int, Field(examples=[2])]
    pending_tasks: Annotated[int, Field(examples=[1])]
    in_progress_tasks: Annotated[int, Field(examples=[0])]
    completion_rate: Percentage


class CompletionTimeStats(Answer):
    """Time from creation to completion, in hours; null if no task is completed."""

    total_completed_tasks: Annotated[int, Field(examples=[2])]
    average_completion_time_hours: Hours | None
    fastest_completion_hours: Hours | None
    slowest_completion_hours: Hours | None
    median_completion_time_hours: Hours | None
    p85_completion_time_hours: Hours | None
    p95_completion_time_hours: Hours | None
    message: Annotated[str | None, Field(description="A note if no task is completed", examples=[None])]


class SystemSummary(Answer):
    """Statistics about the tasks of all accounts."""

    total_users: Annotated[int, Field(examples=[4])]
    active_users: Annotated[int, Field(description="Accounts that may log in", examples=[4])]
    total_tasks: Annotated[int, Field(examples=[3])]
    completed_tasks: Annotated[int, Field(examples=[2])]
    pending_tasks: Annotated[int, Field(examples=[1])]
    in_progress_tasks: Annotated[int, Field(examples=[0])]
    avg_tasks_per_user: Annotated[float, Field(examples=[0.75])]
    overall_completion_rate: Percentage
    recent_tasks_7_days: Annotated[int, Field(description="Created in the last 7 days", examples=[3])]
    generated_at: datetime
