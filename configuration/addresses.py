"""Parsing the addresses in settings: of mail, of servers, of pages, of origins, and of networks."""

import ipaddress
import re
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import BeforeValidator
from pydantic.networks import validate_email

from request_context import Network


def mailbox(value: str) -> tuple[str, str]:
    """The name and address in `Task Platform <tasks@example.com>`; an address alone has an empty name."""
    name, bracket, address = value.strip().rpartition("<")
    if not bracket:
        return "", address
    name = name.strip()
    if len(name) > 1 and name[0] == name[-1] == '"':
        name = name[1:-1].replace('\\"', '"')
    return name, address.removesuffix(">").strip()


def is_address(value: str) -> bool:
    """Whether a value is an email address alone, without a name before it."""
    try:
        return validate_email(value)[1] != "" and "<" not in value
    except ValueError:
        return False


def host_and_port(value: str) -> tuple[str, int | None] | None:
    """The host and port of an address; None if the host is missing or the port is impossible."""
    try:
        parts = urlsplit(value)
        return (parts.hostname, parts.port) if parts.hostname else None
    except ValueError:
        return None


def is_page(value: str) -> bool:
    """Whether a value is the address of a page, without a query, as headers and mails can carry it."""
    in_ascii = re.fullmatch(r"https?://[\w.~:/@!$&'()*+,;=%\[\]-]+", value, re.ASCII)
    return in_ascii is not None and host_and_port(value) is not None


def is_host(value: str) -> bool:
    """Whether a value may be a host's name or address: it has no scheme, port or path."""
    return re.fullmatch(r"[\w.-]+", value) is not None or _is_ipv6(value)


def _is_ipv6(value: str) -> bool:
    try:
        ipaddress.IPv6Address(value)
    except ValueError:
        return False
    return True


def is_redis_url(value: str) -> bool:
    """Whether the client of Redis can read an address. The client is imported only if it will be used."""
    from redis.connection import parse_url  # noqa: PLC0415

    try:
        parse_url(value)  # type: ignore[no-untyped-call]
    except ValueError:
        return False
    return True


def origin(value: str) -> str:
    """An origin as browsers write it: in lower case, and without the default port of the scheme."""
    parts = re.fullmatch(r"(https?)://([^/\s*?#@\x00-\x1f\x7f]+)/?", value, re.IGNORECASE)
    place = host_and_port(value) if parts else None
    if parts is None or place is None:
        raise ValueError("must be origins such as https://app.example.com, separated by commas")
    scheme, (host, port) = parts[1].lower(), place
    if not host.isascii():
        host = host.encode("idna").decode()
    if ":" in host:
        host = f"[{host}]"
    return (
        f"{scheme}://{host}"
        if port in (None, {"http": 80, "https": 443}[scheme])
        else f"{scheme}://{host}:{port}"
    )


def parts(value: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in value.split(",") if part.strip()]


def networks(value: str) -> tuple[Network, ...]:
    """The networks in a list with commas; a single address is a network too. Raises ValueError."""
    try:
        return tuple(ipaddress.ip_network(part, strict=False) for part in parts(value))
    except ValueError:
        raise ValueError("must be addresses or networks such as 10.0.0.0/8, separated by commas") from None


def _as_networks(value: Any) -> Any:
    return networks(value) if isinstance(value, str) else value


Networks = Annotated[tuple[Network, ...], BeforeValidator(_as_networks)]
