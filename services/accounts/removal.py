"""Deleting an account: its tasks are given away or deleted, and the history loses the texts of what does not stay."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Text,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    insert,
    literal,
    null,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, user_not_found
from models import LARGEST_ID, Caller, tasks, users
from services import idempotency
from services.accounts import audit as audit_service
from services.bulk_numbers import in_bulk, read_numbers
from services.portions import Portions, Unfinished
from services.projects import leaving, member
from services.tasks import bulk, history, many
from services.tasks.fields import TEXTS
from services.tasks.unit_of_work import task_row
from storage.column_types import UtcDateTime, Written, is_among
from tables.history import COMMENT_KINDS, MAYBE_RARE, MEMBER_KINDS, PROJECT_KINDS, task_history
from tables.projects import projects, task_comments

CHUNK = 500
# The texts of projects and comments, beside those of tasks.
MORE_TEXTS = ("name", "text")
# Stands for the end of a portion without tasks, because ids begin with 1.
NO_TASKS = 0

_ADMINS = (
    select(users.c.id)
    .where(users.c.role == "admin", users.c.is_active)
    .order_by(users.c.id)
    # Rows that refer to an admin can be written meanwhile.
    .with_for_update(key_share=True)
)
# No task, comment or membership of the account can be made while it is locked, because these refer to it.
_LOCK = select(users.c.id).where(users.c.id == bindparam("user_id")).with_for_update()
# The tasks of the account up to this id, which are a portion of them or all.
_THEIRS = (tasks.c.user_id == bindparam("of_user"), tasks.c.id <= bindparam("up_to"))
_LOCK_TASKS = select(
    func.count(select(tasks.c.id).where(*_THEIRS).order_by(tasks.c.id).with_for_update().subquery().c.id)
)
_COUNT = select(func.count()).where(*_THEIRS)
_HEIR = select(users.c.id).where(users.c.id == bindparam("user_id"), users.c.is_active)
_END_OF_PORTION = (
    select(tasks.c.id)
    .where(tasks.c.user_id == bindparam("of_user"))
    .order_by(tasks.c.id)
    .limit(1)
    .offset(bindparam("offset"))
)
_LAST_ENTRY = select(func.max(task_history.c.id))
_MOVE = (
    update(tasks)
    .where(*_THEIRS)
    .values(
        user_id=bindparam("heir"),
        updated_at=many.later(tasks.c.updated_at, bindparam("now", type_=UtcDateTime())),
        version=tasks.c.version + 1,
    )
)
_DELETE_TASKS = delete(tasks).where(*_THEIRS)
_DELETE_USER = delete(users).where(users.c.id == bindparam("of_user"))
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
_BY_THEM_THERE = and_(
    _BY_THEM, task_history.c.id > bindparam("after_id"), task_history.c.id <= bindparam("until_id")
)
_OF_THEIR_TASKS = task_history.c.task_id.in_(select(tasks.c.id).where(*_THEIRS))
# The texts of a project that stays belong to its members.
_IS_KEPT = and_(
    task_history.c.kind.in_(PROJECT_KINDS), exists().where(projects.c.id == task_history.c.project_id)
)
_HAS_SUBJECT = and_(
    task_history.c.kind.in_((*COMMENT_KINDS, *PROJECT_KINDS, *MEMBER_KINDS)),
    # SQLite finds these rows by an index that has this condition.
    text(MAYBE_RARE),
)


_EMPTIED = (*sorted(TEXTS), *MORE_TEXTS)
_NO_TEXT = '{"from":null,"to":null}'
# `json_replace` leaves out the fields that did not change.
_EMPTIED_ON_SQLITE = ", ".join(f"'$.{name}', json('{_NO_TEXT}')" for name in _EMPTIED)
_EMPTIED_ON_POSTGRES = f"CASE WHEN key IN ({', '.join(map(repr, _EMPTIED))}) THEN '{_NO_TEXT}' ELSE value END"


class _WithoutTexts(Written[dict[str, Any]]):
    """SQL: the changes in a row of history, with nulls in place of texts."""

    type = task_history.c.changes.type
    inherit_cache = True
    name = "without_texts"
    on_sqlite = f"json_replace({{0}}, {_EMPTIED_ON_SQLITE})"
    on_postgres = (
        f"(SELECT coalesce(json_object_agg(key, {_EMPTIED_ON_POSTGRES}), '{{}}') FROM json_each({{0}}))"
    )


class _Forgetting:
    """The statements that find and empty rows of history with texts of an account, or of its tasks."""

    def __init__(self, concerned: Any, *, with_tasks: bool) -> None:
        has_texts = and_(concerned, ~_IS_KEPT)
        without = _WithoutTexts(task_history.c.changes)
        # A row without texts is not written again: on Postgres this takes as long as a new row.
        differs = or_(
            task_history.c.snapshot.is_not(None), _unspaced(task_history.c.changes) != _unspaced(without)
        )
        self.empty = update(task_history).where(has_texts, differs).values(changes=without, snapshot=null())
        self.with_subjects = in_bulk(select(task_history.c.id).where(_HAS_SUBJECT, has_texts))
        # A comment that stays keeps its present text.
        stays = (
            select(task_comments.c.text)
            .join(tasks, tasks.c.id == task_comments.c.task_id)
            .where(task_comments.c.id == cast(task_history.c.subject["id"].as_string(), BigInteger))
        )
        if with_tasks:
            stays = stays.where(tasks.c.user_id != bindparam("user_id"))
        comment = case(
            (task_history.c.kind.in_(COMMENT_KINDS), stays.correlate(task_history).scalar_subquery())
        )
        self.subjects = select(task_history.c.id, task_history.c.subject, comment.label("comment")).where(
            is_among(task_history.c.id, "ids")
        )


def _unspaced(changes: Any) -> Any:
    """The text of changes without spaces, which differ between what the program and what Postgres wrote."""
    return func.replace(cast(changes, Text), " ", "")


_OF_TASKS = _Forgetting(_OF_THEIR_TASKS, with_tasks=True)
_OF_PERSON = {with_tasks: _Forgetting(_BY_THEM_THERE, with_tasks=with_tasks) for with_tasks in (False, True)}


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


def delete_account(
    db: Session, actor: Caller, account: AnyRow | Caller, heir_id: int | None, portions: Portions
) -> set[int]:
    """Delete an account, and its tasks unless they go to `heir_id`.

    Returns the other accounts whose tasks changed. The account's tasks in shared projects stay there. Raises
    Conflict, NotFound, Unfinished.
    """
    keep_an_admin(db, account.id)
    user_id, now = account.id, datetime.now(UTC)
    up_to = _end_of_portion(db, actor, user_id, heir_id, portions)
    is_last = up_to == LARGEST_ID
    _lock(db, user_id, up_to)
    if heir_id is not None and (
        heir_id == user_id or db.execute(_HEIR, {"user_id": heir_id}).first() is None
    ):
        raise user_not_found()
    # This comes before the tasks in all portions: if it refuses the removal, no task has been touched.
    changed = leaving.leave(db, actor, user_id, heir_id, now, None if is_last else portions)
    forgotten = portions.forgotten
    if not is_last:
        portions.owners |= changed
        if up_to == NO_TASKS:
            _forget_person(db, user_id, forgotten, forgotten + portions.rows, with_tasks=heir_id is None)
            raise Unfinished(forgotten=portions.rows)
        raise Unfinished(removed=_take_tasks(db, actor, user_id, heir_id, now, up_to))
    _forget_person(db, user_id, forgotten, LARGEST_ID, with_tasks=heir_id is None)
    moved = _take_tasks(db, actor, user_id, heir_id, now, LARGEST_ID)
    idempotency.forget_account(db, user_id)
    member.pass_on_webhooks(db, now, user_id)
    db.execute(_DELETE_USER, {"of_user": user_id})
    audit_service.record(
        db,
        "user_deleted",
        actor_id=actor.id,
        user_id=user_id,
        tasks=moved + portions.removed,
        transfer_to=heir_id,
    )
    return (changed | portions.owners) - {user_id}


def _end_of_portion(db: Session, actor: Caller, user_id: int, heir_id: int | None, portions: Portions) -> int:
    """The id of the task with which the next portion ends: `LARGEST_ID` in the last one.

    Once few tasks are left, portions of the history follow, in which the account's texts are looked for: `NO_TASKS`.
    """
    if heir_id is not None and actor.id == user_id:
        # An admin's own tasks go to the heir with their texts: only what came before is to be forgotten.
        return LARGEST_ID
    asked = {"of_user": user_id, "offset": portions.tasks - 1}
    end: int | None = db.execute(_END_OF_PORTION, asked).scalar()
    if end is not None:
        return end
    # The last portion has the newest rows. On Postgres a row may come to sight later than rows with greater ids.
    ahead = (db.execute(_LAST_ENTRY).scalar() or 0) - portions.forgotten
    return NO_TASKS if ahead > 2 * portions.rows else LARGEST_ID


def _take_tasks(
    db: Session, actor: Caller, user_id: int, heir_id: int | None, now: datetime, up_to: int
) -> int:
    """Delete an account's tasks up to this id, or give them to the heir; returns their number."""
    theirs = {"of_user": user_id, "up_to": up_to}
    if heir_id is not None:
        _write_assignments(db, actor, user_id, heir_id, now, up_to)
        taken = db.execute(_MOVE, {**theirs, "heir": heir_id, "now": now})
    else:
        _forget(db, user_id, _OF_TASKS, theirs)
        _write_deletions(db, actor, user_id, now, up_to)
        taken = db.execute(_DELETE_TASKS, theirs)
    return int(taken.rowcount)  # type: ignore[attr-defined]


