"""The fence around webhooks: addresses that this program connects to for its users.

A user names a URL, and the program calls it from inside the operator's network. The fence keeps users from reaching
what only that network may reach. It is checked twice: when the URL is set, so that its owner hears of it, and for each
connection, by the address that is really connected to, because a name may lead elsewhere a moment later.
"""

import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx

from config import settings

# An answer is read this far, so that the connection can be used again; beyond that it is closed.
LONGEST_ANSWER = 64 * 1024
KEPT_CONNECTIONS = 32
# Shorter than servers keep a connection, so that no letter meets one that is just being closed.
KEPT_SECONDS = 4.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(OSError):
    """The host's address is not public, and no setting allows it."""


def _addresses_within(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 address that a translator would make of it."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            yield address.ipv4_mapped
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo
        if address in _NAT64 or int(address) < 2**32:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def is_allowed(text: str) -> bool:
    """Whether a webhook may connect to this IP address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    if any(mapped in network or address in network for network in settings.webhook_networks):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    return all(_is_public(each) for each in _addresses_within(address))


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a host that a webhook may connect to; raises OSError, AddressRefusedError where there are none."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    allowed = [address for address in dict.fromkeys(addresses) if is_allowed(address)]
    if not allowed:
        raise AddressRefusedError("The host's address is not public")
    return allowed


class _Deadline(threading.local):
    """When the delivery that this thread makes must be over."""

    at = float("inf")

    def left(self, timeout: float | None) -> float:
        """How long the next step may take; raises httpcore.ReadTimeout when the time is up."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("The receiver took too long")
        return left if timeout is None else min(left, timeout)


deadline = _Deadline()


class _WatchedStream(httpcore.NetworkStream):
    """A connection each step of which ends with the deadline: a receiver can't drip its answer for hours."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, deadline.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, deadline.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return _WatchedStream(self._stream.start_tls(ssl_context, server_hostname, deadline.left(timeout)))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class FencedBackend(httpcore.SyncBackend):
    """Resolves a name once, checks what it found, and connects to exactly that: nothing is looked up again."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        try:
            addresses = resolve(host, port)
        except OSError as error:
            raise httpcore.ConnectError(_reason(error)) from error
        failure: Exception | None = None
        for address in addresses[:4]:
            try:
                # Several addresses share the time that there is.
                share = deadline.left(timeout) / (1 if address == addresses[-1] else 2)
                return _WatchedStream(
                    super().connect_tcp(address, port, share, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        assert failure is not None
        raise failure


def _reason(error: OSError) -> str:
    return str(error) if isinstance(error, AddressRefusedError) else "The host's name can't be resolved"


class FencedTransport(httpx.HTTPTransport):
    """httpx, on connections of `FencedBackend`; certificates are checked against the host's name as ever."""

    def __init__(self) -> None:
        context = httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False)
        # httpx has no parameter for the backend, and its pool is made of the same parts.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=FencedBackend(),
        )


def check_host(url: str) -> None:
    """Raise AddressRefusedError where the URL's host leads to an address that is not public; it may lead nowhere."""
    parsed = httpx.URL(url)
    try:
        resolve(parsed.host, parsed.port or (443 if parsed.scheme == "https" else 80))
    except AddressRefusedError:
        raise
    except (OSError, UnicodeError):
        # The name may be made later; each connection is checked anyway.
        return
