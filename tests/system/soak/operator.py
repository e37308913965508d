"""Changes places at random, in a thread. Imports no watcher."""

import threading
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import Self

from botocore.exceptions import BotoCoreError, ClientError

from system.soak.places import Place

FAILED = "failed"


class Operator:
    """Changes one place after the other; use it as a context manager.

    Args:
        places: The places, which nobody else changes.
        chance: Decides what happens.
        pause_s: Pause between two operations.

    Attributes:
        operations: Number of operations by kind; ``failed`` where a store did not answer.
    """

    def __init__(self, places: Sequence[Place], chance: Random, pause_s: float) -> None:
        self.operations: Counter[str] = Counter()
        self._places = places
        self._chance = chance
        self._pause_s = pause_s
        self._is_over = threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._running = self._pool.submit(self._run)
        return self

    def __exit__(self, *_: object) -> None:
        """Stop.

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