def _lock(db: Session, user_id: int, up_to: int) -> None:
    """Lock an account with its projects and its tasks up to this id, so that no one writes about them; raises NotFound.

    Others lock a project, then a task, and then write a row that refers to the account. They and this would wait for each
    other if the account were locked before one of its projects or tasks.
    """
    asked = {"of_user": user_id, "up_to": up_to}
    while True:
        projects, number = member.projects_of(db, user_id), db.execute(_LOCK_TASKS, asked).scalar()
        with db.begin_nested() as savepoint:
            if db.execute(_LOCK, {"user_id": user_id}).first() is None:
                raise user_not_found()
            # No one can take away what is locked, so the same number means the same tasks.
            if (projects, number) == (member.project_ids(db, user_id), db.execute(_COUNT, asked).scalar()):
                return
            # The account has got more meanwhile. This unlocks it.
            savepoint.rollback()


def _write_assignments(
    db: Session, actor: Caller, user_id: int, heir_id: int, now: datetime, up_to: int
) -> None:
    """Write that each task goes to the heir, who is notified, many at once: there may be a hundred thousand."""
    for before in many.in_chunks(db, tasks.c.user_id == user_id, tasks.c.id <= up_to):
        after = [task._replace(user_id=heir_id, updated_at=max(now, task.updated_at)) for task in before]
        many.notify_many(db, actor, now, "assigned", after)
        entries = [
            history.task_entry(actor, now, "assigned", old, new, only=("user_id",))
            for old, new in zip(before, after, strict=True)
        ]
        bulk.insert_many(db, task_history, entries)


