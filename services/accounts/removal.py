"""Deleting an account: its tasks are given away or deleted, and the history keeps ids but no texts."""

from collections.abc import Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Select,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, NotFound
from models import Caller, tasks, users
from services import idempotency
from services.accounts import audit as audit_service
from services.projects import leaving, member
from services.tasks import bulk, history, many
from services.tasks.fields import TASK_COLUMNS, TEXTS
from storage.column_types import UtcDateTime
from tables.history import COMMENT_KINDS, MEMBER_KINDS, PROJECT_KINDS, task_history
from tables.projects import projects, task_comments

CHUNK = 500
# The texts of projects and comments, beside those of tasks.
MORE_TEXTS = ("name", "text")

_ADMINS = (
    select(users.c.id)
    .where(users.c.role == "admin", users.c.is_active)
    .order_by(users.c.id)
    # Rows that refer to an admin can be written meanwhile.
    .with_for_update(key_share=True)
)
# No task, comment or membership of the account can be made while it is locked, because these refer to it.
_LOCK = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()
_LOCK_TASKS = select(
    func.count(
        select(tasks.c.id)
        .where(tasks.c.user_id == bindparam("user_id"))
        .order_by(tasks.c.id)
        .with_for_update()
        .subquery()
        .c.id
    )
)
_COUNT = select(func.count()).where(tasks.c.user_id == bindparam("user_id"))
_HEIR = select(users.c.id).where(users.c.id == bindparam("user_id"), users.c.is_active)
_MOVE = (
    update(tasks)
    .where(tasks.c.user_id == bindparam("of_user"))
    .values(
        user_id=bindparam("heir"),
        updated_at=many.later(tasks.c.updated_at, bindparam("now", type_=UtcDateTime())),
        version=tasks.c.version + 1,
    )
)
_DELETE_TASKS = delete(tasks).where(tasks.c.user_id == bindparam("of_user"))
_DELETE_USER = delete(users).where(users.c.id == bindparam("of_user"))
_TASKS = (
    select(*TASK_COLUMNS)
    .where(tasks.c.user_id == bindparam("user_id"), tasks.c.id > bindparam("after_id"))
    .order_by(tasks.c.id)
    .limit(CHUNK)
)
_BY_THEM = or_(
    task_history.c.actor_id == bindparam("user_id"),
    # The account's tasks that others deleted.
    and_(task_history.c.previous_owner_id == bindparam("user_id"), task_history.c.kind == "deleted"),
    # Rows about the account's own memberships.
    and_(
        or_(
            task_history.c.owner_id == bindparam("user_id"),
            task_history.c.previous_owner_id == bindparam("user_id"),
        ),
        task_history.c.kind.in_(MEMBER_KINDS),
    ),
    # The account's comments and projects that others deleted; an admin deletes the projects with the account.
    *(
        and_(
            task_history.c.kind == kind,
            cast(task_history.c.subject[maker].as_string(), BigInteger) == bindparam("user_id"),
        )
        for kind, maker in (("comment_deleted", "author_id"), ("project_deleted", "created_by"))
    ),
)
_OF_THEIR_TASKS = task_history.c.task_id.in_(
    select(tasks.c.id).where(tasks.c.user_id == bindparam("user_id"))
)


def _written(*, with_tasks: bool) -> Select[Any]:
    """The next rows of history that may hold texts of the account, and of its tasks if they are deleted with it."""
    # A comment that stays keeps its present text.
    stays = (
        select(task_comments.c.text)
        .join(tasks, tasks.c.id == task_comments.c.task_id)
        .where(task_comments.c.id == cast(task_history.c.subject["id"].as_string(), BigInteger))
    )
    if with_tasks:
        stays = stays.where(tasks.c.user_id != bindparam("user_id"))
    return (
        select(
            task_history.c.id,
            task_history.c.changes,
            task_history.c.subject,
            # The texts of a project that stays belong to its members.
            and_(
                task_history.c.kind.in_(PROJECT_KINDS),
                exists().where(projects.c.id == task_history.c.project_id),
            ).label("is_kept"),
            case(
                (task_history.c.kind.in_(COMMENT_KINDS), stays.correlate(task_history).scalar_subquery())
            ).label("comment"),
        )
        .where(
            task_history.c.id > bindparam("after_id"),
            or_(_BY_THEM, _OF_THEIR_TASKS) if with_tasks else _BY_THEM,
        )
        .order_by(task_history.c.id)
        .limit(CHUNK)
    )


_WRITTEN, _WRITTEN_BY_THEM = _written(with_tasks=True), _written(with_tasks=False)
_SCRUBBED = ("changes", "subject", "snapshot")


def keep_an_admin(db: Session, user_id: int) -> None:
    """Raise Conflict if this is the last active admin; until the commit no other admin can lose that role.

    All admins are locked, always in the same order. If two admins demote each other at once, the second
    waits, and then sees the change of the first.
    """
    admins = list(db.execute(_ADMINS).scalars())
    if admins == [user_id]:
        raise Conflict(
            "This is the last active admin: make another account an admin first", code="last_admin"
        )


