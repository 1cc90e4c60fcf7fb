"""Saved filters, and calendars."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from models import LARGEST_ID
from schemas.common import Answer, Body, Id, Name, Page, QueryFilter, ReadOnlyTime, Time, TimeZone, Whole
from schemas.tasks import SortBy, SortOrder
from tables.views import VIEW_NAME_LENGTH

ViewName = Annotated[Name, Field(min_length=1, max_length=VIEW_NAME_LENGTH, examples=["Due this week"])]


class ViewCreate(Body):
    """A filter under a name; with `project_id` the project's members find it too."""

    name: ViewName
    filter: QueryFilter
    sort_by: SortBy | None = None
    sort_order: SortOrder | None = None
    project_id: Id | None = None


class ViewUpdate(Body):
    """The fields to change; the others stay. `null` clears `sort_by`, `sort_order` and `project_id`.

    The read-only fields may be sent back with the values they have.
    """

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
    project_id: Annotated[int | None, Field(description="The project whose members find it")]
    created_by: Annotated[int | None, Field(description="Who made it; null when the account is gone")]
    created_at: datetime
    updated_at: datetime
    problem: Annotated[
        str | None,
        Field(description="Why it can't be read any more, as when a state is gone; it then finds nothing"),
    ]


class ViewFilters(Page):
    """Which views."""

    project_id: Annotated[
        int | None, Field(ge=0, le=LARGEST_ID, description="Those of this project alone")
    ] = None


class CalendarCreate(Body):
    """What a calendar shows: a view's open tasks, or all of the caller's own."""

    view_id: Id | None = None
    tz: Annotated[
        TimeZone, Field(description="A task that is due at midnight here is shown as an all-day entry")
    ] = "UTC"
    expires_at: Annotated[Time | None, Field(description="By default it does not expire")] = None


class CalendarRead(Answer):
    """A calendar, without its address, which is shown when it is made and never again."""

    id: Annotated[int, Field(examples=[1])]
    view_id: int | None
    tz: Annotated[str, Field(examples=["Europe/Berlin"])]
    created_at: datetime
    expires_at: datetime | None


class CalendarCreated(CalendarRead):
    """A new calendar with its address, which needs no login: whoever has it sees the tasks."""

    url: Annotated[
        str | None,
        Field(
            description="Shown once; null where the request is sent again with its `Idempotency-Key`",
            examples=["https://tasks.example.com/calendar/8sU2Qm....ics"],
        ),
    ]
