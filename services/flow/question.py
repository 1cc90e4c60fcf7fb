"""Questions about the flow of work: whose tasks, by which filters and in which period."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from config import settings
from errors import invalid_at, user_not_found
from models import Caller, users
from schemas.common import zone_named
from schemas.flow import FlowQuery
from security.callers import require_admin
from services import rights, used_rights
from services.flow import periods
from services.flow.periods import Period
from services.query import asking
from services.query.facts import Normal
from services.query.shapes import Place
from storage.column_types import microseconds, moment, rfc3339

_USER = select(users.c.id).where(users.c.id == bindparam("user_id"))


class Selection(NamedTuple):
    """The owner or the project whose tasks are asked about (without either, everybody's tasks), and the filters."""

    owner_id: int | None
    project: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    priority: tuple[int, ...] = ()
    # The filter of the query, if any.
    asked: Normal | None = None
    # The project whose tasks of all owners are asked about; the owner is then None.
    project_id: int | None = None

    @property
    def place(self) -> Place:
        return Place(self.owner_id, self.project_id)

    def unfiltered(self) -> "Selection":
        """The same owner or project without filters."""
        return Selection(self.owner_id, project_id=self.project_id)

    def filters(self) -> dict[str, tuple[Any, ...]]:
        """The given filters, by their names in lists of tasks; any of the values matches."""
        given = {"project": self.project, "tag": self.tag, "priority": self.priority}
        return {name: values for name, values in given.items() if values}


@dataclass(frozen=True, slots=True)
class Question:
    """A question that its caller may ask, at a moment."""

    selection: Selection
    period: Period
    as_of: int
    # The path of the list that has the tasks behind the answer, and the parameter that chooses their owner or project.
    path: str
    whose: dict[str, int]
    # The parameters of the filter, for the same list.
    asked: tuple[tuple[str, Any], ...] = ()

    @property
    def now_or_end(self) -> int:
        """The end of the period or, if it lies in the future, the moment after now."""
        return min(self.period.end, self.as_of + 1)

    def link(self, *statuses: str, **times: int) -> str:
        """The address of the list of the tasks with any of the statuses, within the times."""
        query: list[tuple[str, Any]] = [*self.whose.items()]
        query += [(name, value) for name, values in self.selection.filters().items() for value in values]
        query += [*self.asked, *(("status", status) for status in statuses)]
        query += [(name, rfc3339(moment(at))) for name, at in times.items()]
        return f"{settings.root}{self.path}" + (f"?{urlencode(query)}" if query else "")


def ask(db: Session, caller: Caller, query: FlowQuery) -> Question:
    """Make the question of a caller; raises Forbidden, NotFound, InvalidInput."""
    found = asking.read(db, caller, query.filter, query.view, query.tz)
    project_id, found = found.placed(query.project_id)
    query = query.model_copy(update={"project_id": project_id})
    owner_id, path, whose = _whose_tasks(db, caller, query)
    as_of = microseconds(datetime.now(UTC))
    period = periods.period(query.from_, query.to, zone_named(query.tz), as_of)
    selection = Selection(
        owner_id,
        tuple(sorted(query.project)),
        tuple(sorted(query.tag)),
        tuple(sorted(query.priority)),
        asked=found.normal,
        project_id=project_id,
    )
    if found.normal is None:
        return Question(selection, period, as_of, path, whose)
    asked = {"filter": query.filter, "view": query.view, "tz": query.tz}
    given = tuple((name, value) for name, value in asked.items() if value is not None)
    return Question(selection, period, as_of, path, whose, given)


def _whose_tasks(db: Session, caller: Caller, query: FlowQuery) -> tuple[int | None, str, dict[str, int]]:
    """The owner whose tasks are asked about, and the path and the parameter of the list that has these.

    The owner is None for a project, and for everybody. Raises Forbidden, NotFound, InvalidInput.
    """
    if query.project_id is not None:
        return None, "/tasks", _project(db, caller, query)
    if query.scope != "all" and query.user_id in (None, caller.id):
        return caller.id, "/tasks", {}
    require_admin(caller)
    used_rights.note(db, "figures", None, "see")
    if query.scope == "all":
        if query.user_id is not None:
            raise invalid_at("?user_id", "Names one user: leave it out with `scope=all`")
        return None, "/tasks/all", {}
    assert query.user_id is not None
    if db.execute(_USER, {"user_id": query.user_id}).first() is None:
        raise user_not_found()
    return query.user_id, "/tasks/admin/filter", {"user_id": query.user_id}


def _project(db: Session, caller: Caller, query: FlowQuery) -> dict[str, int]:
    """The parameter that chooses the project in a list of tasks; raises NotFound, InvalidInput."""
    assert query.project_id is not None
    rights.role_in(db, caller, query.project_id)
    used_rights.note(db, "project", query.project_id, "see")
    for name, is_given in (("user_id", query.user_id is not None), ("scope", query.scope == "all")):
        if is_given:
            detail = "A project's figures cover all its members' tasks: leave it out with `project_id`"
            raise invalid_at(f"?{name}", detail)
    return {"project_id": query.project_id}
