"""Changes places at random, in a thread of its own. Imports no watcher."""

from __future__ import annotations

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Self

from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from system.soak.places import Place

FAILED = "failed"


class Operator:
    """Changes one of its places after the other for as long as it is open; use it as a context manager.

    Args:
        places: What it changes; nobody else does.
        chance: Decides what.
        pause_s: Between two operations.

    Attributes:
        operations: How many it has made, by kind; those that a store did not answer are ``failed``.
    """

    def __init__(self, places: Sequence[Place], chance: Random, pause_s: float) -> None:
        self.operations: Counter[str] = Counter()
        self._places = places
        self._chance = chance
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        """Begin."""
        self._running = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        """End.

        Raises:
            OSError: A file or directory could not be changed.
        """
        self._is_over.set()
        self._pool.shutdown()
        self._running.result()

    def _run(self) -> None:
        while not self._is_over.wait(self._pause_s):
            try:
                kind = self._chance.choice(self._places).operate(self._chance)
            except (BotoCoreError, ClientError):
                kind = FAILED
            self.operations[kind] += 1
