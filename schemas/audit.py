"""The audit trail."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from schemas.common import Answer, Id, Moment, Page, Text, TimeZone


class AuditEventRead(Answer):
    """Something that was done, or tried, and matters for security."""

    id: Annotated[int, Field(examples=[1])]
    created_at: datetime
    kind: Annotated[str, Field(description="What was done", examples=["login_failed"])]
    actor_id: Annotated[int | None, Field(description="Who did it, where that is known", examples=[1])]
    user_id: Annotated[int | None, Field(description="Whose account it was done to", examples=[2])]
    address: Annotated[str, Field(description="From where", examples=["203.0.113.7"])]
    request_id: Annotated[str, Field(examples=["5f0c6a0de1f44c4c9f43d35f0f4c2d5b"])]
    details: dict[str, Any]


class AuditFilters(Page):
    """Which events; filters combine with AND."""

    kind: Annotated[Text | None, Field(max_length=40)] = None
    actor_id: Annotated[Id | None, Field(description="By whom")] = None
    user_id: Annotated[Id | None, Field(description="To whose account")] = None
    tz: TimeZone = "UTC"
    created_after: Annotated[Moment | None, Field(description="Then or later")] = None
    created_before: Annotated[Moment | None, Field(description="Earlier")] = None
