"""The headers by which a client says which version of a resource it has seen."""

from typing import Annotated

from fastapi import Header

IfMatch = Annotated[str | None, Header(description="Change it only if it still has this `ETag`")]
IfNoneMatch = Annotated[str | None, Header(description="Answer 304 if it still has this `ETag`")]
