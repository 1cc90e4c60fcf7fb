"""The fence around webhooks: it limits the addresses that this program connects to for its users.

A user names a URL, and the program calls the URL from inside the operator's network. The fence keeps users
from reaching hosts that only this network may reach. It is checked twice. The check when the URL is set tells
its owner. The check of each connection uses the real address, because a name may lead elsewhere a moment
later.
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

# An answer is read up to this length, so that its connection can be used again; a longer answer closes it.
LONGEST_ANSWER = 64 * 1024
KEPT_CONNECTIONS = 32
# Servers keep connections longer than this, so that no letter meets a connection that is being closed.
KEPT_SECONDS = 4.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
# Networks that are not public, although Python, or some version of it, says that they are.
_NOT_PUBLIC = tuple(
    map(
        ipaddress.ip_network,
        (
            # Site-local addresses: QEMU's usual network has its host there.
            "fec0::/10",
            # Special uses of IPv4, among them the service of a cloud that tells a machine about itself.
            "192.0.0.0/24",
            # Azure's service of that kind.
            "168.63.129.16/32",
            # Relays of 6to4, which are closed.
            "192.88.99.0/24",
            # Documentation.
            "3fff::/20",
        ),
    )
)

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class AddressRefusedError(OSError):
    """The host's address is not public, and no setting allows it."""


def _addresses_within(address: Address) -> Iterable[Address]:
    """The address, and the IPv4 addresses that translators would make of it."""
    yield address
    if isinstance(address, ipaddress.IPv6Address):
        if address.sixtofour is not None:
            yield address.sixtofour
        if address.teredo is not None:
            yield from address.teredo
        if address in _NAT64 or int(address) < 2**32:
            yield ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)


def _is_public(address: Address) -> bool:
    if any(address in network for network in _NOT_PUBLIC):
        return False
    return address.is_global and not (
        address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    )


def is_allowed(text: str) -> bool:
    """Whether a webhook may connect to this IP address."""
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None) or address
    if any(mapped in network or address in network for network in settings.webhook_allowed_networks):
        return True
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return _is_public(address.ipv4_mapped)
    return all(_is_public(each) for each in _addresses_within(address))


def resolve(host: str, port: int) -> list[str]:
    """The allowed addresses of a host; raises OSError, or AddressRefusedError if none is allowed."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(each[4][0]) for each in found]
    allowed = [address for address in dict.fromkeys(addresses) if is_allowed(address)]
    if not allowed:
        raise AddressRefusedError("The host's address is not public")
    return allowed


class _Deadline(threading.local):
    """The time when this thread's present delivery must be over."""

    at = float("inf")

    def left(self, timeout: float | None) -> float:
        """The seconds that the next step may take; raises httpcore.ReadTimeout when the time is up."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("The receiver took too long")
        return left if timeout is None else min(left, timeout)


deadline = _Deadline()


class _WatchedStream(httpcore.NetworkStream):
    """A connection whose steps all end at the deadline, so that no receiver drips its answer for hours."""

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
    """Resolves a name once, checks the addresses, and connects to one of these without another look-up."""

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
                # Several addresses share the remaining time.
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
    """The transport of httpx on connections of `FencedBackend`; certificates are checked as usual."""

    def __init__(self) -> None:
        context = httpx.create_ssl_context(trust_env=False)
        super().__init__(verify=context, trust_env=False)
        # httpx has no parameter for the backend, so its pool is replaced by a pool with the same settings.
        self._pool = httpcore.ConnectionPool(
            ssl_context=context,
            max_connections=None,
            max_keepalive_connections=KEPT_CONNECTIONS,
            keepalive_expiry=KEPT_SECONDS,
            network_backend=FencedBackend(),
        )


def _usual_name(host: str) -> str:
    """A host's name as every resolver knows it: without the dot at its end, or the zone of an address."""
    name = host.partition("%")[0].removesuffix(".")
    # All names below `localhost` are the machine's own, but many resolvers know that name alone.
    return "localhost" if name.endswith(".localhost") else name


def check_host(url: str) -> None:
    """Raise AddressRefusedError if the URL's host has no public address; an unknown host is allowed."""
    try:
        # The port changes nothing about the addresses of a host.
        resolve(_usual_name(httpx.URL(url).host), 0)
    except AddressRefusedError:
        raise
    except (OSError, UnicodeError):
        # The name may be registered later, and each connection is checked anyway.
        return
