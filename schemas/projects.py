"""Projects that people share, their members and states."""

import re
from collections import Counter
from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from models import STATUSES, TaskStatus
from schemas.common import (
    Answer,
    Body,
    Description,
    Extent,
    Page,
    Project,
    ReadOnlyTime,
    StateKey,
    Text,
    Whole,
    not_blank,
)
from tables.projects import LARGEST_WIP_LIMIT, STATE_NAME_LENGTH, ProjectRole, WipPolicy

FEWEST_STATES, MOST_STATES = 3, 20
_KEY = re.compile(r"[a-z0-9_-]+", re.ASCII)


def _key(value: str) -> str:
    if not _KEY.fullmatch(value):
        raise ValueError("Input should consist of a-z, 0-9, `_` and `-`")
    return value


class State(Body):
    """A state of a workflow, which stands for one of the three statuses."""

    key: Annotated[
        StateKey,
        AfterValidator(_key),
        Field(description="A key of the characters a-z, 0-9, `_` and `-`", examples=["review"]),
    ]
    name: Annotated[
        Text,
        Field(min_length=1, max_length=STATE_NAME_LENGTH, examples=["In review"]),
        AfterValidator(not_blank),
    ]
    status: TaskStatus
    wip_limit: Annotated[
        Whole | None,
        Field(
            ge=1,
            le=LARGEST_WIP_LIMIT,
            description="The largest number of tasks that the state is meant for",
            examples=[3],
        ),
    ] = None
    wip_policy: Annotated[
        WipPolicy, Field(description="`block` refuses tasks that exceed the limit; `warn` accepts them")
    ] = "warn"
    waiting: Annotated[bool, Field(description="Whether tasks in this state wait for somebody else")] = False


def _workflow(states: list[State]) -> list[State]:
    """The states, if they form a workflow; raises ValueError."""
    twice = [key for key, count in Counter(state.key for state in states).items() if count > 1]
    if twice:
        raise ValueError(f"The key {twice[0]} is there twice")
    missing = [status for status in STATUSES if status not in {state.status for state in states}]
    if missing:
        raise ValueError(f"No state has the status {missing[0]}: each of the three needs one")
    return states


States = Annotated[
    list[State], Field(min_length=FEWEST_STATES, max_length=MOST_STATES), AfterValidator(_workflow)
]
EXAMPLE_STATES = [
    {"key": "todo", "name": "To do", "status": "pending"},
    {"key": "doing", "name": "Doing", "status": "in_progress", "wip_limit": 3, "wip_policy": "block"},
    {"key": "done", "name": "Done", "status": "completed"},
]


class ProjectCreate(Body):
    """A new project."""

    name: Project
    description: Description | None = None
    states: Annotated[
        States | None,
        Field(description="In their order", examples=[EXAMPLE_STATES]),
    ] = None
    adopt_tasks: Annotated[
        bool, Field(description="Move the caller's own tasks whose `project` is this name into the project")
    ] = False


class ProjectUpdate(Body):
    """Fields that are not sent stay. `null` clears `description`, and no other field."""

    name: Project | None = None
    description: Description | None = None
    archived: Annotated[bool | None, Field(description="Whether its tasks can only be read")] = None
    states: Annotated[States | None, Field(description="All states, in their order")] = None
    replaced_states: Annotated[
        dict[str, str] | None,
        Field(
            description="For each removed state that has tasks: its key, and the key of the state that gets"
            " them",
            examples=[{"review": "doing"}],
            max_length=100,
        ),
    ] = None
    id: Annotated[Whole | None, Field(description="Read-only")] = None
    archived_at: Annotated[ReadOnlyTime | None, Field(description="Read-only; see `archived`")] = None
    created_by: Annotated[Whole | None, Field(description="Read-only")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    updated_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    role: Annotated[ProjectRole | None, Field(description="Read-only; see the project's members")] = None


class StateRead(TypedDict):
    """A state of a workflow."""

    key: Annotated[str, Field(examples=["review"])]
    name: Annotated[str, Field(examples=["In review"])]
    status: TaskStatus
    wip_limit: int | None
    wip_policy: WipPolicy
    waiting: bool


class ProjectRead(Answer):
    """A project that people share."""

    id: Annotated[int, Field(examples=[1])]
    name: Annotated[str, Field(examples=["Research"])]
    description: Annotated[str | None, Field(examples=["What we find out together"])]
    states: Annotated[list[StateRead], Field(description="In their order")]
    archived_at: datetime | None
    created_by: Annotated[int | None, Field(description="Null after the account was deleted", examples=[1])]
    created_at: datetime
    updated_at: datetime
    role: Annotated[
        ProjectRole | None, Field(description="The caller's role; null for an admin who is not a member")
    ]


class ProjectFilters(Page):
    """Filters of the list of projects."""

    archived: Annotated[bool, Field(description="`true` lists the archived projects instead")] = False
    scope: Annotated[Extent, Field(description="`all` covers all accounts (admins)")] = "own"


class MemberRead(Answer):
    """An account in a project."""

    user_id: Annotated[int, Field(examples=[2])]
    username: Annotated[str, Field(examples=["bob"])]
    role: ProjectRole
    added_at: datetime


class MemberPut(Body):
    """The role of an account in a project."""

    role: ProjectRole
    user_id: Annotated[Whole | None, Field(description="Read-only")] = None
    username: Annotated[str | None, Field(description="Read-only")] = None
    added_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
