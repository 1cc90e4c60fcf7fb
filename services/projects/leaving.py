"""Handing over an account's projects, and its tasks in them, when it is switched off or deleted."""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.orm import Session

from models import Caller
from services.portions import Portions
from services.projects import member
from services.projects import project as project_service


def switch_off(
    db: Session, actor: Caller, user_id: int, heir_id: int | None, portions: Portions | None = None
) -> set[int]:
    """Hand over the tasks of an account that is switched off. It stays a member, because it may come back.

    Returns the accounts whose tasks changed. Raises Conflict if others would be left without a manager.
    """
    now, changed = datetime.now(UTC), set() if portions is None else portions.owners
    for project_id in _projects_to_leave(db, user_id):
        changed |= member.step_down(db, actor, now, project_id, user_id, heir_id, portions) or set()
    return changed


def _projects_to_leave(db: Session, user_id: int) -> Sequence[int]:
    """The projects of an account; raises Conflict if it may not leave one of them, before it has left another."""
    projects = member.projects_of(db, user_id)
    for project_id in projects:
        member.may_step_down(db, project_id, user_id)
    return projects


def leave(
    db: Session,
    actor: Caller,
    user_id: int,
    heir_id: int | None,
    now: datetime,
    portions: Portions | None = None,
) -> set[int]:
    """Take an account that is to be deleted out of its projects; returns the accounts whose tasks changed.

    A project without other active members stays with a manager who is switched off and may come back. If there is
    no such manager, the project goes to `heir_id`. Without an heir it is deleted, and its tasks become private
    tasks of their owners. Raises Conflict if others would be left without a manager.
    """
    changed: set[int] = set()
    for project_id in _projects_to_leave(db, user_id):
        given = member.step_down(db, actor, now, project_id, user_id, heir_id, portions)
        if given is None:
            given = member.leave_to_the_absent(db, actor, now, project_id, user_id, portions)
        if given is not None:
            changed |= given
            member.drop(db, actor, now, project_id, user_id)
        elif heir_id is not None:
            member.inherit(db, actor, now, project_id, heir_id)
            if portions is not None:
                # Otherwise the tasks would belong to somebody who is no member until their portion comes.
                member.give(db, actor, now, project_id, user_id, heir_id, portions)
            member.drop(db, actor, now, project_id, user_id)
        else:
            project = project_service.for_removal(db, actor, project_id)
            project_service.remove(db, actor, project, "release", portions)
    project_service.forget_maker(db, user_id, now)
    return changed
