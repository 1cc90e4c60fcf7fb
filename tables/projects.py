"""The tables of shared work: projects, their members and states, and the comments of tasks."""

from datetime import datetime
from typing import Literal, get_args

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Identity, Index, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from database import Base
from models import DESCRIPTION_LENGTH, PROJECT_LENGTH, STATE_KEY_LENGTH, STATUSES, table_of
from storage.column_types import RowId, UtcDateTime, one_of

# From the least to the most that a member may do.
ProjectRole = Literal["viewer", "member", "manager"]
PROJECT_ROLES: tuple[ProjectRole, ...] = get_args(ProjectRole)
WipPolicy = Literal["warn", "block"]
WIP_POLICIES: tuple[WipPolicy, ...] = get_args(WipPolicy)
STATE_NAME_LENGTH = 100
LARGEST_WIP_LIMIT = 1000
COMMENT_LENGTH = 10_000


class SharedProject(Base):
    """A project that people share; its tasks carry its name too."""

    __tablename__ = "projects"
    __table_args__ = (
        CheckConstraint(f"length(name) BETWEEN 1 AND {PROJECT_LENGTH} AND trim(name) <> ''", name="name"),
        CheckConstraint(f"length(description) <= {DESCRIPTION_LENGTH}", name="description_length"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(
        String(PROJECT_LENGTH).with_variant(String(PROJECT_LENGTH, collation="C"), "postgresql")
    )
    description: Mapped[str | None] = mapped_column(Text)
    archived_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # NULL after the account was deleted.
    created_by: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), type_=BigInteger, index=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    # The number of changes, from which the ETag is made.
    version: Mapped[int] = mapped_column(BigInteger, default=1)


class ProjectMember(Base):
    """An account in a project, with its role there."""

    __tablename__ = "project_members"
    __table_args__ = (
        CheckConstraint(one_of("role", PROJECT_ROLES), name="role"),
        Index("ix_project_members_user_id", "user_id", "project_id", "role"),
    )

    project_id: Mapped[int] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    role: Mapped[str] = mapped_column(String(10))
    added_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ProjectState(Base):
    """A state of a project's workflow, in a row of its own: locking that row enforces the state's limit.

    A state that is taken out of the workflow keeps its row, with `removed_at`, so that figures of the past
    still have its name.
    """

    __tablename__ = "project_states"
    __table_args__ = (
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(one_of("wip_policy", WIP_POLICIES), name="wip_policy"),
        CheckConstraint(f"wip_limit BETWEEN 1 AND {LARGEST_WIP_LIMIT}", name="wip_limit"),
    )

    project_id: Mapped[int] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    key: Mapped[str] = mapped_column(String(STATE_KEY_LENGTH), primary_key=True)
    position: Mapped[int] = mapped_column(SmallInteger)
    name: Mapped[str] = mapped_column(String(STATE_NAME_LENGTH))
    status: Mapped[str] = mapped_column(String(11))
    wip_limit: Mapped[int | None]
    wip_policy: Mapped[str] = mapped_column(String(10))
    waiting: Mapped[bool]
    removed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TaskComment(Base):
    """A comment on a task: deleted with the task, but kept without an author if that account is deleted."""

    __tablename__ = "task_comments"
    __table_args__ = (
        CheckConstraint(f"length(text) BETWEEN 1 AND {COMMENT_LENGTH}", name="text_length"),
        Index("ix_task_comments_task_id", "task_id", "id"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    task_id: Mapped[int] = mapped_column(ForeignKey("tasks.id", ondelete="CASCADE"), type_=BigInteger)
    author_id: Mapped[int | None] = mapped_column(
        ForeignKey("users.id", ondelete="SET NULL"), type_=BigInteger, index=True
    )
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    edited_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


projects = table_of(SharedProject)
project_members = table_of(ProjectMember)
project_states = table_of(ProjectState)
task_comments = table_of(TaskComment)
