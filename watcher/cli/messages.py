"""Messages on standard error, and the error of a request that a server refuses."""

from __future__ import annotations

import sys

from watcher.errors import WatcherError
from watcher.formatting import printable


class RefusedError(WatcherError):
    """The server has refused a request and would refuse it again."""


def complain(*lines: str) -> None:
    """Print a message on standard error, with control characters of each line escaped."""
    text = "\n".join(printable(line) for line in lines)
    sys.stderr.write(f"watcher: {text}\n")
    sys.stderr.flush()
