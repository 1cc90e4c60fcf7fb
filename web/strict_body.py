"""Strict bodies: their media type, their size, and the model in a JSON body."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.types import Message

from errors import ContentTooLarge, UnsupportedMediaType, input_problems, invalid_input
from web import bounds, in_hand

SMALL_BODY = 1024 * 1024


async def valid_body(request: Request, model: type[BaseModel]) -> BaseModel | None:
    """The model that the body holds; None if there is no body, or if anything in it is wrong.

    FastAPI validates a wrong body again to describe it, together with the mistakes in the address. For a large body that
    would block the event loop, so this raises InvalidInput for a large body.
    """
    body = await request.body()
    if not body:
        return None
    try:
        content = await request.json()
        if bounds.is_large(body):
            return await bounds.off_the_loop(body, lambda: _valid_or_described(model, content))
        return model.model_validate(content, from_attributes=True)
    except (ValueError, RecursionError):
        return None


def _valid_or_described(model: type[BaseModel], content: Any) -> BaseModel:
    try:
        return model.model_validate(content, from_attributes=True)
    except ValidationError as error:
        problems = (
            {**problem, "loc": ("body", *problem["loc"])}
            for problem in error.errors(include_url=False, include_input=False)
        )
        raise invalid_input(input_problems(problems, model)) from None


def media_type(request: Request) -> str:
    """The media type of a request's body, in lower case and without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def check_media_type(request: Request, taken: Sequence[str]) -> None:
    """Raise UnsupportedMediaType for a body of another media type, or one that is compressed."""
    if not bounds.may_have_body(request):
        return
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        raise UnsupportedMediaType(
            f"Content-Encoding {encoding[:50]!r} is not taken: send the body as it is",
            headers={"Accept-Encoding": "identity"},
        )
    sent = media_type(request)
    if sent in taken or (
        "application/json" in taken and sent.startswith("application/") and sent.endswith("+json")
    ):
        return
    raise UnsupportedMediaType(f"Send the body as {' or '.join(taken)}")


def with_body_limit(request: Request, limit: int, claims: Mapping[str, Any] | None) -> Request:
    """The request with a limit for its body, which raises ContentTooLarge, and with room for a large body.

    `claims` are those of the caller's token, or None if the request needs none.
    If the length is known, it is checked before the body is read. A `Content-Length` beside `Transfer-Encoding` is
    ignored, because a body in chunks ends with its last chunk, whatever that header says.
    """
    length = request.headers.get("content-length", "")
    is_in_chunks = "transfer-encoding" in request.headers
    if not is_in_chunks:
        if not length:
            return request
        size = int(length) if length.isdecimal() and len(length) <= 15 else limit + 1
        if size > limit:
            raise _too_large(limit)
        if size <= in_hand.FREE_BYTES:
            return request
    scope, receive, received = request.scope, request.receive, 0

    async def receive_within_limit() -> Message:
        nonlocal received
        if not is_in_chunks and not in_hand.has_room(scope):
            await in_hand.take_room(scope, size, limit, claims)
        message = await receive()
        if is_in_chunks:
            received += len(message.get("body", b""))
            if received > limit:
                raise _too_large(limit)
            if received > in_hand.FREE_BYTES and not in_hand.has_room(scope):
                await in_hand.take_room(scope, limit, limit, claims)
        return message

    return Request(scope, receive_within_limit)


def _too_large(limit: int) -> ContentTooLarge:
    return ContentTooLarge(f"The body may have at most {limit:,} bytes here")
