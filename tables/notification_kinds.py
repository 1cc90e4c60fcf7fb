"""The kinds of notifications, with their default delivery and their texts.

The checks of the columns, the schemas and the preferences derive from this table.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple


class Kind(NamedTuple):
    """A kind of notification."""

    # The default delivery by mail: one of `DELIVERIES`.
    default_delivery: str
    # A function from the notification to its line in the log, behind `Notification sent to user 1: `.
    line: Callable[[Any], str]
    # A function to the subject and text of the mail, from the notification and the name of the account that
    # caused it.
    mail: Callable[[Any, str], tuple[str, str]]


def _task_was(action: str) -> Callable[[Any], str]:
    return lambda row: f"Task '{row.task_title}' was {action}"


def completion(title: str) -> tuple[str, str]:
    """The subject and text for a task that was completed."""
    return f"Task Completed: {title}", f"Your task '{title}' has been completed."


def assignment(title: str, assigner: str) -> tuple[str, str]:
    """The subject and text for a task that was assigned."""
    return f"New Task Assigned: {title}", f"You have been assigned a new task '{title}' by {assigner}"


def _due(row: Any) -> str:
    return f"{row.due_at:%Y-%m-%d %H:%M} UTC"


KINDS: dict[str, Kind] = {
    "created": Kind(
        "never",
        _task_was("created"),
        lambda row, _: (
            f"Task Created: {row.task_title}",
            f"Your task '{row.task_title}' has been created.",
        ),
    ),
    "completed": Kind("at_once", _task_was("completed"), lambda row, _: completion(row.task_title)),
    "assigned": Kind("at_once", _task_was("assigned"), lambda row, actor: assignment(row.task_title, actor)),
    "due_soon": Kind(
        "at_once",
        _task_was("due soon"),
        lambda row, _: (
            f"Task Due Soon: {row.task_title}",
            f"Your task '{row.task_title}' is due at {_due(row)}.",
        ),
    ),
    "overdue": Kind(
        "at_once",
        _task_was("overdue"),
        lambda row, _: (
            f"Task Overdue: {row.task_title}",
            f"Your task '{row.task_title}' was due at {_due(row)} and is not completed.",
        ),
    ),
    "added_to_project": Kind(
        "at_once",
        lambda row: f"Added to project '{row.project_name}'",
        lambda row, actor: (
            f"Added to Project: {row.project_name}",
            f"You have been added to the project '{row.project_name}' by {actor}.",
        ),
    ),
    "mentioned": Kind(
        "at_once",
        lambda row: f"Mentioned in a comment on task '{row.task_title}'",
        lambda row, actor: (
            f"Mentioned: {row.task_title}",
            f"{actor} mentioned you in a comment on the task '{row.task_title}'.",
        ),
    ),
    "commented": Kind(
        "at_once",
        lambda row: f"Task '{row.task_title}' was commented",
        lambda row, actor: (
            f"New Comment: {row.task_title}",
            f"{actor} commented on your task '{row.task_title}'.",
        ),
    ),
}
NOTIFICATION_KINDS = tuple(KINDS)
# The default delivery of each kind by mail.
DEFAULT_DELIVERIES = {name: kind.default_delivery for name, kind in KINDS.items()}

if TYPE_CHECKING:
    NotificationKind = str
else:
    # The type checker can't derive a Literal from the table.
    NotificationKind = Literal[NOTIFICATION_KINDS]
