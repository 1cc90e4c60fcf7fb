"""The headers of conditional requests, which name the version of a resource that a client has seen."""

from typing import Annotated

from fastapi import Header

IfMatch = Annotated[str | None, Header(description="Change the resource only if it still has this `ETag`")]
IfNoneMatch = Annotated[str | None, Header(description="Answer 304 if the resource still has this `ETag`")]
