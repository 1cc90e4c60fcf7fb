"""The context of the current request: its id and its origin, which the middleware sets."""

import ipaddress
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Origin(NamedTuple):
    """The caller's network address, and the `User-Agent` that it sent."""

    address: str
    client: str


# A socket for both versions of IP shows IPv4 addresses with this prefix.
MAPPED = "::ffff:"
# The origin of commands on the machine itself, which have no address.
NOWHERE = Origin("-", "-")
request_id_var: ContextVar[str] = ContextVar("request_id", default="-")
origin_var: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def caller_address(peer: tuple[str, int] | None, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address of the caller; `X-Forwarded-For` counts only if trusted proxies sent it.

    Each proxy appends the address that called it. So the list is read from its end, as long as the
    addresses are those of trusted proxies.
    """
    if peer is None:
        return "-"
    address = peer[0]
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
    while hops and is_within(address, trusted):
        hop = _without_port(hops.pop())
        if _parsed(hop) is None:
            break
        address = hop
    return address.removeprefix(MAPPED)[:64]


def address_group(address: str) -> str:
    """The key by which addresses are counted: for IPv6 the /64 network, which one subscriber has."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed is not None:
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _without_port(hop: str) -> str:
    """The address in one of the forms `1.2.3.4`, `1.2.3.4:80`, `::1` and `[::1]:80`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address.removeprefix(MAPPED))
    except ValueError:
        return None


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address lies in one of these networks; a text that is no address does not."""
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)
