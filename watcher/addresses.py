"""Normal forms of endpoints, and which addresses are this machine's or a cloud's metadata service.

Resolves no names.
"""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFAULT_PORTS = {"http": 80, "https": 443}

_METADATA_NETWORKS = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local; the metadata service of most clouds
            "fe80::/10",  # link-local
            "fd00:ec2::/32",  # Amazon, services of an instance
            "fd20:ce::254/128",  # Google
            "100.100.100.200/32",  # Alibaba
            "fd00:100::100:200/128",  # Alibaba
            "168.63.129.16/32",  # Azure
            "192.0.0.192/32",  # Oracle
            "fd00:c1::a9fe:a9fe/128",  # Oracle
            "fd00:42::42/128",  # Scaleway
            "fd00:a9fe:a9fe::1/128",  # Akamai
        ),
    )
)

_TRANSLATED_NETWORKS = {
    ip_network("::/96"): (0,),  # IPv4-compatible
    ip_network("::ffff:0:0:0/96"): (0,),  # IPv4-translated
    ip_network("64:ff9b::/96"): (0,),  # NAT64
    ip_network("64:ff9b:1::/48"): (0, 24, 32, 40),  # local NAT64: prefix of 96, 64, 56 or 48 bits
    ip_network("2002::/16"): (72,),  # 6to4
}
"""IPv6 networks whose addresses embed an IPv4 address, with the number of bits that follow it.

The bits do not count the octet u, which RFC 6052 leaves out.
"""


def normal_endpoint(url: str) -> str:
    """Return the normal form of an endpoint: two URLs of the same endpoint have the same.

    Args:
        url: ``http://`` or ``https://``, a host, perhaps a port and a path.

    Raises:
        ValueError: The URL has another form.
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
    """Return whether a request goes to an endpoint or to a host below it, as ``bucket.endpoint``.

    Args:
        url: URL of the request.
        endpoint: URL of the endpoint; an address has no hosts below it.
    """
    asked = urlsplit(normal_endpoint(url.partition("?")[0]))
    allowed = urlsplit(normal_endpoint(endpoint))
    if (asked.scheme, asked.port) != (allowed.scheme, allowed.port):
        return False
    host, domain = asked.hostname or "", allowed.hostname or ""
    return host == domain or (host.endswith(f".{domain}") and literal_address(domain) is None)


def is_metadata_address(address: str) -> bool:
    """Return whether an IP address is link-local or a cloud's metadata service; False for a name.

    An IPv6 address counts as the IPv4 address that a translator or a tunnel makes of it.
    """
    literal = literal_address(address)
    reached = [literal, *_embedded(literal)] if isinstance(literal, IPv6Address) else [literal]
    return literal is not None and any(
        each in network for each in reached for network in _METADATA_NETWORKS
    )


def is_loopback(host: str) -> bool:
    """Return whether a host is ``localhost`` or a loopback address."""
    literal = literal_address(host.removeprefix("[").removesuffix("]"))
    return host.lower() == "localhost" if literal is None else literal.is_loopback


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return a host as an IP address, read as the system's resolver reads it; None for a name.

    Args:
        host: Without brackets. An IPv4 address may have fewer than four numbers, octal or
            hexadecimal ones (inet_aton(3)), or be mapped into IPv6.
    """
    try:
        literal = ip_address(host)
    except ValueError:
        return _numbers_and_dots(host)
    return literal.ipv4_mapped or literal if isinstance(literal, IPv6Address) else literal


def _numbers_and_dots(host: str) -> IPv4Address | None:
    if host.split() != [host]:
        # inet_aton(3) ignores all after white space.
        return None
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        # A host with NUL raises ValueError.
        return None


def _embedded(address: IPv6Address) -> Iterator[IPv4Address]:
    """Yield the IPv4 addresses that an IPv6 address may embed."""
    number = int(address)
    without_octet = number >> 64 << 56 | number & ((1 << 56) - 1)
    for network, shifts in _TRANSLATED_NETWORKS.items():
        if address in network:
            yield from (IPv4Address(without_octet >> shift & 0xFFFFFFFF) for shift in shifts)


def _normal_host(host: str) -> str:
    literal = literal_address(host)
    if literal is None:
        return host.lower()
    return f"[{literal.compressed}]" if isinstance(literal, IPv6Address) else str(literal)