def delete_account(db: Session, actor: Caller, account: AnyRow | Caller, heir_id: int | None) -> set[int]:
    """Delete an account, and its tasks unless they go to `heir_id`.

    Returns the other accounts whose tasks changed. The account's tasks in shared projects stay there. Raises
    Conflict, NotFound.
    """
    keep_an_admin(db, account.id)
    user_id, now = account.id, datetime.now(UTC)
    _lock(db, user_id)
    if heir_id is not None and (
        heir_id == user_id or db.execute(_HEIR, {"user_id": heir_id}).first() is None
    ):
        raise NotFound("User not found", code="user_not_found")
    changed = leaving.leave(db, actor, user_id, heir_id, now)
    _forget_texts(db, user_id, with_tasks=heir_id is None)
    _write_history(db, actor, user_id, heir_id, now)
    if heir_id is not None:
        moved = db.execute(_MOVE, {"of_user": user_id, "heir": heir_id, "now": now})
    else:
        moved = db.execute(_DELETE_TASKS, {"of_user": user_id})
    idempotency.forget_account(db, user_id)
    member.pass_on_webhooks(db, now, user_id)
    db.execute(_DELETE_USER, {"of_user": user_id})
    audit_service.record(
        db,
        "user_deleted",
        actor_id=actor.id,
        user_id=user_id,
        tasks=moved.rowcount,  # type: ignore[attr-defined]
        transfer_to=heir_id,
    )
    return changed - {user_id}


def _lock(db: Session, user_id: int) -> None:
    """Lock an account with its projects and tasks, so that no one writes about them; raises NotFound.

    Others lock a project, then a task, and then write a row that refers to the account. They and this would wait for each
    other if the account were locked before one of its projects or tasks.
    """
    asked = {"user_id": user_id}
    while True:
        projects, number = member.projects_of(db, user_id), db.execute(_LOCK_TASKS, asked).scalar()
        with db.begin_nested() as savepoint:
            if db.execute(_LOCK, asked).first() is None:
                raise NotFound("User not found", code="user_not_found")
            # No one can take away what is locked, so the same number means the same tasks.
            if (projects, number) == (member.project_ids(db, user_id), db.execute(_COUNT, asked).scalar()):
                return
            # The account has got more meanwhile. This unlocks it.
            savepoint.rollback()


def _write_history(db: Session, actor: Caller, user_id: int, heir_id: int | None, now: datetime) -> None:
    """Write each task's last row of history, many at once: an account may have a hundred thousand tasks."""
    after_id = -1
    while before := db.execute(_TASKS, {"user_id": user_id, "after_id": after_id}).all():
        bulk.insert_many(db, task_history, [_entry(actor, now, task, heir_id) for task in before])
        after_id = before[-1].id


def _entry(actor: Caller, now: datetime, task: AnyRow, heir_id: int | None) -> dict[str, Any]:
    if heir_id is not None:
        changes = {"user_id": heir_id, "updated_at": max(now, task.updated_at)}
        after = SimpleNamespace(**task._asdict() | changes)
        return history.task_entry(actor, now, "assigned", task, after, only=("user_id",))
    # No snapshot is kept, because the texts are to be forgotten with the account.
    return history.task_entry(actor, now, "deleted", task, None, only=("user_id",)) | {"snapshot": None}


def _forget_texts(db: Session, user_id: int, *, with_tasks: bool) -> None:
    """Remove the texts from the history of a person's changes and of tasks that are deleted too."""
    for rows in _chunks(db, user_id, with_tasks=with_tasks):
        scrubbed = [
            {
                "id": row.id,
                "changes": _without_texts(row.changes),
                "subject": _without_person(row.subject, user_id, row.comment),
                "snapshot": None,
            }
            for row in rows
            if not row.is_kept
        ]
        if scrubbed:
            bulk.update_many(db, task_history, _SCRUBBED, scrubbed)


def _chunks(db: Session, user_id: int, *, with_tasks: bool) -> Iterator[list[AnyRow]]:
    after_id, statement = -1, _WRITTEN if with_tasks else _WRITTEN_BY_THEM
    while rows := list(db.execute(statement, {"user_id": user_id, "after_id": after_id}).all()):
        yield rows
        after_id = rows[-1].id


def _without_texts(changes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"from": None, "to": None} if name in TEXTS or name in MORE_TEXTS else change
        for name, change in changes.items()
    }


def _without_person(
    subject: dict[str, Any] | None, user_id: int, comment: str | None
) -> dict[str, Any] | None:
    """The subject of a row without the account's name, and without the texts of its comment or of a project.

    `comment` is the present text of a comment that stays.
    """
    if subject is None:
        return None
    nobodys = dict(subject)
    if subject.get("author_id") == user_id:
        nobodys |= {"author_id": None, "author": None, "text": comment}
    if "created_by" in subject:
        nobodys |= {"name": None, "description": None}
    if "username" in subject and subject.get("user_id") == user_id:
        nobodys["username"] = None
    return nobodys
