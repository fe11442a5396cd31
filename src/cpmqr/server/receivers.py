"""Where a webhook's address really leads: its name looked up once, every address checked, one of them pinned.

A wallet's operator chooses the address, and this gateway stands inside a network that the address must not reach.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Final
from urllib.parse import urlsplit

import msgspec

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_PORTS: Final = {"https": 443, "http": 80}
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: an IPv4 address in its last 32 bits


class ReceiverRefused(Exception):
    """Nothing is sent there; the message says why."""


class Receiver(msgspec.Struct, frozen=True):
    """An address to connect to.

    Attributes:
        url: with the IP address in place of the name.
        host: the name, which the certificate must be of. host_header: the name, with the port where it is not usual.
    """

    url: str
    host: str
    host_header: str


async def pinned(url: str, *, private_allowed: bool) -> Receiver:
    """Look the name of an address up, and check what comes of it.

    Raises:
        ReceiverRefused: no http(s) address, no such name, or it leads to an address that is not public.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ReceiverRefused("webhook_url is no address") from None
    if parts.scheme not in _PORTS or not host:
        raise ReceiverRefused("webhook_url is no http:// or https:// address")
    addresses = await _look_up(host, port or _PORTS[parts.scheme])
    if not private_allowed and not all(is_public(address) for address in addresses):
        raise ReceiverRefused("webhook_url leads to a private, loopback or link-local address")
    address = addresses[0]
    shown = f"[{address}]" if address.version == 6 else str(address)
    suffix = f":{port}" if port else ""
    query = f"?{parts.query}" if parts.query else ""
    named = f"[{host}]" if ":" in host else host
    return Receiver(f"{parts.scheme}://{shown}{suffix}{parts.path or '/'}{query}", host, f"{named}{suffix}")


def is_public(address: IpAddress) -> bool:
    """Tell whether an address belongs to the public internet; one inside another (IPv4 in IPv6) is looked at too."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


async def _look_up(host: str, port: int) -> list[IpAddress]:
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [ipaddress.ip_address(info[4][0]) for info in found]
    except (OSError, UnicodeError, ValueError):
        raise ReceiverRefused("the name of webhook_url can't be looked up") from None
