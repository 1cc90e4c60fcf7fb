"""All that is kept about an account."""

from typing import Annotated, Any

from pydantic import Field

from schemas.accounts import UserDetails
from schemas.common import Answer

Rows = list[dict[str, Any]]


class AccountExport(Answer):
    """All that is kept about an account, passwords and tokens left out."""

    account: UserDetails
    sessions: Rows
    program_tokens: Rows
    account_links: Annotated[Rows, Field(description="Links that were mailed and are still good")]
    account_mails: Annotated[Rows, Field(description="Mails about the account that are not sent yet")]
    known_addresses: Rows
    projects: Annotated[Rows, Field(description="The projects that the caller made")]
    project_members: Annotated[Rows, Field(description="The caller's places in projects")]
    webhooks: Annotated[Rows, Field(description="The webhooks that the caller made, without their secrets")]
    views: Annotated[Rows, Field(description="The caller's filters under a name, those in projects too")]
    calendars: Annotated[Rows, Field(description="The caller's calendars, without their addresses")]
    notification_preferences: Rows
    tasks: Rows
    task_history: Annotated[Rows, Field(description="What the caller did, and what was done to their tasks")]
    task_comments: Annotated[Rows, Field(description="What the caller said about tasks")]
    notifications: Rows
    audit_events: Annotated[Rows, Field(description="What the caller did, and what was done to the account")]
    webhook_deliveries: Annotated[Rows, Field(description="What became of the deliveries to those webhooks")]
    idempotency_keys: Annotated[
        Rows, Field(description="Answers to writes that came with an `Idempotency-Key`, kept for a day or so")
    ]
