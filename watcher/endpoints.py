"""What two endpoints are compared by, and which addresses stand for this machine or the cloud behind it. Pure; resolves no names."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

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
            "168.63.129.16/32",  # Azure's
        ),
    )
)


def normal_endpoint(url: str) -> str:
    """Return an endpoint in the one form in which two that are the same are equal.

    Args:
        url: ``http://`` or ``https://``, a host, perhaps a port and a path.

    Raises:
        ValueError: It is anything else.
    """
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname or "@" in parts.netloc or not {"?", "#"}.isdisjoint(url):
        raise ValueError("must be http:// or https:// and a host, without user, query and fragment")
    host = _normal_host(parts.hostname)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}:{port}{parts.path.rstrip('/')}"


def is_below(url: str, endpoint: str) -> bool:
    """Tell whether a request goes to an endpoint, or to a host of its domain: the name of a bucket may stand before it."""
    asked, allowed = urlsplit(normal_endpoint(url.partition("?")[0])), urlsplit(normal_endpoint(endpoint))
    if (asked.scheme, asked.port) != (allowed.scheme, allowed.port):
        return False
    host, domain = asked.hostname or "", allowed.hostname or ""
    return host == domain or (host.endswith(f".{domain}") and literal_address(domain) is None)


def is_privileged(address: str) -> bool:
    """Tell whether an IP address is link-local, or one at which a cloud tells its machines their secrets; False for a name."""
    literal = literal_address(address)
    return literal is not None and any(literal in network for network in _PRIVILEGED)


def is_loopback(host: str) -> bool:
    """Tell whether only this machine reaches what listens at a host: ``localhost``, or a loopback address."""
    literal = literal_address(host.removeprefix("[").removesuffix("]"))
    return host.lower() == "localhost" if literal is None else literal.is_loopback


def literal_address(host: str) -> IPv4Address | IPv6Address | None:
    """Return the IP address that a host is, without brackets, and an IPv4 address for one in the clothes of IPv6; None for a name."""
    try:
        literal = ip_address(host)
    except ValueError:
        return None
    return literal.ipv4_mapped or literal if isinstance(literal, IPv6Address) else literal


def _normal_host(host: str) -> str:
    literal = literal_address(host)
    if literal is None:
        return host.lower()
    return f"[{literal.compressed}]" if isinstance(literal, IPv6Address) else str(literal)
