"""The members of a project: adding them, changing their roles, removing them, and handing over their tasks.

Every change locks the project first. So the second of two changes at once sees the first, and a project that
has members keeps a manager.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import and_, bindparam, case, delete, exists, insert, or_, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Conflict, user_not_found
from models import Caller, tasks, users
from schemas.common import Page
from schemas.projects import MemberRead
from services import preconditions, rights
from services.paging import PageOf, check_cursor, decode_cursor, encode_cursor, first_of, invalid_cursor
from services.portions import Portions
from services.tasks import history, many
from services.used_rights import Action
from storage.column_types import microseconds, moment, rfc3339
from storage.prepared import prepared
from tables.notifications import notifications
from tables.projects import project_members, projects
from tables.webhooks import webhooks

READ_ONLY = ("user_id", "username", "added_at")
_M = project_members.c
_COLUMNS = tuple(users.c.username if name == "username" else _M[name] for name in MemberRead.model_fields)
_WITH_NAMES = select(*_COLUMNS, users.c.is_active).join_from(project_members, users, users.c.id == _M.user_id)
_HERE = _WITH_NAMES.where(_M.project_id == bindparam("project_id"))
_PAGE = _HERE.order_by(_M.added_at.desc(), _M.user_id.desc()).limit(bindparam("limit"))
_NEXT_PAGE = _PAGE.where(
    or_(
        _M.added_at < bindparam("after_time"),
        and_(_M.added_at == bindparam("after_time"), _M.user_id < bindparam("after_id")),
    )
)
_MEMBER = prepared(_HERE.where(_M.user_id == bindparam("member_id")))
_MANAGERS = prepared(_HERE.where(_M.role == "manager", users.c.is_active).order_by(_M.added_at, _M.user_id))
# Finds a member who may own tasks: no viewer, and no account that is switched off.
_WORKER = prepared(
    select(_M.user_id)
    .join_from(project_members, users, users.c.id == _M.user_id)
    .where(
        _M.project_id == bindparam("project_id"),
        _M.user_id == bindparam("member_id"),
        _M.role != "viewer",
        users.c.is_active,
    )
)
_ACTIVE = select(users.c.id, users.c.username).where(users.c.id == bindparam("user_id"), users.c.is_active)
_ROW = and_(_M.project_id == bindparam("of_project"), _M.user_id == bindparam("of_user"))
_INSERT = insert(project_members)
_SET_ROLE = update(project_members).where(_ROW)
_DELETE = delete(project_members).where(_ROW)
_LONGEST_MANAGER = (
    select(_M.user_id)
    .join_from(project_members, users, users.c.id == _M.user_id)
    .where(
        _M.project_id == webhooks.c.project_id,
        _M.role == "manager",
        _M.user_id != bindparam("of_user"),
        users.c.is_active,
    )
    .order_by(_M.added_at, _M.user_id)
    .limit(1)
    .correlate(webhooks)
)
_PASS_ON = (
    update(webhooks)
    .where(
        webhooks.c.user_id == bindparam("of_user"),
        webhooks.c.project_id.is_not(None),
        _LONGEST_MANAGER.exists(),
    )
    .values(
        user_id=_LONGEST_MANAGER.scalar_subquery(),
        version=webhooks.c.version + 1,
        updated_at=bindparam("now"),
    )
)
_PASS_ON_HERE = _PASS_ON.where(webhooks.c.project_id == bindparam("of_project"))
_PASS_ON_UNMANAGED = _PASS_ON.where(
    ~exists().where(
        _M.project_id == webhooks.c.project_id, _M.user_id == bindparam("of_user"), _M.role == "manager"
    )
)
_OWNS = prepared(
    select(tasks.c.id)
    .where(tasks.c.project_id == bindparam("project_id"), tasks.c.user_id == bindparam("member_id"))
    .limit(1)
)


def list_members(db: Session, caller: Caller, project_id: int, page: Page) -> PageOf[AnyRow]:
    """A page of a project's members, the newest first; raises NotFound."""
    rights.role_in(db, caller, project_id)
    check_cursor(page)
    statement = _PAGE
    asked: dict[str, Any] = {"project_id": project_id, "limit": page.limit + 1}
    if page.cursor is not None:
        after_time, after_id = decode_cursor(page.cursor, int, int)
        try:
            asked |= {"after_time": moment(after_time), "after_id": after_id}
        except OverflowError:
            raise invalid_cursor() from None
        statement = _NEXT_PAGE
    rows = db.execute(statement.offset(page.skip), asked).all()
    return first_of(rows, page.limit, lambda last: encode_cursor(microseconds(last.added_at), last.user_id))


