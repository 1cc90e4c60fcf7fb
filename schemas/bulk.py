"""Changing or deleting all tasks that a filter finds."""

from typing import Annotated

from pydantic import ConfigDict, Field

from schemas.common import Answer, OfProject, QueryFilter
from schemas.tasks import TaskConditions, TaskFilters

MOST_CHANGED = 10_000


class BulkQuery(TaskConditions):
    """Filters of a bulk call, which combine with AND, and the number of tasks that they must find."""

    model_config = ConfigDict(extra="forbid")

    project_id: Annotated[
        OfProject,
        Field(description="Own tasks in this project"),
    ] = None
    filter: QueryFilter
    expected: Annotated[
        int,
        Field(
            ge=0, le=MOST_CHANGED, description="The number of tasks that the filter must find", examples=[17]
        ),
    ]

    def filters(self) -> TaskFilters:
        """The same conditions as filters of a list."""
        values = {name: getattr(self, name) for name in TaskConditions.model_fields}
        return TaskFilters.model_construct(self.model_fields_set - {"expected"}, **values)


class BulkAnswer(Answer):
    """The number of tasks that the filter found, and the number that changed."""

    matched: Annotated[int, Field(examples=[17])]
    changed: Annotated[int, Field(examples=[15])]
