"""Parameters that several routers take: the id in a path, and the versions of conditional requests."""

from typing import Annotated

from fastapi import Header, Path

from models import LARGEST_ID

PathId = Annotated[int, Path(ge=0, le=LARGEST_ID, examples=[1])]
# The header names the version of a resource that the client has seen.
IfMatch = Annotated[str | None, Header(description="Change the resource only if it still has this `ETag`")]
IfNoneMatch = Annotated[str | None, Header(description="Answer 304 if the resource still has this `ETag`")]
