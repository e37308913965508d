"""Asks a server whether it serves, and says so in one line. Imports no typer: probes run every few seconds."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from watcher.cli.client import is_serving
from watcher.errors import WatcherError

if TYPE_CHECKING:
    from watcher.cli.client import Endpoint

TIMEOUT_S = 2.0


def probe(endpoint: Endpoint) -> int:
    """Return the exit code: 0 if the server serves, else 1."""
    try:
        serves = asyncio.run(is_serving(endpoint, TIMEOUT_S))
    except WatcherError as error:
        sys.stderr.write(f"watcher: {endpoint.address} does not serve: {error}\n")
        return 1
    if not serves:
        sys.stderr.write(f"watcher: {endpoint.address} does not serve\n")
        return 1
    sys.stdout.write(f"{endpoint.address} serves\n")
    return 0
