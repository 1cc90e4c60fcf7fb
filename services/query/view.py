"""Views: filters that were saved under a name, an account's own or a project's.

All members of a project find its views. Members who may write can make a view; its maker and the managers can
change it. A view is read with the rights of the caller who uses it, so that it shows no one more than they
see anyway.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, bindparam, delete, insert, or_, select, update
from sqlalchemy.orm import Session

from database import AnyRow
from errors import Forbidden, view_not_found
from models import Caller
from schemas.views import ViewFilters
from services import preconditions, rights, used_rights
from services.paging import PageOf, keyset_by_id
from services.projects import workflow
from services.query import syntax
from services.query.refusal import InvalidFilter, choice, met
from services.query.tree import Comparison, Node, Not
from services.used_rights import Action
from storage.prepared import prepared
from tables.projects import project_members
from tables.views import views

_COLUMNS = [column for column in views.c if column.name != "user_id"]
_CALLER = bindparam("caller_id", type_=BigInteger)
_ITS_ROLE = (
    select(project_members.c.role)
    .where(project_members.c.project_id == views.c.project_id, project_members.c.user_id == _CALLER)
    .scalar_subquery()
    .label("role")
)
_BY_ID = select(*_COLUMNS, views.c.user_id, _ITS_ROLE).where(views.c.id == bindparam("view_id"))
_ONE = prepared(_BY_ID)
_ONE_LOCKED = prepared(_BY_ID.with_for_update(of=views))
_IS_MINE = or_(
    views.c.user_id == _CALLER,
    views.c.project_id.in_(select(project_members.c.project_id).where(project_members.c.user_id == _CALLER)),
)
_MINE = select(*_COLUMNS).where(_IS_MINE)
# An admin sees every project, and finds here the views that it made for projects of others.
_ADMINS = select(*_COLUMNS).where(or_(_IS_MINE, views.c.created_by == _CALLER))
_OF_PROJECT = select(*_COLUMNS).where(views.c.project_id == bindparam("project_id", type_=BigInteger))
_INSERT = prepared(insert(views).returning(views.c.id))
_UPDATE = update(views).where(views.c.id == bindparam("of_view"))
_DELETE = prepared(delete(views).where(views.c.id == bindparam("of_view")))
# The keys of the states of projects, by the projects' ids.
States = Mapping[int, Sequence[str]]


_CHANGEABLE = ("name", "filter", "sort_by", "sort_order", "project_id")
_READ_ONLY = ("id", "created_by", "created_at", "updated_at", "problem")


class Saved(NamedTuple):
    """A view that the caller sees, with its filter parsed."""

    name: str
    text: str
    node: Node
    project_id: int | None
    sort_by: str | None
    sort_order: str | None


# -- reading ---------------------------------------------------------------------------------------


def _find(db: Session, caller: Caller, view_id: int, *, locked: bool = False) -> AnyRow:
    values = {"view_id": view_id, "caller_id": caller.id}
    row = db.execute(_ONE_LOCKED if locked else _ONE, values).first()
    if row is None:
        raise view_not_found()
    seen = row.user_id == caller.id if row.project_id is None else rights.sees(caller, row.role)
    if not seen:
        raise view_not_found()
    if row.project_id is not None:
        used_rights.note(db, "view", row.project_id, "see")
    return row


def use(db: Session, caller: Caller, view_id: int) -> Saved:
    """A view for use as a filter; raises NotFound, and InvalidFilter if it can't be read any more."""
    row = _find(db, caller, view_id)
    try:
        node = _read(row, _states_of(db, [row]))
    except InvalidFilter as error:
        raise error.at("?view") from None
    return Saved(row.name, row.filter, node, row.project_id, row.sort_by, row.sort_order)


def get_view(db: Session, caller: Caller, view_id: int) -> dict[str, Any]:
    """A view as the API answers it; raises NotFound."""
    row = _find(db, caller, view_id)
    return _answer(row, _states_of(db, [row]))


def list_views(db: Session, caller: Caller, filters: ViewFilters) -> PageOf[dict[str, Any]]:
    """A page of the views that the caller sees, or of a project's views; raises NotFound."""
    statement, values = _ADMINS if caller.is_admin else _MINE, {"caller_id": caller.id}
    if filters.project_id is not None:
        rights.role_in(db, caller, filters.project_id)
        statement, values = _OF_PROJECT, {"project_id": filters.project_id}
    page = keyset_by_id(db, statement, views.c.id, filters, values)
    states = _states_of(db, page.rows)
    # A project that was deleted meanwhile has no states, and took its views along.
    there = [row for row in page.rows if row.project_id is None or row.project_id in states]
    return PageOf([_answer(row, states) for row in there], page.next_cursor)


