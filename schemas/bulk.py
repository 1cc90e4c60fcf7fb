"""Changing or deleting all tasks that a filter finds."""

from typing import Annotated

from pydantic import ConfigDict, Field

from schemas.common import Answer, QueryFilter
from schemas.tasks import TaskConditions, TaskFilters

MOST_CHANGED = 10_000


class BulkQuery(TaskConditions):
    """Which tasks, and how many of them there must be; the other filters combine with the filter by AND."""

    model_config = ConfigDict(extra="forbid")

    filter: QueryFilter
    expected: Annotated[
        int, Field(ge=0, le=MOST_CHANGED, description="How many tasks the filter must find", examples=[17])
    ]

    def filters(self) -> TaskFilters:
        """The same as the filters of a list."""
        values = {name: getattr(self, name) for name in TaskConditions.model_fields}
        return TaskFilters.model_construct(self.model_fields_set - {"expected"}, **values)


class BulkAnswer(Answer):
    """How many tasks were found, and how many of them are different now."""

    matched: Annotated[int, Field(examples=[17])]
    changed: Annotated[int, Field(examples=[15])]
