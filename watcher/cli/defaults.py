"""Where servers are: the defaults, and how what a server listens at becomes what a client connects to. Pure."""

from __future__ import annotations

import os
from pathlib import Path

DEFAULT_SERVER = "127.0.0.1:8080"
DEFAULT_HTTP = "127.0.0.1:8081"

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - these are replaced, nothing listens there


def reachable(listen: str) -> str:
    """Return the address at which this machine reaches a server that listens at ``listen``: any host becomes loopback."""
    host, colon, port = listen.rpartition(":")
    return f"{_LOOPBACK.get(host, host)}{colon}{port}"


def default_server() -> str:
    """Return the address of the server that this environment speaks of, as in the server's own container."""
    return os.environ.get("WATCHER_SERVER") or reachable(
        os.environ.get("WATCHER_LISTEN") or DEFAULT_SERVER
    )


def default_http_server() -> str:
    """Return the URL of its HTTP port, likewise."""
    return f"http://{reachable(os.environ.get('WATCHER_HTTP') or DEFAULT_HTTP)}"


def default_state_directory() -> Path:
    """Return where a server of this user and environment keeps its state."""
    given = os.environ.get("WATCHER_STATE")
    if given:
        return Path(given)
    home = Path(os.environ.get("XDG_STATE_HOME", ""))
    # The specification has relative paths ignored.
    return (home if home.is_absolute() else Path("~/.local/state").expanduser()) / "watcher"
