"""The tables of accounts and tasks, with every constraint and index named.

The migrations make the schema, triggers included. These classes describe the same tables to SQLAlchemy, and a
test compares the two.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, Literal, NamedTuple, get_args

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Identity,
    Index,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    event,
)
from sqlalchemy.orm import Mapped, mapped_column

from configuration.account_rules import LONGEST_USERNAME, SHORTEST_USERNAME
from database import Base
from storage.column_types import (
    JsonText,
    LowerAscii,
    MicrosecondsBetween,
    Period,
    RowId,
    UtcDateTime,
    one_of,
    where,
)
from storage.derived_columns import complete_task, complete_user

TaskStatus = Literal["pending", "in_progress", "completed"]
STATUSES: tuple[TaskStatus, ...] = get_args(TaskStatus)
Role = Literal["admin", "member"]
ROLES: tuple[Role, ...] = get_args(Role)
HIGHEST_PRIORITY = 4
TITLE_LENGTH = 500
DESCRIPTION_LENGTH = 65_536
PROJECT_LENGTH = 100
TAG_LENGTH = 50
STATE_KEY_LENGTH = 30
BLOCKED_REASON_LENGTH = 500
LARGEST_ID = 2**63 - 1


class User(Base):
    """An account."""

    __tablename__ = "users"
    __table_args__ = (
        CheckConstraint(
            f"length(username) BETWEEN {SHORTEST_USERNAME} AND {LONGEST_USERNAME}", name="username_length"
        ),
        CheckConstraint("username NOT GLOB '*[^A-Za-z0-9._-]*'", name="username_characters").ddl_if(
            dialect="sqlite"
        ),
        CheckConstraint("username ~ '^[A-Za-z0-9._-]+$'", name="username_characters").ddl_if(
            dialect="postgresql"
        ),
        CheckConstraint("length(email) BETWEEN 3 AND 254", name="email_length"),
        CheckConstraint(one_of("role", ROLES), name="role"),
        UniqueConstraint("email_folded"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    username: Mapped[str] = mapped_column(String(LONGEST_USERNAME))
    email: Mapped[str] = mapped_column(String(254))
    # Folded in Python, so that both databases agree on letters beyond ASCII.
    email_folded: Mapped[str] = mapped_column(String(254))
    password_hash: Mapped[str] = mapped_column(String(255))
    is_active: Mapped[bool] = mapped_column(default=True)
    role: Mapped[str] = mapped_column(String(10), default="member")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    email_verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # Grows whenever all sessions, tokens and links of the account end; links of pictures made before then
    # stop working.
    credentials_version: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")

    @property
    def is_admin(self) -> bool:
        """See `Caller.is_admin`: programs hand accounts as objects to services too."""
        return self.role == "admin"


# Usernames and emails are unique in any letter case, for writers past the API too.
Index("uq_users_username", LowerAscii(User.username), unique=True)
# The constraint of email_folded covers the letters beyond ASCII.
Index("uq_users_email", LowerAscii(User.email), unique=True)


# The columns of the index of each order of a list. The first ones make the order. The others tell which tasks are in
# a range of another time, so that a list is filtered without looking at every task.
ORDERS = {
    "created_at": ("created_at", "id", "due_at", "completed_at", "priority"),
    "updated_at": ("updated_at", "id", "created_at", "due_at", "completed_at", "priority"),
    "due_at": ("due_at", "id", "created_at", "completed_at"),
    "completed_at": ("completed_at", "id", "created_at", "due_at"),
    "priority": ("priority", "id", "created_at", "due_at", "completed_at"),
    "id": ("id", "created_at", "due_at", "completed_at"),
}
# The indexes of tasks in projects are partial, so that a private task costs nothing.
IN_PROJECT = where("project_id IS NOT NULL")


def _orders(place: str, **options: Any) -> Iterator[Index]:
    """The indexes of the orders of lists, of an owner or a project.

    On Postgres each index holds `updated_at`, because an update writes all indexes in any case. SQLite writes only the
    indexes whose columns change, so `updated_at` in all of them would make every update slower.
    """
    for name, columns in ORDERS.items():
        on_postgres = columns if "updated_at" in columns else (*columns, "updated_at")
        for dialect, there in (("sqlite", columns), ("postgresql", on_postgres)):
            index = Index(f"ix_tasks_{place}_{name}", place, *there, **options)
            yield index.ddl_if(dialect=dialect)


# The condition that a task's times are not in the order of making, completing and changing.
OUT_OF_ORDER = "updated_at < created_at OR completed_at < created_at OR updated_at < completed_at"
# The condition that a title has other letters than those of ASCII, on Postgres.
HAS_OTHER_LETTERS = r"title_folded ~ '[^\u0001-\u007f]'"
# A blocked task has a reason, and is not completed.
BLOCKED = (
    "(blocked_at IS NULL) = (blocked_reason IS NULL) AND (blocked_at IS NULL OR status <> 'completed')"
    f" AND length(blocked_reason) BETWEEN 1 AND {BLOCKED_REASON_LENGTH}"
)


class Task(Base):
    """A piece of work, with its owner."""

    __tablename__ = "tasks"
    __table_args__ = (
        CheckConstraint(f"length(title) BETWEEN 1 AND {TITLE_LENGTH} AND trim(title) <> ''", name="title"),
        CheckConstraint(f"length(description) <= {DESCRIPTION_LENGTH}", name="description_length"),
        CheckConstraint(one_of("status", STATUSES), name="status"),
        CheckConstraint(f"priority BETWEEN 0 AND {HIGHEST_PRIORITY}", name="priority"),
        CheckConstraint(f"length(project) BETWEEN 1 AND {PROJECT_LENGTH}", name="project_length"),
        CheckConstraint("(status = 'completed') = (completed_at IS NOT NULL)", name="completed_at"),
        CheckConstraint("(project_id IS NULL) = (state IS NULL)", name="state"),
        CheckConstraint(BLOCKED, name="blocked"),
        *_orders("user_id"),
        Index("ix_tasks_user_id_title", "user_id", "title_folded", "id"),
        # With `completed_at`, this index alone answers flow figures.
        Index("ix_tasks_user_id_status", "user_id", "status", "created_at", "id", "completed_at"),
        Index("ix_tasks_user_id_project", "user_id", "project", "created_at", "id"),
        # Serves lists of everybody's tasks and, by its title, an admin's search.
        Index("ix_tasks_created_at", "created_at", "id", "title_folded"),
        Index("ix_tasks_title_folded", "title_folded", "id"),
        # Serves reminders, and lists of everybody's tasks by the time they are due.
        Index("ix_tasks_due_at", "due_at", "id", **where("due_at IS NOT NULL")),
        Index(
            "ix_tasks_user_id_state", *("user_id", "state", "created_at", "id"), **where("state IS NOT NULL")
        ),
        Index(
            "ix_tasks_user_id_blocked",
            *("user_id", "created_at", "id"),
            **where("blocked_at IS NOT NULL"),
        ),
        # Usually empty: it tells whether the times of all tasks are in order (`services/lists/times_in_order.py`).
        Index("ix_tasks_user_id_out_of_order", "user_id", "version", **where(OUT_OF_ORDER)).ddl_if(
            dialect="sqlite"
        ),
        *_orders("project_id", **IN_PROJECT),
        Index("ix_tasks_project_id_title", "project_id", "title_folded", "id", **IN_PROJECT),
        # Serves searches for a pair of letters (`services/lists/lookups.py`).
        Index(
            "ix_tasks_project_id_letters",
            *("project_id", "title_folded", "id"),
            **where(f"project_id IS NOT NULL AND {HAS_OTHER_LETTERS}"),
        ).ddl_if(dialect="postgresql"),
        Index("ix_tasks_project_id_state", "project_id", "state", "created_at", "id", **IN_PROJECT),
        Index(
            "ix_tasks_project_id_status",
            *("project_id", "status", "created_at", "id", "completed_at"),
            **IN_PROJECT,
        ),
        Index(
            "ix_tasks_project_id_blocked",
            *("project_id", "created_at", "id"),
            **where("project_id IS NOT NULL AND blocked_at IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(RowId, Identity(), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="RESTRICT"), type_=BigInteger)
    title: Mapped[str] = mapped_column(String(TITLE_LENGTH))
    # The title as searches and sorting use it (see `storage.folding.fold`), in the order of code points on
    # both databases.
    title_folded: Mapped[str] = mapped_column(Text().with_variant(Text(collation="C"), "postgresql"))
    description: Mapped[str | None] = mapped_column(Text)
    # The description as filters search it; NULL if it equals the description with its ASCII letters lowered.
    description_folded: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(11), default="pending")
    priority: Mapped[int] = mapped_column(SmallInteger, default=0)
    project: Mapped[str] = mapped_column(
        String(PROJECT_LENGTH).with_variant(String(PROJECT_LENGTH, collation="C"), "postgresql"),
        default="General",
    )
    tags: Mapped[list[str]] = mapped_column(JsonText, default=list)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    completed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # The number of changes, from which the ETag is made.
    version: Mapped[int] = mapped_column(BigInteger, default=1)
    # The shared project that the task belongs to; a task without one is its owner's alone.
    project_id: Mapped[int | None] = mapped_column(
        ForeignKey("projects.id", ondelete="RESTRICT"), type_=BigInteger
    )
    # The key of one of the project's states; the state of a private task is its status, and NULL here.
    state: Mapped[str | None] = mapped_column(String(STATE_KEY_LENGTH))
    blocked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    blocked_reason: Mapped[str | None] = mapped_column(String(BLOCKED_REASON_LENGTH))


class TaskTag(Base):
    """A copy of each tag of each task, in the order of lists by tag, maintained by triggers on `tasks`."""

    __tablename__ = "task_tags"
    __table_args__ = (
        Index("ix_task_tags_task_id", "task_id"),
        Index("ix_task_tags_tag", "tag", "created_at", "task_id"),
        Index(
            "ix_task_tags_project_id",
            *("project_id", "tag", "created_at", "task_id"),
            **where("project_id IS NOT NULL"),
        ),
        {"sqlite_with_rowid": False},
    )

    user_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tag: Mapped[str] = mapped_column(
        String(TAG_LENGTH).with_variant(String(TAG_LENGTH, collation="C"), "postgresql"), primary_key=True
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    task_id: Mapped[int] = mapped_column(
        ForeignKey("tasks.id", ondelete="CASCADE"), type_=BigInteger, primary_key=True
    )
    project_id: Mapped[int | None] = mapped_column(BigInteger)


for _event in ("before_insert", "before_update"):
    event.listen(Task, _event, complete_task)
    event.listen(User, _event, complete_user)

# These indexes find the periods of creation of tasks that are due, or were completed, in a range of time.
for _column in (Task.due_at, Task.completed_at):
    Index(
        f"ix_tasks_user_id_period_{_column.key}",
        *(Task.user_id, Period(Task.created_at), _column),
        **where(f"{_column.key} IS NOT NULL"),
    ).ddl_if(dialect="sqlite")
# The duration of each task, for finding the median.
Index(
    "ix_tasks_user_id_duration",
    *(Task.user_id, MicrosecondsBetween(Task.created_at, Task.completed_at)),
    *(Task.completed_at, Task.created_at),
    **where("completed_at IS NOT NULL"),
)


def table_of(model: type[Base]) -> Table:
    """The table as SQLAlchemy Core sees it: services select columns, which costs half of loading objects."""
    assert isinstance(model.__table__, Table)
    return model.__table__


users = table_of(User)
tasks = table_of(Task)
task_tags = table_of(TaskTag)


class Caller(NamedTuple):
    """The account that makes a request, as far as requests need it."""

    id: int
    username: str
    email: str
    is_active: bool
    role: str
    created_at: datetime
    # The session that the request's token belongs to, if any.
    session_id: int | None = None
    # See `User.credentials_version`.
    credentials_version: int = 0
    # The scopes of a program's token; None after a login, which allows all that the account may do.
    scopes: tuple[str, ...] | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "admin"
