"""The audit trail."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from schemas.common import Answer, Id, Moment, Page, Text, TimeZone


class AuditEventRead(Answer):
    """An action, or an attempt, that matters for security."""

    id: Annotated[int, Field(examples=[1])]
    created_at: datetime
    kind: Annotated[str, Field(examples=["login_failed"])]
    actor_id: Annotated[int | None, Field(description="The account that acted, if it is known", examples=[1])]
    user_id: Annotated[int | None, Field(description="The account that the action changed", examples=[2])]
    address: Annotated[str, Field(description="The network address of the request", examples=["203.0.113.7"])]
    request_id: Annotated[str, Field(examples=["5f0c6a0de1f44c4c9f43d35f0f4c2d5b"])]
    details: dict[str, Any]


class AuditFilters(Page):
    """Filters of the audit trail, which combine with AND."""

    kind: Annotated[Text | None, Field(max_length=40, description="Only this kind")] = None
    actor_id: Annotated[Id | None, Field(description="Only actions by this account")] = None
    user_id: Annotated[Id | None, Field(description="Only actions on this account")] = None
    tz: TimeZone = "UTC"
    created_after: Annotated[Moment | None, Field(description="From this time on")] = None
    created_before: Annotated[Moment | None, Field(description="Before this time")] = None
