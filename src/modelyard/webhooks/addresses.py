"""Which addresses a client may have us call: public ones, and those that the operator allows."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all that IANA gives out of IPv6
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052: the last 32 bits are an IPv4 address


class Forbidden(ValueError):
    """An address that is not called. ``rule`` is a short stable word for it."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


def networks(texts: Iterable[str]) -> tuple[Network, ...]:
    """Parsed networks in CIDR notation. Raises ValueError."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def public(address: Address) -> bool:
    """Whether an address is one of the public internet, however it is written.

    IPv6 addresses that carry an IPv4 address (mapped, 6to4, Teredo, NAT64) are what they carry.
    """
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        teredo = address.teredo[1] if address.teredo else None
        inner = address.ipv4_mapped or address.sixtofour or teredo
        if inner is not None:
            return public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def parse(url: str, allowed: Sequence[Network] = ()) -> SplitResult:
    """The parts of an address that may be called, as far as that can be told without asking DNS.

    Raises ``Forbidden``.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Forbidden("url", f"is no URL: {error}") from None
    host = parts.hostname
    if parts.scheme not in ("https", "http") or not host or port == 0 or not url.isascii():
        raise Forbidden("url", "must be an https URL with a host, in ASCII")
    if any(char <= " " or char == "\x7f" for char in url):
        raise Forbidden("url", "must have no blanks and no control characters")
    if parts.username is not None or parts.fragment:
        raise Forbidden("url", "must have no user name, password or fragment")
    if parts.scheme == "http" and not allowed:
        raise Forbidden("https", "must begin with https://")
    literal = _literal(host)
    if literal is not None:
        check(literal, parts.scheme, allowed)
    return parts


def check(address: Address, scheme: str, allowed: Sequence[Network]) -> None:
    """Raise ``Forbidden`` for an address that is neither public nor allowed.

    In the clear (http) only what the operator allows is called.
    """
    if any(address in network for network in allowed):
        return
    if not public(address):
        raise Forbidden("public", f"leads to {address}, which is not a public address")
    if scheme != "https":
        raise Forbidden("https", "must begin with https://")


async def resolve(parts: SplitResult, allowed: Sequence[Network]) -> str:
    """The address to connect to. Every one that the name has must be allowed.

    The caller connects to this very address: a name that changes meanwhile leads nowhere else.
    Raises ``Forbidden``, or OSError where the name does not resolve.
    """
    host = str(parts.hostname)
    found = _literal(host)
    if found is not None:
        check(found, parts.scheme, allowed)
        return str(found)
    loop = asyncio.get_running_loop()
    try:
        infos = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:
        raise OSError(f"{host!r} is not a host name") from None
    addresses = [str(info[4][0]).partition("%")[0] for info in infos]
    if not addresses:
        raise OSError(f"{host!r} has no address")
    for one in addresses:
        check(ipaddress.ip_address(one), parts.scheme, allowed)
    return addresses[0]


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    try:  # 127.1, 0x7f000001 and the like: a resolver would take them for addresses
        return ipaddress.IPv4Address(socket.inet_aton(host))
    except OSError:
        return None
