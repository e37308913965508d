"""Decides how many examples hypothesis tries: the same few each time, or DEEP_EXAMPLES others."""

import os

IS_SEARCH = "DEEP_EXAMPLES" in os.environ


def examples(usual: int) -> int:
    """Return the number of examples of one test; at least ``usual``."""
    return max(usual, int(os.environ.get("DEEP_EXAMPLES", "0")))
