"""Deletes messages in a thread, extends the time of others, and asks for the attributes of a queue.

It works beside the receiver, whose request takes up to 20 seconds while nothing comes.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from watcher.errors import DeniedError, WatcherError
from watcher.sources.s3.hints.queue.sqs import BATCH_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from watcher.clock import Clock
    from watcher.sources.s3.hints.pauses import Pauses
    from watcher.sources.s3.hints.queue.in_flight import MessagesInFlight, Receipt
    from watcher.sources.s3.hints.queue.record import QueueRecord
    from watcher.sources.s3.hints.queue.sqs import QueueApi

GATHER_S = 0.05
"""Seconds for which messages to delete are gathered, since ten cost as much as one."""
BUSY_S, IDLE_S = 60.0, 600.0
"""Seconds between two requests for the backlog, while there is one or messages come, and else."""


class QueueSettler:
    """Settles what becomes of received messages, from its start until it is stopped.

    Args:
        api: Sends the requests.
        record: What is known of the queue.
        in_flight: Where messages wait.
        wake: Called when messages cannot be deleted, or can be again.
        pauses: Between requests that fail.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913 - all that requests and their failures touch
        self,
        api: QueueApi,
        record: QueueRecord,
        in_flight: MessagesInFlight,
        *,
        wake: Callable[[], None],
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self._api = api
        self._record = record
        self._in_flight = in_flight
        self._wake = wake
        self._pauses = pauses
        self._clock = clock
        self._is_stopping = False
        self._failures = 0
        self._asked_at_s = float("-inf") if record.attributes is None else clock.monotonic()
        self._messages_then = record.messages
        self._thread = threading.Thread(
            target=self._run, name=f"settle {api.queue.path}", daemon=True
        )

    def start(self) -> None:
        """Begin to settle."""
        self._thread.start()

    def stop(self) -> None:
        """End soon, giving messages whose keys wait back to the queue, and return at once."""
        with self._in_flight.changed:
            self._is_stopping = True
            self._in_flight.changed.notify_all()

    def _run(self) -> None:
        while not self._is_stopping:
            self._wait_until_due()
            self._attempt(self._settle)
        waiting = self._in_flight.take_all()
        self._attempt(self._delete_done)
        self._attempt(lambda: self._extend([(receipt, 0) for receipt in waiting]))
        self._api.close()

    def _attempt(self, act: Callable[[], None]) -> None:
        """Send requests; after a failure, wait before the next ones."""
        try:
            act()
        except WatcherError:
            self._record.count_errors()
            self._failures += 1
        except Exception:  # noqa: BLE001 - without its thread, no message would ever be deleted
            structlog.get_logger("watcher").exception("hints.failed", queue=str(self._api.queue))
            self._failures += 1
        else:
            self._failures = 0
            return
        with self._in_flight.changed:
            pause_s = self._pauses.after_failures(self._failures)
            self._in_flight.changed.wait_for(lambda: self._is_stopping, pause_s)

    def _wait_until_due(self) -> None:
        in_flight = self._in_flight
        with in_flight.changed:
            while not (in_flight.done_count or self._is_stopping):
                if (due_in_s := self._due_in_s()) <= 0:
                    return
                in_flight.changed.wait(due_in_s)
            if in_flight.done_count:
                in_flight.changed.wait_for(
                    lambda: in_flight.done_count >= BATCH_MAX or self._is_stopping, GATHER_S
                )

    def _due_in_s(self) -> float:
        due_s = min(self._in_flight.extension_due_s, self._attributes_due_s())
        return max(0.0, due_s - self._clock.monotonic())

    def _attributes_due_s(self) -> float:
        attributes = self._record.attributes
        has_backlog = attributes is not None and attributes.backlog > 0
        is_busy = has_backlog or self._record.messages != self._messages_then
        return self._asked_at_s + (BUSY_S if is_busy else IDLE_S)

    def _settle(self) -> None:
        """Send the requests that are due.

        Raises:
            WatcherError: One has failed.
        """
        self._delete_done()
        if expiring := self._in_flight.take_expiring():
            self._extend(expiring)
        if self._attributes_due_s() <= self._clock.monotonic():
            self._ask_attributes()

    def _delete_done(self) -> None:
        """Delete all messages whose keys were compared.

        Raises:
            WatcherError: A request has failed; the messages are tried again until they come again.
        """
        while receipts := self._in_flight.done(BATCH_MAX):
            try:
                refused = self._api.delete(receipts)
            except DeniedError as error:
                self._note_refusal(f"messages cannot be deleted: {error.message}; {error.hint}")
                raise
            self._in_flight.forget(receipts)
            self._note_refused(refused)
            self._note_refusal("")

    def _note_refusal(self, reason: str) -> None:
        if self._record.refused_deletion != reason:
            self._record.refused_deletion = reason
            self._wake()

    def _extend(self, timeouts_s: Sequence[tuple[Receipt, int]]) -> None:
        """Change the time until messages are visible again.

        Raises:
            WatcherError: A request has failed; the messages come again before.
        """
        for start in range(0, len(timeouts_s), BATCH_MAX):
            self._note_refused(self._api.change_visibility(timeouts_s[start : start + BATCH_MAX]))

    def _ask_attributes(self) -> None:
        """Ask for the attributes of the queue.

        Raises:
            WatcherError: The request has failed; it is sent again when it would be anyway.
        """
        self._asked_at_s, self._messages_then = self._clock.monotonic(), self._record.messages
        attributes = self._api.attributes()
        self._record.note_attributes(attributes)
        self._in_flight.visibility_s = float(attributes.visibility_s)

    def _note_refused(self, refused: Mapping[Receipt, str]) -> None:
        """Count messages for which a request was refused: they come again."""
        self._record.count_errors(len(refused))