def can_own(db: Session, project_id: int, user_id: int) -> bool:
    """Whether an account may own tasks in a project."""
    return db.execute(_WORKER, {"project_id": project_id, "member_id": user_id}).first() is not None


def _find(db: Session, project_id: int, user_id: int) -> AnyRow | None:
    return db.execute(_MEMBER, {"project_id": project_id, "member_id": user_id}).first()


def _subject(member: Any) -> dict[str, Any]:
    return {
        "user_id": member.user_id,
        "username": member.username,
        "role": member.role,
        "added_at": rfc3339(member.added_at),
    }


def put_member(
    db: Session,
    caller: Caller,
    project_id: int,
    user_id: int,
    role: str,
    transfer_to: int | None = None,
    sent: Mapping[str, Any] | None = None,
    portions: Portions | None = None,
) -> tuple[AnyRow, set[int]]:
    """Add a member, or change the role; returns the member, and the accounts whose tasks changed.

    `sent` has the read-only fields that came with the role. Raises NotFound, Forbidden, Conflict, InvalidInput,
    Unfinished.
    """
    project, now = rights.lock_settings(db, caller, project_id), datetime.now(UTC)
    before = _find(db, project_id, user_id)
    account = db.execute(_ACTIVE, {"user_id": user_id}).first()
    if account is None:
        raise user_not_found()
    now_is = {"user_id": user_id, "username": account.username, "added_at": before and before.added_at}
    preconditions.require_unchanged(now_is, sent or {}, READ_ONLY)
    changed: set[int] = set()
    if before is not None and before.role == role:
        return before, changed
    if before is not None:
        if before.role == "manager":
            _keep_a_manager(db, project_id, user_id)
        if role == "viewer":
            changed = _hand_over(db, caller, now, project_id, user_id, transfer_to, portions)
    member = _set_role(db, caller, now, project_id, user_id, before, role)
    if before is not None and before.role == "manager":
        pass_on_webhooks(db, now, user_id, project_id)
    if before is None and user_id != caller.id:
        about = {"project_id": project_id, "project_name": project.name}
        db.execute(
            insert(notifications), many.notification(caller, now, "added_to_project", user_id, **about)
        )
    return member, changed


def _set_role(
    db: Session, actor: Caller, now: datetime, project_id: int, user_id: int, before: AnyRow | None, role: str
) -> AnyRow:
    """Write the role of a member, or of an account that becomes one (`before` is None); returns the member."""
    if before is None:
        db.execute(_INSERT, {"project_id": project_id, "user_id": user_id, "role": role, "added_at": now})
    else:
        db.execute(_SET_ROLE.values(role=role), {"of_project": project_id, "of_user": user_id})
    member = _find(db, project_id, user_id)
    assert member is not None
    kind = "member_added" if before is None else "member_updated"
    changes = {"role": {"from": None if before is None else before.role, "to": role}}
    about = {"project_id": project_id, "member_id": user_id, "changes": changes}
    history.add_about(db, actor, now, kind, _subject(member), **about)
    return member


