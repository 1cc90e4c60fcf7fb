"""The request that is being worked on: its id and its origin, set by the middleware."""

import ipaddress
from collections.abc import Sequence
from contextvars import ContextVar
from typing import NamedTuple

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Origin(NamedTuple):
    """The caller's address and what program they say they use."""

    address: str
    client: str


# How an IPv4 address looks on a socket for both versions of IP.
MAPPED = "::ffff:"
# A command on the machine itself comes from no address.
NOWHERE = Origin("-", "-")
request_id_var: ContextVar[str] = ContextVar("request_id", default="-")
origin_var: ContextVar[Origin] = ContextVar("origin", default=NOWHERE)


def caller_address(peer: tuple[str, int] | None, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """The address that a request comes from; `X-Forwarded-For` is believed from the trusted proxies only.

    Each proxy adds the address that it was called from, so the list is read from its end, as long as
    it is the word of somebody trusted.
    """
    if peer is None:
        return "-"
    address = peer[0]
    hops = [hop.strip() for hop in forwarded_for.split(",")] if forwarded_for else []
    while hops and is_trusted(address, trusted):
        hop = _with_port(hops.pop())[0]
        if _parsed(hop) is None:
            break
        address = hop
    return address.removeprefix(MAPPED)[:64]


def address_group(address: str) -> str:
    """What counts as one address: of IPv6 the network that one subscriber has."""
    parsed = _parsed(address)
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed is not None:
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def _with_port(hop: str) -> tuple[str, int]:
    """An address, and the port where one is given: `1.2.3.4`, `1.2.3.4:80`, `::1`, `[::1]:80`."""
    if hop.startswith("["):
        host, _, port = hop[1:].partition("]")
        port = port.removeprefix(":")
    elif hop.count(":") == 1:
        host, _, port = hop.partition(":")
    else:
        host, port = hop, ""
    return host, int(port) if port.isascii() and port.isdecimal() else 0


def _parsed(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(address.removeprefix(MAPPED))
    except ValueError:
        return None


def is_trusted(address: str, trusted: Sequence[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in trusted)
