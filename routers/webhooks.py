"""Webhooks: sending events to other programs."""

import asyncio
from collections.abc import Mapping
from typing import Annotated, Any, Generic, NamedTuple, TypeVar

from fastapi import BackgroundTasks, Depends, Query, Request, Response

import auth
from auth import CurrentUser
from database import AnyRow, database
from errors import Forbidden, NotFound, invalid_at
from routers.parameters import IfMatch, IfNoneMatch, PathId
from schemas.common import Message, Page
from schemas.webhooks import (
    DeliveryRead,
    ReplayFrom,
    WebhookCreate,
    WebhookMade,
    WebhookRead,
    WebhookUpdate,
)
from services import background_tasks, preconditions
from services.webhooks import beginning, fence, webhook
from storage.threads import Threads
from web.routing import Router, is_short, link_next
from web.transaction import ReadSession, WriteSession

T = TypeVar("T")
READS, WRITES = "tasks:read", "tasks:write"
router = Router(prefix="/webhooks", tags=["webhooks"], reads=READS, writes=WRITES)

# The longest time to resolve the name in a URL when it is set. Each connection checks the address anyway.
RESOLVING_SECONDS = 5.0

_resolver = Threads(4, "webhook-names")


async def _check_host(url: str) -> None:
    """Raise InvalidInput if the URL leads to an address that is not public."""
    try:
        async with asyncio.timeout(RESOLVING_SECONDS):
            await _resolver.run(lambda: fence.check_host(url))
    except fence.AddressRefusedError:
        detail = "The address is not public; the operator can allow it by WEBHOOK_ALLOWED_NETWORKS"
        raise invalid_at("#/url", detail) from None
    except TimeoutError:
        return


# Names and open transactions are waited for before the transaction begins, for callers with the right to write only.


class _Asked(NamedTuple, Generic[T]):
    """A body, and the number of the event behind which its webhook begins."""

    body: T
    begins_after: int | None


async def _new_webhook(body: WebhookCreate, claims: auth.Claims) -> _Asked[WebhookCreate]:
    await auth.check_caller(claims, admin=False, scope=WRITES)
    await _check_host(body.url)
    return _Asked(body, await beginning.decided_event() if body.enabled else None)


async def _changed_webhook(
    body: WebhookUpdate, claims: auth.Claims, webhook_id: PathId
) -> _Asked[WebhookUpdate]:
    if body.url is None and not body.enabled:
        return _Asked(body, None)
    before = await database.read_async(lambda db: _before(db, claims, webhook_id), on_loop=True)
    # A URL that stays need not be reachable: a change of something else must not fail, or wait for its name.
    if body.url is not None and (before is None or before.url != body.url):
        await _check_host(body.url)
    is_switched_on = body.enabled and before is not None and not before.enabled
    return _Asked(body, await beginning.decided_event() if is_switched_on else None)


def _before(db: ReadSession, claims: Mapping[str, Any], webhook_id: int) -> AnyRow | None:
    """The webhook as it is; None if the caller may not change it."""
    user = auth.authorize(db, dict(claims), admin=False, scope=WRITES)
    try:
        return webhook.get(db, user, webhook_id)
    except (NotFound, Forbidden):
        return None


@router.post("", response_model=WebhookMade, status_code=201, errors=[404, 409], secrets=("secret",))
def create_webhook(
    db: WriteSession,
    user: CurrentUser,
    asked: Annotated[_Asked[WebhookCreate], Depends(_new_webhook)],
    response: Response,
    background: BackgroundTasks,
) -> dict[str, Any]:
    """Create a webhook.

    Deliveries follow Standard Webhooks: the receiver verifies `webhook-signature` with the `secret`, answers
    2xx, and ignores a `webhook-id` that it already received.
    """
    made = webhook.create(db, user, asked.body.model_dump(), asked.begins_after)
    response.headers["Location"] = f"/webhooks/{made['id']}"
    response.headers["ETag"] = preconditions.entity_tag(made["id"], made["version"])
    background.add_task(background_tasks.after_webhook_change)
    return made


