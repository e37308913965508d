"""Default addresses and directories, and the address of a client for the address of a server."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from watcher.settings import DatabaseUrl, parse_state

DEFAULT_SERVER = "127.0.0.1:8080"
DEFAULT_HTTP = "127.0.0.1:8081"

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - these are replaced, nothing listens there


def reachable(listen: str) -> str:
    """Return the local address of a server that listens at ``listen``: loopback for any host."""
    host, colon, port = listen.rpartition(":")
    return f"{_LOOPBACK.get(host, host)}{colon}{port}"


def default_server() -> str:
    """Return the gRPC address in this environment, which may be the server's own container."""
    return os.environ.get("WATCHER_SERVER") or reachable(
        os.environ.get("WATCHER_LISTEN") or DEFAULT_SERVER
    )


def default_http_server() -> str:
    """Return the URL of the server's HTTP port in this environment."""
    return f"http://{reachable(os.environ.get('WATCHER_HTTP') or DEFAULT_HTTP)}"


def default_node() -> str:
    """Return this machine's name; empty in a pod, whose own name says nothing about its node."""
    return "" if os.environ.get("KUBERNETES_SERVICE_HOST") else platform.node()


def default_state() -> Path | DatabaseUrl:
    """Return where a server of this user and environment keeps its state."""
    given = os.environ.get("WATCHER_STATE")
    if given:
        return parse_state(given)
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    # Relative paths are invalid and ignored (XDG Base Directory Specification).
    return (home if home.is_absolute() else Path("~/.local/state").expanduser()) / "watcher"
