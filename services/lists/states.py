"""Expressing the states of a list by statuses, whose tasks are counted and found by more indexes."""

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from models import STATUSES, tasks
from schemas.tasks import TaskFilters
from services.projects import workflow
from services.query.shapes import Place
from storage.prepared import prepared

_ANY_SHARED = prepared(
    select(tasks.c.id).where(tasks.c.user_id == bindparam("owner_id"), tasks.c.state.is_not(None)).limit(1)
)


def by_status(db: Session, place: Place, filters: TaskFilters) -> TaskFilters:
    """The same filters with statuses for states: the state of a private task is its status."""
    wanted = set(filters.state)
    if not wanted or filters.status or place.scope != "owner" or not wanted <= set(STATUSES):
        return filters
    if db.execute(_ANY_SHARED, {"owner_id": place.owner_id}).first() is not None:
        return filters
    filters = filters.model_copy(update={"status": filters.state, "state": []})
    filters.model_fields_set.discard("state")
    return filters


def with_statuses(db: Session, place: Place, filters: TaskFilters) -> TaskFilters:
    """The same filters with the statuses of a project's states, which tell whether its tasks can be completed.

    A list is planned without them: Postgres would take states and statuses for independent, and expect few tasks.
    """
    if not filters.state or filters.status or place.scope != "project" or filters.sort_by != "completed_at":
        return filters
    states = workflow.states_of(db, place.project_id)
    statuses = {state.status for state in states if state.key in filters.state}
    if not statuses or "completed" in statuses:
        return filters
    return filters.model_copy(update={"status": sorted(statuses)})
