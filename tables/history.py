"""The history of tasks, comments, projects and members: the log behind the feed, the streams and the webhooks."""

from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import JSON, BigInteger, CheckConstraint, Identity, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import STATE_KEY_LENGTH, table_of
from storage.column_types import RowId, UtcDateTime, one_of, where

# The kinds of history that tell what happened to a task; the other kinds tell of comments, projects and members.
TaskHistoryKind = Literal[
    "created",
    "updated",
    "status_changed",
    "state_changed",
    "assigned",
    "moved",
    "blocked",
    "unblocked",
    "deleted",
    "imported",
]
TASK_KINDS: tuple[str, ...] = get_args(TaskHistoryKind)
COMMENT_KINDS = ("comment_created", "comment_updated", "comment_deleted")
PROJECT_KINDS = ("project_created", "project_updated", "project_deleted")
MEMBER_KINDS = ("member_added", "member_updated", "member_removed")
HISTORY_KINDS = (*TASK_KINDS, *COMMENT_KINDS, *PROJECT_KINDS, *MEMBER_KINDS)
REQUEST_ID_LENGTH = 128

# The rows of history whose owner becomes a member of the project.
BECAME_MEMBER = "kind IN ('member_added', 'project_created')"
# The rows of history by which a task leaves its owner, for another owner or because it is deleted.
LEFT_OWNER = "previous_owner_id IS NOT NULL AND (owner_id IS NULL OR owner_id <> previous_owner_id)"
# The rows of history by which a task leaves its project.
LEFT_PROJECT = "previous_project_id IS NOT NULL AND (project_id IS NULL OR project_id <> previous_project_id)"
# The kinds of most rows. The indexes by kind leave these out, because they would make every change of a task slower.
FREQUENT_KINDS = ("created", "updated", "status_changed")
# Not `NOT IN`, for which SQLite would make a table of the values for each row.
MAYBE_RARE = " AND ".join(f"kind <> '{kind}'" for kind in FREQUENT_KINDS)


class TaskHistory(Base):
    """One change of a task, comment, project or member, written in the transaction of the change."""

    __tablename__ = "task_history"
    __table_args__ = (
        CheckConstraint(one_of("kind", HISTORY_KINDS), name="kind"),
        Index("ix_task_history_task_id", "task_id", "id"),
        # Holds all columns that flow figures need, so that they read this index alone.
        Index(
            "ix_task_history_owner_id",
            *("owner_id", "created_at", "id", "task_id", "status", "previous_status", "previous_owner_id"),
            *("task_created_at", "task_completed_at"),
        ),
        Index("ix_task_history_previous_owner_id", "previous_owner_id", "task_id", **where(LEFT_OWNER)),
        # The flow figures of a project read this index alone.
        Index(
            "ix_task_history_project_id",
            *("project_id", "created_at", "id", "task_id", "status", "previous_status", "state"),
            *("previous_state", "previous_project_id", "task_created_at", "task_completed_at"),
            **where("project_id IS NOT NULL"),
        ),
        Index("ix_task_history_previous_project_id", "previous_project_id", "task_id", **where(LEFT_PROJECT)),
        # The feed of an account and of a project, in the order of ids, with the kind that the feed is
        # filtered by.
        Index("ix_task_history_owner_feed", "owner_id", "id", "kind"),
        Index("ix_task_history_previous_owner_feed", "previous_owner_id", "id", "kind", **where(LEFT_OWNER)),
        Index("ix_task_history_project_feed", "project_id", "id", "kind", **where("project_id IS NOT NULL")),
        Index(
            "ix_task_history_previous_project_feed",
            "previous_project_id",
            "id",
            "kind",
            **where(LEFT_PROJECT),
        ),
        # The next event of a kind, however far it is.
        Index("ix_task_history_kind", "kind", "id", **where(MAYBE_RARE)),
        Index("ix_task_history_owner_kind", "owner_id", "kind", "id", **where(MAYBE_RARE)),
        Index(
            "ix_task_history_project_kind",
            *("project_id", "kind", "id"),
            **where(f"project_id IS NOT NULL AND {MAYBE_RARE}"),
        ),
        # The beginning and the end of each membership.
        Index("ix_task_history_member_added", "owner_id", "id", "project_id", **where(BECAME_MEMBER)),
        Index(
            "ix_task_history_member_removed",
            *("previous_owner_id", "id", "project_id"),
            **where("kind = 'member_removed'"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    # No foreign keys: the history outlives the task, the project and the people.
    # NULL in a row about a project or a member.
    task_id: Mapped[int | None] = mapped_column(BigInteger)
    actor_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # {"field": {"from": ..., "to": ...}}; as json, because jsonb would change the order of the fields.
    changes: Mapped[dict[str, Any]] = mapped_column(JSON)
    # Owner and status after the change (NULL for a deleted task), and before it. A row about a member has the
    # member as owner: after `member_added` and `member_updated`, before `member_removed`.
    owner_id: Mapped[int | None] = mapped_column(BigInteger)
    status: Mapped[str | None] = mapped_column(String(11))
    previous_owner_id: Mapped[int | None] = mapped_column(BigInteger)
    previous_status: Mapped[str | None] = mapped_column(String(11))
    # For a task that is made or imported: its `created_at` and, if it came in completed, its `completed_at`.
    task_created_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    task_completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The project and the state in it, after the change and before it; NULL without a project.
    project_id: Mapped[int | None] = mapped_column(BigInteger)
    previous_project_id: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str | None] = mapped_column(String(STATE_KEY_LENGTH))
    previous_state: Mapped[str | None] = mapped_column(String(STATE_KEY_LENGTH))
    # The request that made the change; NULL for a command on the machine.
    request_id: Mapped[str | None] = mapped_column(String(REQUEST_ID_LENGTH))
    # The task after the change, or before its deletion. NULL for a new task, whose changes hold all of it,
    # and in rows that are older than this column.
    snapshot: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    # The comment, the project or the member that the row is about.
    subject: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


task_history = table_of(TaskHistory)