def remove_member(
    db: Session,
    caller: Caller,
    project_id: int,
    user_id: int,
    transfer_to: int | None = None,
    portions: Portions | None = None,
) -> set[int]:
    """Remove a member, which members may do for themselves; returns the accounts whose tasks changed.

    Raises NotFound, Forbidden, Conflict, Unfinished.
    """
    action: Action = "see" if user_id == caller.id else "manage"
    rights.lock_settings(db, caller, project_id, action)
    member = _find(db, project_id, user_id)
    if member is None:
        raise user_not_found()
    if member.role == "manager":
        _keep_a_manager(db, project_id, user_id)
    now = datetime.now(UTC)
    changed = _hand_over(db, caller, now, project_id, user_id, transfer_to, portions)
    drop(db, caller, now, project_id, user_id)
    return changed


def drop(db: Session, actor: Caller, now: datetime, project_id: int, user_id: int) -> None:
    """Remove a member who owns no more tasks, and the member's notifications about the project."""
    member = _find(db, project_id, user_id)
    assert member is not None
    db.execute(_DELETE, {"of_project": project_id, "of_user": member.user_id})
    pass_on_webhooks(db, now, user_id, project_id)
    of_project = select(tasks.c.id).where(tasks.c.project_id == project_id)
    db.execute(
        delete(notifications).where(
            notifications.c.user_id == member.user_id,
            or_(notifications.c.project_id == project_id, notifications.c.task_id.in_(of_project)),
        )
    )
    changes = {"role": {"from": member.role, "to": None}}
    about = {"project_id": project_id, "member_id": member.user_id, "changes": changes}
    history.add_about(db, actor, now, "member_removed", _subject(member), **about)


def pass_on_webhooks(db: Session, now: datetime, user_id: int, project_id: int | None = None) -> None:
    """Give the webhooks that an account made for a project, or for any, to the manager who has been there longest.

    The program mails the owner of a webhook, who would otherwise hear of a project without managing it.
    """
    if project_id is None:
        db.execute(_PASS_ON, {"of_user": user_id, "now": now})
    else:
        db.execute(_PASS_ON_HERE, {"of_user": user_id, "of_project": project_id, "now": now})


def pass_on_unmanaged_webhooks(db: Session, now: datetime, user_id: int) -> None:
    """Do the same for projects in which the account is no manager: as an admin it could make webhooks there too."""
    db.execute(_PASS_ON_UNMANAGED, {"of_user": user_id, "now": now})


def _keep_a_manager(db: Session, project_id: int, user_id: int) -> None:
    """Raise Conflict if this is the last active manager."""
    managers = [row.user_id for row in db.execute(_MANAGERS, {"project_id": project_id})]
    if not set(managers) - {user_id}:
        raise _last_manager()


def _last_manager() -> Conflict:
    return Conflict(
        "This is the last manager of the project: make another member a manager first", code="last_manager"
    )


def _hand_over(
    db: Session,
    actor: Caller,
    now: datetime,
    project_id: int,
    user_id: int,
    heir_id: int | None,
    portions: Portions | None,
) -> set[int]:
    """Give a member's tasks to another; returns accounts whose tasks changed; raises Conflict, NotFound."""
    if heir_id is not None and (heir_id == user_id or not can_own(db, project_id, heir_id)):
        raise user_not_found()
    if db.execute(_OWNS, {"project_id": project_id, "member_id": user_id}).first() is None:
        return set() if portions is None else portions.owners
    if heir_id is None:
        raise Conflict(
            "The member owns tasks in the project: name in `transfer_to` the member who gets them",
            code="member_has_tasks",
        )
    give(db, actor, now, project_id, user_id, heir_id, portions)
    return {user_id, heir_id}


def give(
    db: Session,
    actor: Caller,
    now: datetime,
    project_id: int,
    user_id: int,
    heir_id: int,
    portions: Portions | None = None,
) -> None:
    """Give all tasks that an account owns in a project to another account, and notify the new owner."""
    owned = (tasks.c.project_id == project_id, tasks.c.user_id == user_id)
    if portions is not None:
        portions.owners |= {user_id, heir_id}
    for rows in many.in_chunks(db, *owned, portions=portions):
        after = many.change_many(db, actor, now, rows, {"user_id": heir_id}, "assigned")
        many.notify_many(db, actor, now, "assigned", after)


