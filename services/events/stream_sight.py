"""What a stream sees, kept up to date by the events themselves, so that no event costs a query for each stream."""

from typing import Any

from sqlalchemy.orm import Session

from database import AnyRow
from errors import Forbidden
from models import Caller
from services.events import sight
from services.events.feed import Question

Key = tuple[str, int]
EVERYTHING: Key = ("everything", 0)
# By these events somebody becomes a member of a project.
BEGINS = ("member_added", "project_created")


class StreamSight:
    """The keys by which a stream finds what it sees: its account, and the projects that it is a member of now."""

    def __init__(self, user_id: int, keys: set[Key], *, follows_memberships: bool) -> None:
        self._user_id, self.keys = user_id, keys
        self._follows = follows_memberships

    def is_changed_by(self, row: AnyRow) -> bool:
        """Whether the account becomes a member of a project by this event, or ceases to be one."""
        return self._follows and (
            (row.kind in BEGINS and row.owner_id == self._user_id)
            or (row.kind == "member_removed" and row.previous_owner_id == self._user_id)
        )

    def change(self, row: AnyRow) -> None:
        """See what the event makes visible, or no longer."""
        key = ("project", row.project_id)
        if row.kind in BEGINS:
            self.keys.add(key)
        else:
            self.keys.discard(key)


def sight_at(db: Session, user: Caller, question: Question, position: int) -> StreamSight:
    """What the account sees behind this position; raises Forbidden."""
    if question.everybodys and not user.is_admin:
        raise Forbidden("Admin access required", code="admin_required")
    if question.everybodys or (
        user.is_admin and (question.project_id is not None or question.task_id is not None)
    ):
        return StreamSight(user.id, {EVERYTHING}, follows_memberships=False)
    now = position + 1
    projects = {part.value for part in sight.memberships(db, user.id) if part.after < now <= part.until}
    keys: set[Any] = {("account", user.id), *(("project", project_id) for project_id in projects)}
    return StreamSight(user.id, keys, follows_memberships=True)
