"""The sight of a stream: the events that it shows, kept up to date by the events, without any queries."""

from typing import Any

from sqlalchemy.orm import Session

from database import AnyRow
from models import Caller
from services.events import sight
from services.events.feed import Question

Key = tuple[str, int]
EVERYTHING: Key = ("everything", 0)
# The kinds of events by which an account becomes a member of a project.
BEGINS = ("member_added", "project_created")


class StreamSight:
    """The keys of the events that a stream sees: its account, and the projects that it is a member of."""

    def __init__(self, user_id: int, keys: set[Key], *, follows_memberships: bool) -> None:
        self._user_id, self.keys = user_id, keys
        self._follows = follows_memberships

    def is_changed_by(self, row: AnyRow) -> bool:
        """Whether this event begins or ends a membership of the account."""
        return self._follows and (
            (row.kind in BEGINS and row.owner_id == self._user_id)
            or (row.kind == "member_removed" and row.previous_owner_id == self._user_id)
        )

    def is_of(self, project_id: int | None, row: AnyRow) -> bool:
        """Whether a stream of this project shows the event, as pages do: to members, and not by way of another project."""
        return (
            project_id is None
            or not self.keys.isdisjoint((EVERYTHING, ("project", project_id)))
            or self.is_changed_by(row)
        )

    def change(self, row: AnyRow) -> None:
        """Add or remove the key of the project whose membership the event begins or ends."""
        key = ("project", row.project_id)
        if row.kind in BEGINS:
            self.keys.add(key)
        else:
            self.keys.discard(key)


def keys_of(row: AnyRow) -> list[Key]:
    """The keys of an event: a stream sees the event if it has any of them."""
    accounts = {row.owner_id, row.previous_owner_id} - {None}
    projects = {row.project_id, row.previous_project_id} - {None}
    return [
        EVERYTHING,
        *(("account", each) for each in accounts),
        *(("project", each) for each in projects),
    ]


def sight_at(db: Session, user: Caller, question: Question, position: int) -> StreamSight:
    """The sight of an account after this position, for a question that it may ask."""
    if question.takes_an_admin(user):
        return StreamSight(user.id, {EVERYTHING}, follows_memberships=False)
    now = position + 1
    projects = {part.value for part in sight.memberships(db, user.id) if part.after < now <= part.until}
    keys: set[Any] = {("account", user.id), *(("project", project_id) for project_id in projects)}
    return StreamSight(user.id, keys, follows_memberships=True)
