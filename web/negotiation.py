"""Which of the media types that an endpoint can answer with the caller wants."""

import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from fastapi import Query, Request, Response

from errors import NotAcceptable

JSON, CSV, SVG, HTML = "application/json", "text/csv", "image/svg+xml", "text/html"


def best(accept: str, offered: Sequence[str]) -> str:
    """The offered type that the header `Accept` likes best, the first of equals; raises NotAcceptable.

    As RFC 9110 has it: the most specific range that fits a type says how much it is liked.
    """
    ranges = [_read(part) for part in accept.split(",") if part.strip()] or [("*/*", 1.0)]

    def liking(media_type: str) -> float:
        kind = media_type.partition("/")[0]
        for wanted in (media_type, f"{kind}/*", "*/*"):
            found = [quality for name, quality in ranges if name == wanted]
            if found:
                return max(found)
        return 0.0

    chosen = max(offered, key=liking)
    if liking(chosen) <= 0:
        raise NotAcceptable(f"This answers with {', '.join(offered)}: none of them is in `Accept`")
    return chosen


def _read(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                return name, float(parameter.removeprefix("q="))
            except ValueError:
                return name, 0.0
    return name, 1.0


def accepted(*offered: str) -> Callable[..., str]:
    """A dependency that tells which of these types to answer with: by `format`, else by the header `Accept`."""
    formats = {media_type.partition("/")[2].partition("+")[0]: media_type for media_type in offered}

    def choose(request: Request, response: Response, **asked: str | None) -> str:
        response.headers["Vary"] = "Accept"
        if asked["format"] is not None:
            return formats[asked["format"]]
        return best(",".join(request.headers.getlist("accept")), offered)

    note = Query(description="What to answer with; left out, the header `Accept` says it")
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
    """Whether the caller would rather have a page than JSON, as browsers say."""
    try:
        return best(",".join(request.headers.getlist("accept")), (JSON, HTML)) == HTML
    except NotAcceptable:
        return False
