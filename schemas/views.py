"""Saved filters, and calendars."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from schemas.common import (
    TIDY,
    Answer,
    Body,
    Id,
    Page,
    QueryFilter,
    ReadOnlyTime,
    Time,
    TimeZone,
    Whole,
)
from schemas.tasks import SortBy
from tables.views import VIEW_NAME_LENGTH, SortOrder

ViewName = Annotated[str, Field(min_length=1, max_length=VIEW_NAME_LENGTH, examples=["Due this week"]), TIDY]


class ViewCreate(Body):
    """A saved filter."""

    name: ViewName
    filter: QueryFilter
    sort_by: SortBy | None = None
    sort_order: SortOrder | None = None
    project_id: Id | None = None


class ViewUpdate(Body):
    """Fields that are not sent stay. `null` clears `sort_by`, `sort_order` and `project_id`, and no other field."""

    name: ViewName | None = None
    filter: QueryFilter | None = None
    sort_by: SortBy | None = None
    sort_order: SortOrder | None = None
    project_id: Id | None = None
    id: Annotated[Whole | None, Field(description="Read-only")] = None
    created_by: Annotated[Whole | None, Field(description="Read-only")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    updated_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    problem: Annotated[str | None, Field(description="Read-only")] = None


class ViewRead(Answer):
    """A saved filter."""

    id: Annotated[int, Field(examples=[1])]
    name: Annotated[str, Field(examples=["Due this week"])]
    filter: Annotated[str, Field(examples=["status != completed and due < today+7d"])]
    sort_by: SortBy | None
    sort_order: SortOrder | None
    project_id: Annotated[int | None, Field(description="The project whose members see the view")]
    created_by: Annotated[
        int | None, Field(description="The account that created the view; null after it was deleted")
    ]
    created_at: datetime
    updated_at: datetime
    problem: Annotated[
        str | None,
        Field(
            description="Why the filter no longer works, for example because a state was removed; it then"
            " finds nothing"
        ),
    ]


class ViewFilters(Page):
    """Filters of the list of views."""

    project_id: Annotated[Id | None, Field(description="Only views of this project")] = None


class CalendarCreate(Body):
    """The tasks that a calendar shows: a view's open tasks, or all open tasks of the caller."""

    view_id: Id | None = None
    tz: Annotated[
        TimeZone,
        Field(description="A time zone; tasks that are due at its midnight are shown as all-day entries"),
    ] = "UTC"
    expires_at: Annotated[Time | None, Field(description="By default never")] = None


class CalendarRead(Answer):
    """A calendar without its address, which is shown only once."""

    id: Annotated[int, Field(examples=[1])]
    view_id: int | None
    tz: Annotated[str, Field(examples=["Europe/Berlin"])]
    created_at: datetime
    expires_at: datetime | None


class CalendarCreated(CalendarRead):
    """A new calendar with its address. The address needs no login: everyone who has it sees the tasks."""

    url: Annotated[
        str | None,
        Field(
            description="The address, shown once; null in a replayed answer",
            examples=["https://tasks.example.com/calendar/8sU2Qm....ics"],
        ),
    ]