def _write_deletions(db: Session, actor: Caller, user_id: int, now: datetime, up_to: int) -> None:
    """Write that each task is deleted, by one statement: the rows differ in a few columns alone."""
    task = task_row({"user_id": user_id, "status": None})
    entry = history.task_entry(actor, now, "deleted", task, None, only=("user_id",))
    # No snapshot is kept, because the texts are to be forgotten with the account.
    entry["snapshot"] = None
    columns = {name: literal(value, task_history.c[name].type) for name, value in entry.items()} | {
        "task_id": tasks.c.id,
        "previous_status": tasks.c.status,
        "previous_project_id": tasks.c.project_id,
        "previous_state": tasks.c.state,
    }
    theirs = (tasks.c.user_id == user_id, tasks.c.id <= up_to)
    rows = select(*columns.values()).where(*theirs).order_by(tasks.c.id)
    db.execute(insert(task_history).from_select([*columns], rows))


def _forget_person(db: Session, user_id: int, after_id: int, until_id: int, *, with_tasks: bool) -> None:
    """Remove the texts from the history of a person's changes, behind one id and up to another."""
    _forget(db, user_id, _OF_PERSON[with_tasks], {"after_id": after_id, "until_id": until_id})


def _forget(db: Session, user_id: int, statements: _Forgetting, where: dict[str, int]) -> None:
    asked = {"user_id": user_id, **where}
    db.execute(statements.empty, asked)
    ids = sorted(read_numbers(db, statements.with_subjects, asked)[0].tolist())
    for place in range(0, len(ids), CHUNK):
        rows = db.execute(statements.subjects, {"user_id": user_id, "ids": ids[place : place + CHUNK]})
        subjects = [
            {"id": row.id, "subject": _without_person(row.subject, user_id, row.comment)} for row in rows
        ]
        bulk.update_many(db, task_history, ("subject",), subjects)


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
