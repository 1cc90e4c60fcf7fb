"""Content negotiation: choosing the media type of an answer."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from fastapi import Query, Request, Response

from errors import NotAcceptable

JSON, CSV, SVG, HTML = "application/json", "text/csv", "image/svg+xml", "text/html"


def best(accept: str, offered: Sequence[str]) -> str:
    """The offered type that `Accept` prefers, the first of equals; raises NotAcceptable.

    As in RFC 9110, the most specific range that matches a type decides how much the type is preferred.
    """
    ranges = [_read(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]

    def quality(media_type: str) -> float:
        kind = media_type.partition("/")[0]
        for wanted in (media_type, f"{kind}/*", "*/*"):
            found = [value for name, value in ranges if name == wanted]
            if found:
                return max(found)
        return 0.0

    chosen = max(offered, key=quality)
    if quality(chosen) <= 0:
        raise NotAcceptable(f"This answers with {', '.join(offered)}: none of them is in `Accept`")
    return chosen


def _read(part: str) -> tuple[str, float]:
    """A range of `Accept`, and its quality: from 0, not wanted, to 1."""
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter.removeprefix("q="))
            except ValueError:
                return name, 0.0
    return name, 1.0


def accepted(*offered: str) -> Callable[..., str]:
    """A dependency that chooses one of these types by the parameter `format` or the header `Accept`."""
    formats = {media_type.partition("/")[2].partition("+")[0]: media_type for media_type in offered}

    def choose(request: Request, response: Response, **asked: str | None) -> str:
        response.headers["Vary"] = "Accept"
        if asked["format"] is not None:
            return formats[asked["format"]]
        return best(request.headers.get("accept", ""), offered)

    note = Query(description="The format of the answer; without it, the header `Accept` decides")
    wanted = inspect.Parameter(
        "format",
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[Literal[tuple(formats)] | None, note],
    )
    plain = [each for each in inspect.signature(choose).parameters.values() if each.name != "asked"]
    choose.__signature__ = inspect.Signature([*plain, wanted])  # type: ignore[attr-defined]
    return choose


def prefers_html(request: Request) -> bool:
    """Whether the caller prefers an HTML page to JSON, as browsers do."""
    try:
        return best(request.headers.get("accept", ""), (JSON, HTML)) == HTML
    except NotAcceptable:
        return False
