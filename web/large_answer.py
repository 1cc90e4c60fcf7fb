"""Large answers, which stay in memory until their clients have read them."""

from collections.abc import Mapping

from fastapi import Request, Response
from starlette.types import Receive, Scope, Send

from errors import ServiceUnavailable
from web import in_hand
from web.problems import error_response
from web.strict_input import CLAIMS

# A smaller answer is handed to the connection at once.
LARGE_BYTES = in_hand.MEBIBYTE
UNREAD = "Other large answers have not been read yet: read them, or ask for shorter pages, and try again"


class LargeAnswer(Response):
    """An answer that takes room until its client has read it.

    If there is no room, the answer to a read is dropped. The answer to a write is sent all the same, because its client
    would not know what it has changed.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the answer, or 503 in its place."""
        caller, size = in_hand.caller_of(scope.get(CLAIMS)), len(self.body)
        room = in_hand.of_answers
        if not room.try_to_take(caller, size):
            if scope["method"] == "GET":
                self.body = b""
                error = ServiceUnavailable(UNREAD, retry_after=5, code="answers_unread")
                await error_response(Request(scope), error)(scope, receive, send)
                return
            size = 0
        try:
            await super().__call__(scope, receive, send)
        finally:
            room.give_back(caller, size)


def json_answer(content: bytes, status: int, headers: Mapping[str, str]) -> Response:
    """An answer of JSON, whatever its size."""
    kind = LargeAnswer if len(content) > LARGE_BYTES else Response
    return kind(content, status, headers, "application/json")
