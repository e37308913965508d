"""Decides how many examples hypothesis tries: the same few each time, or DEEP_EXAMPLES others.

With PART a third of the few.
"""

import os

IS_SEARCH = "DEEP_EXAMPLES" in os.environ


def examples(usual: int) -> int:
    """Return the number of examples of one test; at least ``usual``."""
    few = -(-usual // 3) if os.environ.get("PART") else usual
    return max(few, int(os.environ.get("DEEP_EXAMPLES", "0")))
