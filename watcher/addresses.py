"""What two endpoints are compared by, and which addresses stand for this machine or the cloud behind it. Pure; resolves no names."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_PORTS = {"http": 80, "https": 443}

_PRIVILEGED = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local; where clouds hand out credentials
            "fe80::/10",  # link-local
            "fd00:ec2::/32",  # Amazon's services for an instance
            "fd20:ce::254/128",  # Google's
            "100.100.100.200/32",  # Alibaba's
            "fd00:100::100:200/128",  # Alibaba's
            "168.63.129.16/32",  # Azure's
            "192.0.0.192/32",  # Oracle's
            "fd00:c1::a9fe:a9fe/128",  # Oracle's
            "fd00:42::42/128",  # Scaleway's
            "fd00:a9fe:a9fe::1/128",  # Akamai's
        ),
    )
)

_CARRIERS = {
    ip_network("::/96"): (0,),  # IPv4-compatible
    ip_network("::ffff:0:0:0/96"): (0,),  # IPv4-translated
    ip_network("64:ff9b::/96"): (0,),  # NAT64
    ip_network("64:ff9b:1::/48"): (
        0,
        24,
        32,
        40,
    ),  # NAT64 of a network's own, by a prefix of 96, 64, 56 or 48 bits
    ip_network("2002::/16"): (72,),  # 6to4
}
"""Networks of IPv6 whose addresses carry one of IPv4, and how many bits follow it, not counting the octet that RFC 6052 leaves out."""


def normal_endpoint(url: str) -> str:
    """Return an endpoint in the one form in which two that are the same are equal.

    Args:
        url: ``http://`` or ``https://``, a host, perhaps a port and a path.

    Raises:
        ValueError: It is anything else.
    """
    parts = urlsplit(url)
    if (
        parts.scheme not in _DEFAULT_PORTS
        or not parts.hostname
        or "@" in parts.netloc
        or not {"?", "#"}.isdisjoint(url)
    ):
        raise ValueError("must be http:// or https:// and a host, without user, query and fragment")
    host = _normal_host(parts.hostname)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def is_below(url: str, endpoint: str) -> bool:
    """Tell whether a request goes to an endpoint, or to a host of its domain: the name of a bucket may stand before it."""
    asked, allowed = (
        urlsplit(normal_endpoint(url.partition("?")[0])),
        urlsplit(normal_endpoint(endpoint)),
    )
    if (asked.scheme, asked.port) != (allowed.scheme, allowed.port):
        return False
    host, domain = asked.hostname or "", allowed.hostname or ""
    return host == domain or (host.endswith(f".{domain}") and literal_address(domain) is None)


def is_metadata_address(address: str) -> bool:
    """Tell whether an IP address is link-local, or one at which a cloud tells its machines their secrets; False for a name.

    An IPv6 address that a translator or a tunnel makes an IPv4 address of is privileged if that one is.
    """
    literal = literal_address(address)
    reached = [literal, *_carried(literal)] if isinstance(literal, IPv6Address) else [literal]
    return literal is not None and any(
        each in network for each in reached for network in _PRIVILEGED
    )


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens at a host: ``localhost``, or a loopback address."""
    literal = literal_address(host.removeprefix("[").removesuffix("]"))
    return host.lower() == "localhost" if literal is None else literal.is_loopback


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a host is, as the resolver of the system reads it; None for a name.

    Args:
        host: Without brackets. An IPv4 address may have fewer than four numbers, octal and hexadecimal ones, as inet_aton(3) has it, or
            be mapped into IPv6.
    """
    try:
        literal = ip_address(host)
    except ValueError:
        return _read_numbers(host)
    return literal.ipv4_mapped or literal if isinstance(literal, IPv6Address) else literal


def _read_numbers(host: str) -> IPv4Address | None:
    if host.split() != [host]:
        # What follows a space would be left unread.
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        # The second is for NUL.
        return None


def _carried(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses of which an IPv6 address may carry one."""
    number = int(address)
    without_octet = number >> 64 << 56 | number & ((1 << 56) - 1)
    for network, shifts in _CARRIERS.items():
        if address in network:
            yield from (IPv4Address(without_octet >> shift & 0xFFFFFFFF) for shift in shifts)


def _normal_host(host: str) -> str:
    literal = literal_address(host)
    if literal is None:
        return host.lower()
    return f"[{literal.compressed}]" if isinstance(literal, IPv6Address) else str(literal)
