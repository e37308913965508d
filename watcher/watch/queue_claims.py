"""Gives each queue to one watch: a message that one watch has deleted would be lost for another.

These are the watches of this server; between servers, the state that they share decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import ConflictError
from watcher.formatting import human_age
from watcher.spec import BucketSpec

if TYPE_CHECKING:
    from concurrent.futures import Future

    from watcher.model import Identity
    from watcher.queue_address import QueueAddress
    from watcher.spec import Spec


class QueueClaims:
    """The queues that watches read, each with the watch that has claimed it; for the event loop.

    Args:
        idle_timeout_s: Seconds without a stream after which a watch ends, for errors.
    """

    def __init__(self, idle_timeout_s: float) -> None:
        self._idle_timeout_s = idle_timeout_s
        self._owners: dict[str, Identity] = {}
        self._ends: dict[Identity, Future[None]] = {}

    def claim(self, identity: Identity, spec: Spec) -> None:
        """Claim the queue of a watch that is about to be made, if its spec has one.

        Args:
            identity: The watch; it has no claim, unless it has ended.
            spec: What it is to watch.

        Raises:
            ConflictError: Another watch has claimed the queue, and has not ended.
        """
        self._forget_ended()
        queue = queue_of(spec)
        if queue is None:
            return
        if self._owners.setdefault(queue.identity, identity) != identity:
            raise self.conflict(spec)

    def conflict(self, spec: Spec) -> ConflictError:
        """Return the error of a watch whose queue another one reads.

        The other watch may be another tenant's, so it is not named.
        """
        return ConflictError(
            f"another watch reads the queue {queue_of(spec)}",
            place=spec.where.place,
            hint="send the notifications to a queue for each watch (by SNS, if need be), or "
            "share the stream by the same name and configuration; a watch gives its queue up "
            f"{human_age(self._idle_timeout_s)} after its last stream",
        )

    def keep_until(self, ended: Future[None], identity: Identity) -> None:
        """Keep the claim of a watch until it has ended."""
        self._ends[identity] = ended

    def release(self, identity: Identity) -> None:
        """Give up the claim of a watch that was not made."""
        self._ends.pop(identity, None)
        for queue, owner in list(self._owners.items()):
            if owner == identity:
                del self._owners[queue]

    def _forget_ended(self) -> None:
        for identity, ended in list(self._ends.items()):
            if ended.done():
                self.release(identity)


def queue_of(spec: Spec) -> QueueAddress | None:
    """Return the queue that a spec has hints from; None if it has none."""
    where = spec.where
    return where.queue if isinstance(where, BucketSpec) else None
