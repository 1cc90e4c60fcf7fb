"""The rights that a write uses, noted while it runs: a replay of its answer checks them again.

Only a write with an `Idempotency-Key` notes them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

from sqlalchemy.orm import Session

from errors import (
    Forbidden,
    NotFound,
    admin_required,
    project_not_found,
    task_not_found,
    view_not_found,
    webhook_not_found,
)

Action = Literal["see", "write", "delete", "take_out", "manage"]
# The things that a right is about; `figures` are those of other accounts. A caller who has lost the right is told
# that the thing does not exist, or that the figures are for admins.
Thing = Literal["task", "project", "webhook", "view", "figures"]

# The key under which a session keeps the rights that it has used.
_NOTED = "used_rights"


class Used(NamedTuple):
    """A right in a project or, without a project, an admin's right to what others have."""

    thing: Thing
    project_id: int | None
    action: Action

    def missing(self) -> NotFound | Forbidden:
        """The error for a caller who no longer sees the thing."""
        match self.thing:
            case "task":
                return task_not_found()
            case "project":
                return project_not_found()
            case "webhook":
                return webhook_not_found()
            case "view":
                return view_not_found()
            case "figures":
                return admin_required()


@contextmanager
def noting(db: Session) -> Iterator[list[Used]]:
    """Note the rights that are used within, in their order."""
    used: dict[Used, None] = {}
    noted: list[Used] = []
    db.info[_NOTED] = used
    try:
        yield noted
    finally:
        del db.info[_NOTED]
        noted.extend(used)


@contextmanager
def shared(db: Session, other: Session) -> Iterator[None]:
    """Note the rights too that another session uses for the same request."""
    used = db.info.get(_NOTED)
    if used is None or other is db:
        yield
        return
    other.info[_NOTED] = used
    try:
        yield
    finally:
        del other.info[_NOTED]


def note(db: Session, thing: Thing, project_id: int | None, action: Action) -> None:
    """Note a right that is used, if the session notes them."""
    used = db.info.get(_NOTED)
    if used is not None:
        used[Used(thing, project_id, action)] = None
