"""Whether a server stands by, as it answers a probe by HTTP.

Apart from other requests to a server, since a container's health check runs all the time and must
not load what they need.
"""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from watcher.formatting import printable

STANDBY_TIMEOUT_S = 1.0
"""Seconds that a server has to say whether it stands by; the probe of a container allows five."""

MAX_PROBLEM_BYTES = 4096
"""Size in bytes of what is read of such an answer."""


def read_standby(url: str) -> str:
    """Return for whom a server stands by, as it answers itself; empty if it does not.

    Args:
        url: URL of its HTTP port.
    """
    connection = HTTPConnection(urlsplit(url).netloc, timeout=STANDBY_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        text = connection.getresponse().read(MAX_PROBLEM_BYTES).decode("utf-8", "replace").strip()
    except (OSError, HTTPException):
        return ""
    finally:
        connection.close()
    return printable(text) if text.startswith("standby: ") else ""
