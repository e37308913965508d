"""Watches of the server, as the tests start them and wait for their states."""

from pathlib import Path

from support.client import Client, Stream, wait_until
from support.server import ServerProcess

DEADLINE_S = 300.0
"""Seconds for a watch to notice that a file server is away, or back: kernels wait ever longer."""


def directory(path: Path) -> dict[str, object]:
    """Return the configuration of a watch."""
    return {"directory": {"path": str(path), "settle": "1s", "poll_interval": "2s"}}


def watched(client: Client, name: str, path: Path) -> Stream:
    """Watch a directory."""
    return client.watch(name, directory(path))


def wait_state(server: ServerProcess, name: str, state: str) -> None:
    """Wait until a watch has a state."""
    wait_until(
        lambda: server.watches()[name]["state"] == state,
        f"{name} is {state}",
        DEADLINE_S,
        pause_s=1.0,
    )
