"""What is known of one queue, over all starts of its feed."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError
from watcher.sources.cost import longest_interval_s
from watcher.sources.s3.hints.queue.messages import MessageReader
from watcher.sources.s3.hints.queue.sqs import QueueAttributes

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.errors import WatcherError
    from watcher.spec import BucketSpec

PASSING_FAILURES = 1
"""Number of failures in a row that are no problem yet: a problem has the bucket listed."""


class QueueRecord:
    """Counts, the state of the queue, and what is wrong with it. Thread-safe.

    Args:
        spec: The bucket.
        clock: The time.

    Attributes:
        reader: Reads messages, and counts those that are left.
        messages: Messages received, those that came again included.
        problem: Why nothing is received; empty until that has failed twice, or was refused.
        misses_hints: The queue was gone, or keeps messages for less time than until a listing.
        known_until_s: When the last message that arrived was sent, on the monotonic clock.
        attributes: What the queue says of itself; None until it has.
        refused_deletion: Why messages are not deleted; empty while they are, or there are none.
    """

    def __init__(self, spec: BucketSpec, clock: Clock) -> None:
        self.reader = MessageReader(spec, clock)
        self.messages = 0
        self.problem = ""
        self.misses_hints = False
        self.known_until_s = float("-inf")
        self.attributes: QueueAttributes | None = None
        self.refused_deletion = ""
        self._needs_s = longest_interval_s(spec)
        self._errors = 0
        self._failures = 0
        self._was_gone = False
        self._lock = threading.Lock()

    @property
    def errors(self) -> int:
        """Requests that have failed, and messages that could not be deleted."""
        return self._errors

    @property
    def visibility_s(self) -> int:
        """Visibility timeout of the queue in seconds; the usual one while it is not known."""
        return (self.attributes or QueueAttributes()).visibility_s

    def count_errors(self, number: int = 1) -> None:
        """Count requests that have failed, or messages for which they have."""
        with self._lock:
            self._errors += number

    def note_attributes(self, attributes: QueueAttributes) -> None:
        """Note what the queue says of itself."""
        if self.attributes is None and attributes.retention_s < self._needs_s:
            # Messages may have expired since the last listing.
            self._miss_hints()
        with self._lock:
            self.attributes = attributes

    def note_empty(self, *, is_settled: bool) -> None:
        """Note that no message waits, as an answer without one says that came after a wait.

        Args:
            is_settled: None is in flight here either: if none is elsewhere, nothing is left to be
                deleted, and whether that is refused still, the next message shows at once.
        """
        with self._lock:
            if self.attributes is not None:
                self.attributes = replace(self.attributes, backlog=0)
                is_settled = is_settled and not self.attributes.in_flight
        if is_settled:
            self.refused_deletion = ""

    @property
    def troubles(self) -> tuple[str, str, bool]:
        """All of which the watch must know at once when it changes."""
        return self.problem, self.refused_deletion, self.misses_hints

    def note_failure(self, error: WatcherError) -> int:
        """Note that nothing could be received, and return how often in a row that is."""
        self.count_errors()
        self._failures += 1
        self._was_gone = self._was_gone or isinstance(error, NotFoundError)
        is_lasting = isinstance(error, NotFoundError | DeniedError)
        if is_lasting or self._failures > PASSING_FAILURES:
            self.problem = f"{error.message}; {error.hint}" if error.hint else error.message
        return self._failures

    def note_answer(self, known_until_s: float) -> None:
        """Note that a request for messages was answered.

        Args:
            known_until_s: All messages up to this monotonic time have arrived.
        """
        self.known_until_s = max(self.known_until_s, known_until_s)
        self._failures = 0
        if self._was_gone:
            # Nobody has kept the notifications of the time without a queue.
            self._was_gone = False
            self._miss_hints()
        self.problem = ""

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew."""
        with self._lock:
            missed, self.misses_hints = self.misses_hints, False
        return missed

    def _miss_hints(self) -> None:
        with self._lock:
            self.misses_hints = True