def _states_of(db: Session, rows: Iterable[Any]) -> States:
    """The keys of the states of the projects that these views belong to."""
    project_ids = {row.project_id for row in rows} - {None}
    found = workflow.states_of_many(db, project_ids) if project_ids else {}
    return {project_id: [state.key for state in states] for project_id, states in found.items()}


def _answer(row: Any, states: States) -> dict[str, Any]:
    problem = None
    try:
        _read(row, states)
    except InvalidFilter as error:
        problem = f"Position {error.place}: {error.problem}"
    return {**row._asdict(), "problem": problem}


def _read(view: Any, states: States) -> Node:
    """The tree of a view's filter, whose states must be those of its project; raises InvalidFilter, NotFound."""
    node = syntax.parse(view.filter)
    if view.project_id is not None:
        known = states.get(view.project_id)
        if known is None:
            # The project was deleted meanwhile, with its views.
            raise view_not_found()
        for value, place in _states_in(node):
            if value not in known:
                problem = f"{met(value)}; the project's states are {choice(known)}"
                raise InvalidFilter(place, problem)
    return node


def _states_in(node: Node) -> list[tuple[str, int]]:
    """The states that a filter names, each with its place."""
    if isinstance(node, Not):
        return _states_in(node.part)
    if isinstance(node, Comparison):
        if node.field.name != "state" or node.operator not in ("=", "!=", "in", "not in"):
            return []
        return [(str(value), place) for value, place in zip(node.values, node.value_places, strict=True)]
    return [found for part in node.parts for found in _states_in(part)]


# -- writing ---------------------------------------------------------------------------------------


def create_view(db: Session, caller: Caller, values: Mapping[str, Any]) -> dict[str, Any]:
    """Save a filter; raises InvalidFilter, NotFound for a project, Forbidden."""
    project_id = values.get("project_id")
    if project_id is not None:
        _require_writing(db, caller, project_id)
    _check(db, values["filter"], project_id)
    now = datetime.now(UTC)
    row = {
        **values,
        "user_id": caller.id if project_id is None else None,
        "created_by": caller.id,
        "created_at": now,
        "updated_at": now,
    }
    view_id = db.execute(_INSERT, row).scalar_one()
    return get_view(db, caller, view_id)


def update_view(db: Session, caller: Caller, view_id: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """Change the given fields of a view.

    None clears the order and the project, and leaves the other fields unchanged. Raises InvalidFilter,
    NotFound, Forbidden, Conflict for an older copy.
    """
    before = _find_to_change(db, caller, view_id)
    answer = _answer(before, _states_of(db, [before]))
    preconditions.require_unchanged(answer, values, _READ_ONLY)
    changes = {
        name: value
        for name, value in values.items()
        if name in _CHANGEABLE
        and value != getattr(before, name)
        and (value is not None or name not in ("name", "filter"))
    }
    if "project_id" in changes:
        changes |= _moved(db, caller, before, changes["project_id"])
    if not changes:
        return get_view(db, caller, view_id)
    if "filter" in changes or "project_id" in changes:
        # Another change is no reason to refuse a filter that has stopped working, as by the end of a state.
        _check(db, changes.get("filter", before.filter), changes.get("project_id", before.project_id))
    db.execute(_UPDATE.values(**changes, updated_at=datetime.now(UTC)), {"of_view": view_id})
    return get_view(db, caller, view_id)


def _moved(db: Session, caller: Caller, before: AnyRow, project_id: int | None) -> dict[str, Any]:
    """The new owner of a view that moves into a project, or out of a project to its maker."""
    if project_id is None:
        if before.created_by != caller.id:
            raise Forbidden("Only the maker of a view can take it out of its project", code="not_maker")
        return {"user_id": caller.id}
    _require_writing(db, caller, project_id)
    return {"user_id": None}


def _require_writing(db: Session, caller: Caller, project_id: int) -> None:
    """Raise NotFound or Forbidden for a project into which the caller may put no view."""
    # The lock keeps the caller a member until the commit.
    rights.require_role("write", rights.lock_project(db, caller, project_id).role, caller)


def delete_view(db: Session, caller: Caller, view_id: int) -> None:
    """Delete a view, and the calendars that show it; raises NotFound, Forbidden."""
    _find_to_change(db, caller, view_id)
    db.execute(_DELETE, {"of_view": view_id})


def _find_to_change(db: Session, caller: Caller, view_id: int) -> AnyRow:
    # Without the lock each of several requests at once would delete the view.
    row = _find(db, caller, view_id, locked=True)
    if row.project_id is not None:
        action: Action = "write" if row.created_by == caller.id else "manage"
        used_rights.note(db, "view", row.project_id, action)
        rights.require_role(action, row.role, caller)
    return row


def _check(db: Session, text: str, project_id: int | None) -> None:
    view = SimpleNamespace(filter=text, project_id=project_id)
    try:
        _read(view, _states_of(db, [view]))
    except InvalidFilter as error:
        raise error.at("#/filter") from None
