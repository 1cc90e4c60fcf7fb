"""Comments on tasks."""

from datetime import datetime
from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.common import Answer, Body, ReadOnlyTime, Text, Whole, not_blank
from tables.projects import COMMENT_LENGTH


class CommentWrite(Body):
    """The text of a comment."""

    text: Annotated[
        Text,
        Field(min_length=1, max_length=COMMENT_LENGTH, examples=["Ready for a look, @bob"]),
        AfterValidator(not_blank),
    ]


class CommentUpdate(CommentWrite):
    """The new text."""

    id: Annotated[Whole | None, Field(description="Read-only")] = None
    task_id: Annotated[Whole | None, Field(description="Read-only")] = None
    author_id: Annotated[Whole | None, Field(description="Read-only")] = None
    author: Annotated[str | None, Field(description="Read-only")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    edited_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None


class CommentRead(Answer):
    """A comment on a task."""

    id: Annotated[int, Field(examples=[1])]
    task_id: Annotated[int, Field(examples=[1])]
    author_id: Annotated[int | None, Field(description="Null after the account was deleted", examples=[1])]
    author: Annotated[str | None, Field(description="The author's username", examples=["ada"])]
    text: Annotated[str, Field(examples=["Ready for a look, @bob"])]
    created_at: datetime
    edited_at: datetime | None