@router.get("", response_model=list[WebhookRead], on_loop=True)
def list_webhooks(
    db: ReadSession,
    user: CurrentUser,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[AnyRow]:
    """List the caller's webhooks and those of projects in which the caller is a manager, newest first."""
    return link_next(request, response, webhook.list_webhooks(db, user, page))


@router.get(
    "/{webhook_id}",
    response_model=WebhookRead,
    errors=[404],
    responses={304: {"description": "Not Modified"}},
    on_loop=True,
)
def read_webhook(
    db: ReadSession,
    user: CurrentUser,
    webhook_id: PathId,
    response: Response,
    if_none_match: IfNoneMatch = None,
) -> AnyRow | Response:
    """Get a webhook, without its secret."""
    found = webhook.get(db, user, webhook_id)
    tag = response.headers["ETag"] = webhook.etag(found)
    if preconditions.is_known(if_none_match, tag):
        return Response(status_code=304, headers={"ETag": tag})
    return found


@router.patch("/{webhook_id}", response_model=WebhookRead, errors=[404, 409, 412])
def update_webhook(
    db: WriteSession,
    user: CurrentUser,
    webhook_id: PathId,
    asked: Annotated[_Asked[WebhookUpdate], Depends(_changed_webhook)],
    response: Response,
    background: BackgroundTasks,
    if_match: IfMatch = None,
) -> AnyRow:
    """Change a webhook: only the fields that are sent.

    A webhook that is enabled again gets its waiting deliveries. Events that happened while it was disabled
    are kept: see replay.
    """
    changed = webhook.change(db, user, webhook_id, asked.body.sent(), if_match, asked.begins_after)
    response.headers["ETag"] = webhook.etag(changed)
    background.add_task(background_tasks.after_webhook_change)
    return changed


@router.delete("/{webhook_id}", status_code=204, errors=[404, 412])
def delete_webhook(
    db: WriteSession, user: CurrentUser, webhook_id: PathId, if_match: IfMatch = None
) -> Response:
    """Delete a webhook and its waiting deliveries."""
    webhook.remove(db, user, webhook_id, if_match)
    return Response(status_code=204)


@router.post("/{webhook_id}/ping", response_model=DeliveryRead, status_code=202, errors=[404, 409])
def ping_webhook(
    db: WriteSession, user: CurrentUser, webhook_id: PathId, background: BackgroundTasks
) -> dict[str, Any]:
    """Send a `webhook.ping` to test the receiver."""
    background.add_task(background_tasks.after_webhook_change)
    return webhook.ping(db, user, webhook_id)


@router.post("/{webhook_id}/rotate", response_model=WebhookMade, errors=[404], secrets=("secret",))
def rotate_webhook_secret(
    db: WriteSession, user: CurrentUser, webhook_id: PathId, response: Response
) -> dict[str, Any]:
    """Give a webhook a new secret.

    For 24 hours deliveries are signed with the old secret too.
    """
    rotated = webhook.rotate(db, user, webhook_id)
    response.headers["ETag"] = preconditions.entity_tag(rotated["id"], rotated["version"])
    return rotated


@router.post("/{webhook_id}/replay", response_model=Message, status_code=202, errors=[404, 410])
def replay_webhook(
    db: WriteSession,
    user: CurrentUser,
    webhook_id: PathId,
    body: ReplayFrom,
    background: BackgroundTasks,
) -> dict[str, str]:
    """Deliver events again, beginning behind a given event.

    Each event keeps its `webhook-id`, so that the receiver can ignore the events that it already received.
    """
    webhook.replay(db, user, webhook_id, body.after)
    background.add_task(background_tasks.after_webhook_change)
    return {"message": "The events are delivered again"}


@router.get("/{webhook_id}/deliveries", response_model=list[DeliveryRead], errors=[404], on_loop=is_short)
def list_deliveries(
    db: ReadSession,
    user: CurrentUser,
    webhook_id: PathId,
    page: Annotated[Page, Query()],
    request: Request,
    response: Response,
) -> list[dict[str, Any]]:
    """List the deliveries of a webhook, newest first, with their results and next attempts."""
    return link_next(request, response, webhook.list_deliveries(db, user, webhook_id, page))


@router.post(
    "/{webhook_id}/deliveries/{delivery_id}/retry",
    response_model=DeliveryRead,
    status_code=202,
    errors=[404, 409],
)
def retry_delivery(
    db: WriteSession,
    user: CurrentUser,
    webhook_id: PathId,
    delivery_id: PathId,
    background: BackgroundTasks,
) -> dict[str, Any]:
    """Deliver an event again, now."""
    background.add_task(background_tasks.after_webhook_change)
    return webhook.retry(db, user, webhook_id, delivery_id)
