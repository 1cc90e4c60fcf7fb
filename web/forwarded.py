"""What proxies say of a request by headers: the caller's address, the scheme and the host. Only trusted ones count."""

import re

from starlette.types import Receive, Scope

from config import settings
from logging_config import logger
from request_context import caller_address, is_trusted

FOR, PROTO, HOST = b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host"
FORWARDED = frozenset({FOR, PROTO, HOST})
_SANE_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


class _Warned:
    """Whether the log says already that headers came from an address that is not trusted."""

    yet = False


_warned = _Warned()


def heed(forwarded: dict[bytes, list[bytes]], scope: Scope, receive: Receive) -> None:
    """Write into the scope what trusted proxies say; from others, what the connection itself shows.

    The client is the last address of the list that no trusted proxy has. Of several schemes or hosts the first counts,
    which the proxy wrote that the client reached.
    """
    peer, scope["scheme"] = _connection(scope, receive)
    if peer is None:
        return
    scope["client"] = peer
    if not is_trusted(peer[0], settings.trusted_networks):
        _warn(peer[0], forwarded)
        return
    addresses = b",".join(forwarded.get(FOR, ())).decode("latin-1")
    address = caller_address(peer, addresses, settings.trusted_networks)
    if address != peer[0]:
        # The server's own log names the same address.
        scope["client"] = (address, 0)
    scheme = _first(forwarded.get(PROTO)).lower()
    if scheme in (b"https", b"http"):
        # What addresses of this program begin with, in a `Link` as well.
        scope["scheme"] = scheme.decode()
    host = _first(forwarded.get(HOST))
    if _SANE_HOST.fullmatch(host):
        scope["headers"] = [(b"host", host), *(each for each in scope["headers"] if each[0] != b"host")]


def _first(values: list[bytes] | None) -> bytes:
    return values[0].partition(b",")[0].strip() if values else b""


def _warn(address: str, forwarded: dict[bytes, list[bytes]]) -> None:
    """Say in the log, once, that a proxy is not set up, or that somebody plays one."""
    if not _warned.yet:
        _warned.yet = True
        names = ", ".join(sorted(name.decode().title() for name in forwarded))
        logger.warning(
            "%s came from %s, which is none of TRUSTED_PROXIES, and does not count: if that is your proxy, all who "
            "come through it look like one address until TRUSTED_PROXIES names it",
            names,
            address,
        )


def _connection(scope: Scope, receive: Receive) -> tuple[tuple[str, int] | None, str]:
    """The address at the other end of the connection and the scheme, whatever the server believes of headers.

    uvicorn believes `X-Forwarded-For` and `X-Forwarded-Proto` of whoever its own settings trust, and writes
    what they say into the scope. Its connection still knows better.
    """
    transport = getattr(getattr(receive, "__self__", None), "transport", None)
    if transport is None:
        return scope.get("client"), scope["scheme"]
    name = transport.get_extra_info("peername")
    # A Unix socket is reached from this machine only.
    peer = (str(name[0]), int(name[1])) if isinstance(name, tuple) and len(name) > 1 else ("127.0.0.1", 0)
    return peer, "https" if transport.get_extra_info("sslcontext") else "http"