# -- accounts that are switched off or deleted -----------------------------------------------------

_PROJECTS = select(_M.project_id).where(_M.user_id == bindparam("user_id")).order_by(_M.project_id)
_LOCK_PROJECTS = (
    select(projects.c.id)
    .where(projects.c.id.in_(_PROJECTS.order_by(None)))
    .order_by(projects.c.id)
    .with_for_update()
)
_OTHERS = (
    _HERE.where(_M.user_id != bindparam("member_id"), users.c.is_active)
    # Managers come first, then members, each in the order of their joining.
    .order_by(case((_M.role == "manager", 0), (_M.role == "member", 1), else_=2), _M.added_at, _M.user_id)
)

_ABSENT_MANAGERS = _HERE.where(
    _M.user_id != bindparam("member_id"), _M.role == "manager", ~users.c.is_active
).order_by(_M.added_at, _M.user_id)


def projects_of(db: Session, user_id: int) -> Sequence[int]:
    """The projects of an account, locked in the order of their ids."""
    locked = set(db.execute(_LOCK_PROJECTS, {"user_id": user_id}).scalars())
    # Others may have removed the account from some of them before the lock.
    return [each for each in project_ids(db, user_id) if each in locked]


def project_ids(db: Session, user_id: int) -> Sequence[int]:
    """The projects of an account in the order of their ids, as they are at this moment."""
    return db.execute(_PROJECTS, {"user_id": user_id}).scalars().all()


def step_down(
    db: Session,
    actor: Caller,
    now: datetime,
    project_id: int,
    user_id: int,
    heir_id: int | None,
    portions: Portions | None = None,
) -> set[int] | None:
    """Give a leaving account's tasks to `heir_id`, or to the manager who has been there longest, who gets its webhooks.

    Returns the accounts whose tasks changed, or None if the project has no other active member. Raises
    Conflict if others would be left without a manager.
    """
    workers = may_step_down(db, project_id, user_id)
    member = _find(db, project_id, user_id)
    if workers is not None and member is not None and member.role == "manager":
        pass_on_webhooks(db, now, user_id, project_id)
    if not workers:
        return None if workers is None else set()
    new_owner = heir_id if heir_id is not None and heir_id in workers else workers[0]
    give(db, actor, now, project_id, user_id, new_owner, portions)
    return {user_id, new_owner}


def may_step_down(db: Session, project_id: int, user_id: int) -> list[int] | None:
    """The members who may get the tasks of a leaving account, if it has any; the manager who should comes first.

    None if the project has no other active member. Raises Conflict if others would be left without a manager.
    """
    asked = {"project_id": project_id, "member_id": user_id}
    others = db.execute(_OTHERS, asked).all()
    if not others:
        return None
    member = _find(db, project_id, user_id)
    if member is not None and member.role == "manager":
        _keep_a_manager(db, project_id, user_id)
    owns = db.execute(_OWNS, asked).first() is not None
    workers = [row.user_id for row in others if owns and row.role != "viewer"]
    if owns and not workers:
        raise _last_manager()
    return workers


def leave_to_the_absent(
    db: Session, actor: Caller, now: datetime, project_id: int, user_id: int, portions: Portions | None
) -> set[int] | None:
    """Give the tasks of an account that is deleted to a manager who is switched off and may come back.

    Returns the accounts whose tasks changed, or None if the project has no such manager.
    """
    asked = {"project_id": project_id, "member_id": user_id}
    absent = db.execute(_ABSENT_MANAGERS, asked).first()
    if absent is None:
        return None
    if db.execute(_OWNS, asked).first() is None:
        return set()
    give(db, actor, now, project_id, user_id, absent.user_id, portions)
    return {user_id, absent.user_id}


def inherit(db: Session, actor: Caller, now: datetime, project_id: int, heir_id: int) -> None:
    """Make an account the manager of a project that has no other member."""
    _set_role(db, actor, now, project_id, heir_id, _find(db, project_id, heir_id), "manager")
