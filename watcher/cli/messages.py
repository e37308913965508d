"""Messages on standard error."""

from __future__ import annotations

import sys

from watcher.formatting import printable


def complain(*lines: str) -> None:
    """Print a message on standard error, with control characters of each line escaped."""
    text = "\n".join(printable(line) for line in lines)
    sys.stderr.write(f"watcher: {text}\n")
    sys.stderr.flush()
