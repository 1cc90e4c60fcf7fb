"""Preconditions: whether a resource is still at a version that a client has seen.

An entity tag stands for a version, and says nothing of an encoding. A proxy that compresses an answer may
mark the tag, each kind of proxy in its own way. A marked tag that the client sends back still stands for the
same version.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from errors import Conflict, InvalidInput, PreconditionFailed, invalid_input

# A list of tags is short; a longer header matches nothing.
MOST_TAGS = 100
_LISTED = re.compile(r'\s*(?:W/)?"([^"]*)"\s*(?:,|$)|\s*,')
# Suffixes that nginx, Apache, Caddy and Jetty add to a tag, within its quotes. Several proxies in a row add
# several.
_ENCODINGS = re.compile(r"(?:-gzip|-br|-zstd|;gzip){1,10}$")


def entity_tag(resource_id: int, version: int) -> str:
    """The entity tag of a resource at a version."""
    return f'"{resource_id}-{version}"'


def names(header: str, tag: str) -> bool:
    """Whether the header names this entity tag: alone, in a list, or by `*`."""
    if header == tag or header.strip() == "*":
        return True
    wanted, place = tag.strip('"'), 0
    for _ in range(MOST_TAGS):
        listed = _LISTED.match(header, place)
        if listed is None or listed.end() == place:
            return False
        if listed[1] is not None and (listed[1] == wanted or _ENCODINGS.sub("", listed[1]) == wanted):
            return True
        place = listed.end()
    return False


def require(if_match: str | None, tag: str) -> None:
    """Raise PreconditionFailed unless `If-Match` is left out or names this entity tag."""
    if if_match is not None and not names(if_match, tag):
        raise PreconditionFailed


def is_known(if_none_match: str | None, tag: str) -> bool:
    """Whether the client has this version already, so that the answer is 304."""
    return if_none_match is not None and names(if_none_match, tag)


def require_unchanged(before: Mapping[str, Any], values: Mapping[str, Any], read_only: Iterable[str]) -> None:
    """Raise InvalidInput for read-only fields that are sent with other values than they have.

    Raises Conflict for a copy that is older than the resource.
    """
    sent = values.get("updated_at")
    if sent is not None and sent < before["updated_at"]:
        raise stale_copy()
    if refused := [name for name in read_only if name in values and values[name] != before[name]]:
        raise read_only_fields(refused)


def read_only_fields(names: Iterable[str]) -> InvalidInput:
    """The error for read-only fields that were sent with other values than they have."""
    detail = "Read-only: leave it out, or send the value it has"
    return invalid_input([{"pointer": f"#/{name}", "detail": detail} for name in names])


def stale_copy() -> Conflict:
    """The error for a copy that was read before the last change, as its `updated_at` tells."""
    return Conflict(
        "This was changed since the copy of it was read: get it again, or leave the read-only fields out",
        code="stale_copy",
    )
