"""One attempt to deliver one event: the signed request, and the meaning of its answer."""

import random
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus

import httpcore
import httpx
from standardwebhooks import Webhook

from config import settings
from services.webhooks import fence

# The delays before further attempts. After the last of them the delivery has failed.
SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
LONGEST_RETRY_AFTER = timedelta(days=1)
# A delay is multiplied by up to this, by chance.
MOST_SPREAD = 1.2
LONGEST_DELAY = SCHEDULE[-1] * MOST_SPREAD
USER_AGENT = "TaskPlatform-Webhooks/1.0"


@dataclass(frozen=True)
class Letter:
    """An event on its way to a webhook, ready to be sent.

    The content is empty if the event is no longer kept; the secrets are missing if they can't be read.
    """

    delivery_id: int
    attempts: int
    due_at: datetime
    url: str
    # The newest secret comes first; for a while the previous secret signs too.
    secrets: Sequence[str]
    message_id: str
    content: bytes


@dataclass(frozen=True)
class Result:
    """The result of an attempt."""

    status_code: int | None
    error: str | None
    seconds: float
    retry_after: timedelta | None = None
    # Whether the receiver could not be reached or took too long; it then gets nothing for a while.
    is_unreachable: bool = False

    @property
    def is_delivered(self) -> bool:
        return self.error is None


class _Connections:
    """The shared connections of all senders: reading the certificates takes longer than many deliveries."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._transport: fence.FencedTransport | None = None

    def get(self) -> fence.FencedTransport:
        with self._lock:
            if self._transport is None:
                self._transport = fence.FencedTransport()
            return self._transport

    def close(self) -> None:
        """Close the connections; the next letter opens new ones."""
        with self._lock:
            transport, self._transport = self._transport, None
        if transport is not None:
            transport.close()


connections = _Connections()


@lru_cache(maxsize=256)
def _signer(secret: str) -> Webhook:
    return Webhook(secret)


def send(letter: Letter) -> Result:
    """Send the letter and wait for the answer, at most as long as the setting says; never raises."""
    if not letter.secrets:
        return Result(None, "The secret can't be read, because SECRET_KEY was changed: rotate it", 0.0)
    if not letter.content:
        return Result(None, "The event is not kept any more", 0.0)
    began = time.monotonic()
    fence.deadline.at = began + settings.webhook_timeout_seconds
    try:
        response = connections.get().handle_request(_request(letter))
        try:
            _read_some(response)
        finally:
            response.close()
    except (httpx.HTTPError, httpx.InvalidURL, httpcore.ConnectionNotAvailable, OSError, ValueError) as error:
        is_unreachable = isinstance(error, httpx.ConnectError | httpx.TimeoutException)
        return Result(None, _message_of(error), time.monotonic() - began, is_unreachable=is_unreachable)
    finally:
        fence.deadline.at = float("inf")
    seconds = time.monotonic() - began
    if 200 <= response.status_code < 300:
        return Result(response.status_code, None, seconds)
    return Result(response.status_code, _refusal(response.status_code), seconds, _retry_after(response))


def _request(letter: Letter) -> httpx.Request:
    now = datetime.now(UTC)
    text = letter.content.decode()
    signatures = [_signer(secret).sign(letter.message_id, now, text) for secret in letter.secrets]
    seconds = settings.webhook_timeout_seconds
    return httpx.Request(
        "POST",
        letter.url,
        headers={
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Accept": "*/*",
            "webhook-id": letter.message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": " ".join(signatures),
        },
        content=letter.content,
        extensions={"timeout": dict.fromkeys(("connect", "read", "write", "pool"), seconds)},
    )


def _read_some(response: httpx.Response) -> None:
    """Read the body of the answer, so that the connection can be used again."""
    received = 0
    assert isinstance(response.stream, httpx.SyncByteStream)
    try:
        for part in response.stream:
            received += len(part)
            if received > fence.LONGEST_ANSWER:
                return
    except (httpx.HTTPError, OSError):
        return


def _message_of(error: Exception) -> str:
    """The reason why there was no answer, without details of the operator's network."""
    if isinstance(error, httpx.TimeoutException):
        return f"The receiver did not answer within {settings.webhook_timeout_seconds:g} seconds"
    if isinstance(error, httpx.ConnectError):
        text = str(error)
        if "refused" in text:
            return "The connection was refused"
        if "CERTIFICATE" in text.upper() or "SSL" in text.upper():
            return f"The connection is not secure: {text[:300]}"
        return text[:300] or "The receiver can't be reached"
    if isinstance(error, httpx.InvalidURL | httpx.UnsupportedProtocol):
        return "The URL can't be called"
    return "The connection was closed before the answer"


def _refusal(status: int) -> str:
    if 300 <= status < 400:
        return f"The receiver answered {status}: redirects are not followed"
    try:
        return f"The receiver answered {status} ({HTTPStatus(status).phrase})"
    except ValueError:
        return f"The receiver answered {status}"


def _retry_after(response: httpx.Response) -> timedelta | None:
    """The pause that the receiver asks for."""
    text = response.headers.get("retry-after", "").strip()
    if text.isascii() and text.isdecimal():
        wait = timedelta(seconds=min(int(text[:9]), LONGEST_RETRY_AFTER.total_seconds()))
    else:
        try:
            wait = parsedate_to_datetime(text) - datetime.now(UTC)
        except (TypeError, ValueError, OverflowError):
            return None
    return min(max(wait, timedelta(0)), LONGEST_RETRY_AFTER)


def next_attempt(attempts: int, result: Result, now: datetime) -> datetime | None:
    """The time of the next attempt after this number of failed attempts; None if there is none."""
    if attempts > len(SCHEDULE):
        return None
    delay = SCHEDULE[attempts - 1] * random.uniform(1, MOST_SPREAD)  # noqa: S311  # spreads a crowd
    return now + max(delay, result.retry_after or timedelta(0))
