"""Receives the messages of a queue in a thread, and puts the keys in them into the inbox."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from watcher.errors import UnavailableError, WatcherError
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.queue.sqs import BATCH_MAX

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.clock import Clock
    from watcher.sources.s3.hints.inbox import HintInbox
    from watcher.sources.s3.hints.queue.in_flight import MessagesInFlight
    from watcher.sources.s3.hints.queue.record import QueueRecord
    from watcher.sources.s3.hints.queue.sqs import QueueApi, QueueMessage

WAIT_S = 20
"""Longest wait of a request for messages in seconds, the maximum of SQS: three requests a minute
while nothing comes."""
ROOM_POLL_S = 0.1
"""Seconds between two looks whether a full inbox has room."""
USELESS_PAUSES = Pauses(first_s=0.5, most_s=20.0)
"""Pauses after answers at once that bring nothing but what is left in the queue.

Else requests would follow each other as fast as a queue full of foreign messages, or one without
long polling, answers them.
"""


class QueueReceiver:
    """Receives from its start until it is stopped.

    Args:
        api: Sends the requests.
        record: What is known of the queue.
        in_flight: Where messages wait.
        inbox: Where their keys go.
        wake: Called when the ``troubles`` of ``record`` have changed.
        pauses: Between requests that fail.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913 - all that a message comes by
        self,
        api: QueueApi,
        record: QueueRecord,
        in_flight: MessagesInFlight,
        *,
        inbox: HintInbox,
        wake: Callable[[], None],
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        self._api = api
        self._record = record
        self._in_flight = in_flight
        self._inbox = inbox
        self._wake = wake
        self._pauses = pauses
        self._clock = clock
        self._stopping = threading.Event()
        self._most = BATCH_MAX
        self._useless_answers = 0
        self._thread = threading.Thread(
            target=self._run, name=f"receive {api.queue.path}", daemon=True
        )

    def start(self) -> None:
        """Begin to receive."""
        self._thread.start()

    def stop(self) -> None:
        """End after the present request, and return at once."""
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            former = self._record.troubles
            try:
                pause_s = self._receive()
            except WatcherError as error:
                pause_s = self._fail(error)
            except Exception:
                # Without its thread, a feed would be silent for ever.
                log = structlog.get_logger("watcher")
                log.exception("hints.failed", queue=str(self._api.queue))
                pause_s = self._fail(UnavailableError("an error of the program, see the log"))
            if self._record.troubles != former:
                self._wake()
            self._stopping.wait(pause_s)

    def _receive(self) -> float:
        """Wait for messages and put their keys in; return the pause until the next request.

        Raises:
            WatcherError: The request has failed.
        """
        while self._in_flight.is_full:
            if self._stopping.wait(ROOM_POLL_S):
                return 0.0
        begun_s = self._clock.monotonic()
        most = 1 if self._record.refused_deletion else self._most
        messages = self._api.receive(most=most, wait_s=WAIT_S)
        if self._stopping.is_set():
            # The answer is late: the next owner of the queue gets them at once.
            self._api.change_visibility([(message.receipt, 0) for message in messages])
            return 0.0
        if messages:
            self._most = min(2 * self._most, BATCH_MAX)
        self._record.messages += len(messages)
        self._record.note_answer(min([begun_s, *map(self._sent_s, messages)]))
        is_useful = self._take(messages)
        has_waited = self._clock.monotonic() - begun_s >= WAIT_S / 2
        if self._record.refused_deletion and messages:
            # Each message comes again and again, and is inspected again.
            return self._pauses.most_s
        is_empty = not messages and has_waited
        if is_empty:
            self._record.note_empty(is_settled=self._in_flight.is_empty)
        if is_useful or is_empty:
            self._useless_answers = 0
            return 0.0
        self._useless_answers += 1
        return USELESS_PAUSES.after_failures(self._useless_answers)

    def _take(self, messages: Sequence[QueueMessage]) -> bool:
        """Put the keys of messages in, and return whether there is one that is not to be left.

        All of them are in flight before the first one may have to wait for room. What does not get
        in before the end is given back with all that waits.
        """
        taken = []
        for message in messages:
            keys = self._record.reader.read(message)
            if keys is None:
                continue
            ticket = self._in_flight.add(message.receipt, self._sent_s(message))
            if ticket is not None:
                taken.append((keys, ticket))
        for keys, ticket in taken:
            if not keys:
                ticket.done()
            while keys and not self._inbox.put(keys, ticket):
                if self._stopping.wait(ROOM_POLL_S):
                    return True
        return bool(taken)

    def _sent_s(self, message: QueueMessage) -> float:
        """Return when a message was sent, on the monotonic clock."""
        age_s = self._clock.wall() - message.sent_at if message.sent_at else 0.0
        return self._clock.monotonic() - max(0.0, age_s)

    def _fail(self, error: WatcherError) -> float:
        """Note a failure, and return the pause until the next request."""
        if self._stopping.is_set():
            return 0.0
        # If the answer was too large to be read, smaller ones get through.
        self._most = 1
        return self._pauses.after_failures(self._record.note_failure(error))
