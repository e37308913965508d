"""For how long the kernel has not answered what it was asked about a directory.

A call on a file system whose server is away may not return before the server is back (a hard mount
of NFS), and no thread can leave it. So the thread of the watch writes down when it asks, and others
see how long ago that was.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from watcher.clock import Clock

Item = TypeVar("Item")


class Unanswered:
    """The questions of one source. Written by the thread of its watch, read by any.

    Args:
        clock: The time.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._depth = 0
        self._since_s: float | None = None

    @property
    def seconds(self) -> float:
        """Seconds since the present question began, or had its last part of an answer; else 0."""
        since_s = self._since_s
        return 0.0 if since_s is None else self._clock.monotonic() - since_s

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Count the block as a question; blocks may be nested."""
        self._depth += 1
        self._since_s = self._clock.monotonic()
        try:
            yield
        finally:
            self._depth -= 1
            self._since_s = self._clock.monotonic() if self._depth else None

    def asking_each(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield items, each of which is a question, but not what happens between two of them."""
        iterator = iter(items)
        while True:
            with self.asking():
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def answered(self) -> None:
        """Note a part of an answer to a question that goes on."""
        if self._depth:
            self._since_s = self._clock.monotonic()
