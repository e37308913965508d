"""How many examples hypothesis looks at: the same few each time, or as many others as whoever searches has time for (make deep)."""

from __future__ import annotations

import os

IS_SEARCH = "DEEP_EXAMPLES" in os.environ


def examples(usual: int) -> int:
    """Return how many, which are ``usual`` ones if nobody searches for others."""
    return max(usual, int(os.environ.get("DEEP_EXAMPLES", "0")))
