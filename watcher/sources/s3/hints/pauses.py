"""The pauses between the tries of a feed to reach what brings its hints."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pauses:
    """Lengths of pauses in seconds, without the jitter that keeps many feeds apart.

    Attributes:
        first_s: After one failure; doubled by each further one.
        most_s: After many failures.
        refused_s: After a refusal that is no failure: the same request gets the same answer until
            somebody changes the store.
    """

    first_s: float = 1.0
    most_s: float = 60.0
    refused_s: float = 3600.0

    def after_failures(self, failures: int) -> float:
        """Return the pause after a number of failures in a row, one at least; with jitter."""
        # No pause is that long, and no float is large enough for any number of failures.
        doublings = min(failures - 1, 64)
        return _jitter(min(self.first_s * 2**doublings, self.most_s))

    def after_refusal(self) -> float:
        """Return the pause after a refusal; with jitter."""
        return _jitter(self.refused_s)


def _jitter(pause_s: float) -> float:
    return pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - only spreads load
