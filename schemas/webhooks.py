"""Webhooks and their deliveries."""

from datetime import datetime
from typing import Annotated, Literal

import httpx
from pydantic import AfterValidator, Field

from schemas.common import Answer, Body, Id, ReadOnlyTime, Text, Whole
from schemas.events import EventPattern
from tables.webhooks import DESCRIPTION_LENGTH, URL_LENGTH, DeliveryState, DisabledReason


def check_url(url: str) -> str:
    """The URL, if it has an allowed form; raises ValueError. The host's addresses are checked elsewhere."""
    try:
        parsed = httpx.URL(url)
        port = parsed.port
    except (httpx.InvalidURL, ValueError) as error:
        raise ValueError("Input should be a URL such as https://example.com/hook") from error
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ValueError("Input should be a URL that begins with http:// or https://")
    if parsed.userinfo or "@" in url.partition("//")[2].partition("/")[0]:
        raise ValueError("Input should be a URL without a name or password")
    if "#" in url:
        raise ValueError("Input should be a URL without a fragment")
    if (port is not None and not 0 < port < 65536) or any(
        letter.isspace() or not letter.isprintable() for letter in url
    ):
        raise ValueError("Input should be a URL such as https://example.com/hook")
    return url


WebhookUrl = Annotated[
    Text,
    Field(
        min_length=1,
        max_length=URL_LENGTH,
        description="An `http` or `https` URL with any port, whose host has a public address",
        examples=["https://example.com/hook"],
    ),
    AfterValidator(check_url),
]
Types = Annotated[
    list[EventPattern],
    Field(
        min_length=1,
        max_length=30,
        description="The types of events to send; `task.*` is all types of tasks, `*` is all types",
        examples=[["task.created", "task.status_changed"]],
    ),
]
Description = Annotated[Text, Field(max_length=DESCRIPTION_LENGTH, examples=["Tells the chat what is done"])]


class WebhookCreate(Body):
    """A new webhook for the caller's own tasks or, with `project_id`, for a project's tasks."""

    url: WebhookUrl
    types: Types
    project_id: Annotated[Id | None, Field(description="A project in which the caller is a manager")] = None
    description: Description | None = None
    enabled: bool = True


class WebhookUpdate(Body):
    """Fields that are not sent stay. `null` clears `description`, and no other field."""

    url: WebhookUrl | None = None
    types: Types | None = None
    description: Description | None = None
    enabled: bool | None = None
    id: Annotated[Whole | None, Field(description="Read-only")] = None
    user_id: Annotated[Whole | None, Field(description="Read-only")] = None
    project_id: Annotated[Whole | None, Field(description="Read-only")] = None
    disabled_reason: Annotated[DisabledReason | None, Field(description="Read-only")] = None
    created_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None
    updated_at: Annotated[ReadOnlyTime | None, Field(description="Read-only")] = None


class WebhookRead(Answer):
    """A webhook, without its secret."""

    id: Annotated[int, Field(examples=[1])]
    url: Annotated[str, Field(examples=["https://example.com/hook"])]
    types: Annotated[list[EventPattern], Field(examples=[["task.created", "task.status_changed"]])]
    project_id: Annotated[int | None, Field(description="The project whose events are sent", examples=[None])]
    description: Annotated[str | None, Field(examples=["Tells the chat what is done"])]
    enabled: bool
    disabled_reason: Annotated[
        DisabledReason | None,
        Field(
            description="`gone`: the receiver answered 410. `failing`: five days passed without success",
            examples=[None],
        ),
    ]
    user_id: Annotated[int, Field(description="The account that created the webhook", examples=[1])]
    created_at: datetime
    updated_at: datetime


class WebhookMade(WebhookRead):
    """A webhook with its secret, which is shown only this once."""

    secret: Annotated[
        str | None,
        Field(
            description="The key by which the receiver verifies signatures; `null` in a replayed answer",
            examples=["whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"],
        ),
    ]


class DeliveryRead(Answer):
    """The delivery of one event to one webhook."""

    id: Annotated[int, Field(examples=[1])]
    event_id: Annotated[str, Field(examples=["evt_000000000000002a"])]
    type: Annotated[EventPattern | Literal["webhook.ping"], Field(examples=["task.created"])]
    state: Annotated[DeliveryState, Field(description="`failed` after ten failed attempts")]
    attempts: Annotated[int, Field(examples=[1])]
    status_code: Annotated[
        int | None, Field(description="Of the last answer, if there was one", examples=[200])
    ]
    error: Annotated[
        str | None, Field(description="Why the last attempt failed", examples=["The receiver answered 500"])
    ]
    duration_ms: Annotated[int | None, Field(description="Of the last attempt", examples=[35])]
    next_attempt_at: datetime | None
    created_at: datetime


class ReplayFrom(Body):
    """The `id` of the event after which events are delivered again."""

    after: Annotated[Text, Field(max_length=100, examples=["evt_000000000000002a"])]
