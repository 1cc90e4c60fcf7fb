"""The export of an account."""

from typing import Annotated, Any

from pydantic import Field
from typing_extensions import TypeAliasType

from schemas.accounts import UserDetails
from schemas.common import Answer

# The name makes this one schema of the document.
Rows = TypeAliasType(
    "Rows",
    Annotated[
        list[dict[str, Any]],
        Field(
            description="Rows with all their columns",
            examples=[[{"id": 1, "created_at": "2026-11-26T09:31:00Z"}]],
        ),
    ],
)


class AccountExport(Answer):
    """Everything that is kept about an account, without passwords and other secrets."""

    account: UserDetails
    sessions: Rows
    program_tokens: Rows
    account_links: Annotated[Rows, Field(description="Links that were mailed and are still valid")]
    account_mails: Annotated[Rows, Field(description="Mails about the account that wait to be sent")]
    known_addresses: Rows
    projects: Rows
    project_members: Rows
    webhooks: Rows
    views: Rows
    calendars: Rows
    notification_preferences: Rows
    tasks: Rows
    task_history: Annotated[
        Rows, Field(description="Changes that the caller made, and changes of the caller's tasks")
    ]
    task_comments: Rows
    notifications: Rows
    audit_events: Annotated[Rows, Field(description="Actions of the caller, and actions on the account")]
    webhook_deliveries: Rows
    idempotency_keys: Annotated[
        Rows, Field(description="Answers to writes with an `Idempotency-Key`, kept for about a day")
    ]
