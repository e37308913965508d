"""Decides how many examples hypothesis tries: the same few each time, or DEEP_EXAMPLES others.

With HALF the first half of the few.
"""

import os

IS_SEARCH = "DEEP_EXAMPLES" in os.environ


def examples(usual: int) -> int:
    """Return the number of examples of one test; at least ``usual``."""
    few = -(-usual // 2) if os.environ.get("HALF") else usual
    return max(few, int(os.environ.get("DEEP_EXAMPLES", "0")))
