"""Headers by which trusted proxies tell the caller's address, the scheme and the host of a request."""

import re

from starlette.types import Receive, Scope

from config import settings
from logging_config import logger
from request_context import caller_address, is_within

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
FORWARDED = frozenset({FOR, PROTO, HOST})
SANE_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class _Warned:
    """Whether the log already has the warning about headers from an untrusted address."""

    yet = False


_warned = _Warned()


def apply_forwarded(forwarded: dict[bytes, list[bytes]], scope: Scope, receive: Receive) -> None:
    """Apply the headers of a trusted proxy to the scope; otherwise use the connection itself.

    The client is the last address in the list that is not a trusted proxy. If there are several schemes or
    hosts, the first one counts, because the proxy that the client reached wrote it.
    """
    peer, scope["scheme"] = _connection(scope, receive)
    if peer is None:
        return
    scope["client"] = peer
    if not is_within(peer[0], settings.trusted_proxies):
        _warn(peer[0], forwarded)
        return
    addresses = b",".join(forwarded.get(FOR, ())).decode("latin-1")
    address = caller_address(peer, addresses, settings.trusted_proxies)
    if address != peer[0]:
        # The server's own log shows the same address then.
        scope["client"] = (address, 0)
    scheme = _first(forwarded.get(PROTO)).lower()
    if scheme in (b"https", b"http"):
        # Addresses of this program begin with this scheme, also those in a `Link`.
        scope["scheme"] = scheme.decode()
    host = _first(forwarded.get(HOST))
    if SANE_HOST.fullmatch(host):
        scope["headers"] = [(b"host", host), *(each for each in scope["headers"] if each[0] != b"host")]


def _first(values: list[bytes] | None) -> bytes:
    return values[0].partition(b",")[0].strip() if values else b""


def _warn(address: str, forwarded: dict[bytes, list[bytes]]) -> None:
    """Warn once in the log, because a proxy is not set up or somebody imitates one."""
    if not _warned.yet:
        _warned.yet = True
        names = ", ".join(sorted(name.decode().title() for name in forwarded))
        logger.warning(
            "%s came from %s, which is not in TRUSTED_PROXIES, and is ignored. If that address is your "
            "proxy, add it to TRUSTED_PROXIES: until then all of its clients look like one address",
            names,
            address,
        )


def _connection(scope: Scope, receive: Receive) -> tuple[tuple[str, int] | None, str]:
    """The address of the peer and the scheme, read from the connection itself.

    The scope may be wrong: uvicorn writes `X-Forwarded-For` and `X-Forwarded-Proto` into it if its own
    settings trust the peer.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        return scope.get("client"), scope["scheme"]
    name = transport.get_extra_info("peername")
    # A Unix socket can be reached only from this machine.
    peer = (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) > 1 else ("127.0.0.1", 0)
    return peer, "https" if transport.get_extra_info("sslcontext") else "http"
