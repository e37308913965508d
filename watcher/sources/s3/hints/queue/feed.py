"""Brings the messages of one queue as a feed of hints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from watcher.errors import DeniedError, NotFoundError, WatcherError
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.queue.in_flight import MessagesInFlight
from watcher.sources.s3.hints.queue.receiver import QueueReceiver
from watcher.sources.s3.hints.queue.record import QueueRecord
from watcher.sources.s3.hints.queue.settler import QueueSettler
from watcher.sources.s3.hints.queue.sqs import QueueApi
from watcher.spec import HintKind
from watcher.status_values import HintStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintInbox
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec


class QueueFeed:
    """Brings the messages of one queue, as a ``HintFeed``.

    Args:
        spec: The bucket; its ``notifications`` name the queue.
        clock: The clock of the server.
        trust: The authorities for certificates.
        pauses: Between two requests after failures.
    """

    def __init__(
        self, spec: BucketSpec, *, clock: Clock, trust: Trust, pauses: Pauses | None = None
    ) -> None:
        self._clock = clock
        self._api = QueueApi(spec, clock=clock, trust=trust)
        self._pauses = pauses or Pauses()
        self._record = QueueRecord(spec, clock)
        self._in_flight = MessagesInFlight(clock)
        self._threads: tuple[QueueReceiver, QueueSettler] | None = None

    @property
    def status(self) -> HintStatus:
        """What has arrived since the feed was made."""
        record = self._record
        return HintStatus(
            HintKind.QUEUE.value,
            problem=self.problem,
            messages=record.messages,
            rejected=record.reader.rejected,
            errors=record.errors,
            requests=self._api.requests,
            backlog=None if record.attributes is None else record.attributes.backlog,
            oldest_age_s=self._in_flight.oldest_age_s,
        )

    @property
    def problem(self) -> str:
        """Why nothing is received, or deleted; empty until that has failed twice or was refused."""
        return self._record.problem or self._record.refused_deletion

    @property
    def complaint(self) -> str:
        """What is wrong with single messages, while others arrive; empty for nothing."""
        return self._record.reader.complaint(self._record.visibility_s)

    @property
    def misses_hints(self) -> bool:
        """Whether the queue was gone, or keeps messages for less time than until a listing."""
        return self._record.misses_hints

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew."""
        return self._record.take_missed()

    def known_until_s(self) -> float:
        """Return when the oldest message of the last answer was sent, or an empty one asked for."""
        return float("-inf") if self.problem else self._record.known_until_s

    def verify(self) -> None:
        """Check that the queue can be read; may wait for the network.

        What passes by itself is no error: the watch is polled until then.

        Raises:
            NotFoundError: There is no such queue.
            DeniedError: Credentials are missing, wrong or do not suffice.
        """
        try:
            self._record.note_attributes(self._api.attributes())
        except (NotFoundError, DeniedError):
            self._api.close()
            raise
        except WatcherError:
            self._record.count_errors()

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:
        """Begin to receive, in threads that end with ``stop``."""
        self.stop()
        self._in_flight = in_flight = MessagesInFlight(self._clock)
        in_flight.visibility_s = float(self._record.visibility_s)
        receiver = QueueReceiver(
            self._api,
            self._record,
            in_flight,
            inbox=inbox,
            wake=wake,
            pauses=self._pauses,
            clock=self._clock,
        )
        settler = QueueSettler(
            self._api,
            self._record,
            in_flight,
            wake=wake,
            pauses=self._pauses,
            clock=self._clock,
        )
        self._threads = receiver, settler
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End soon, and return at once; messages whose keys wait are given back to the queue."""
        threads, self._threads = self._threads, None
        for thread in threads or ():
            thread.stop()
