"""The messages that were received and have not left the queue: which to delete, which to keep.

Pure but for the lock: it decides what is due, and ``queue`` sends the requests. A message is
invisible to other receivers for the visibility timeout of its queue. It is deleted once its ticket
is done; while that takes long, the time is extended; if its ticket fails, it is left, and comes
again when the time is over. Then it may come to us, too, with another receipt handle.
"""

from __future__ import annotations

import threading
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from watcher.clock import Clock

IN_FLIGHT_MAX = 10_000
"""Maximum number of messages in flight of one watch; SQS allows 120,000 in a queue."""
EXTENSION_MAX_S = 600.0
"""Longest extension in seconds; after a crash, a message stays invisible for this time."""
HELD_MAX_S = 43_200.0
"""Seconds from its receipt for which a message can be kept invisible (SQS Developer Guide, "Amazon
SQS visibility timeout")."""
_EXTENSION_MIN_S = 1.0
"""Shortest extension; requests name whole seconds."""


class Receipt(NamedTuple):
    """How a received message is named in requests, by the one receipt."""

    message_id: str
    handle: str


class _Message:
    """One message in flight, which is the ``Ticket`` of its keys, too.

    Attributes:
        receipt: Its last receipt.
        sent_s: When it was sent, on the monotonic clock.
        received_s: When it was first received.
        visible_s: When it becomes visible again.
        is_done: It is to be deleted.
    """

    __slots__ = ("_owner", "is_done", "receipt", "received_s", "sent_s", "visible_s")

    def __init__(
        self, owner: MessagesInFlight, receipt: Receipt, *, sent_s: float, now_s: float
    ) -> None:
        self._owner = owner
        self.receipt = receipt
        self.sent_s = sent_s
        self.received_s = now_s
        self.visible_s = now_s
        self.is_done = False

    def done(self) -> None:
        self._owner.finish(self)

    def fail(self) -> None:
        self._owner.leave(self)


class MessagesInFlight:
    """The messages that one receiver holds. Thread-safe.

    Args:
        clock: The time.

    Attributes:
        changed: Notified when messages are done, or one expires before all others; the lock of all
            that is here.
        visibility_s: Visibility timeout of the queue in seconds.
    """

    def __init__(self, clock: Clock) -> None:
        self.changed = threading.Condition()
        self.visibility_s = 30.0
        self._clock = clock
        self._messages: dict[str, _Message] = {}
        self._done: dict[str, _Message] = {}
        self._extend_s = float("inf")

    def __len__(self) -> int:
        """Return the number of messages that wait for their keys."""
        return len(self._messages) - len(self._done)

    @property
    def is_full(self) -> bool:
        """Whether no more messages are to be received."""
        return len(self._messages) >= IN_FLIGHT_MAX

    @property
    def is_empty(self) -> bool:
        """Whether no message waits for its keys, or for its deletion."""
        return not self._messages

    @property
    def done_count(self) -> int:
        """Number of messages that are to be deleted."""
        return len(self._done)

    @property
    def extension_due_s(self) -> float:
        """When ``take_expiring`` has something, on the monotonic clock."""
        return self._extend_s

    @property
    def oldest_age_s(self) -> float:
        """Seconds since the oldest message that waits for its keys was sent; 0 for none."""
        with self.changed:
            sent = [message.sent_s for message in self._messages.values() if not message.is_done]
        return max(0.0, self._clock.monotonic() - min(sent)) if sent else 0.0

    def add(self, receipt: Receipt, sent_s: float) -> _Message | None:
        """Add a message that was received, and return its ticket.

        Returns:
            None if it is in flight already: its keys wait, or it is to be deleted.
        """
        now_s = self._clock.monotonic()
        with self.changed:
            known = self._messages.get(receipt.message_id)
            message = known or _Message(self, receipt, sent_s=sent_s, now_s=now_s)
            message.receipt = receipt
            message.visible_s = now_s + self.visibility_s
            if known is not None:
                return None
            self._messages[receipt.message_id] = message
            if not self._extend_s <= self._due_s(message):
                self._extend_s = self._due_s(message)
                self.changed.notify_all()
        return message

    def finish(self, message: _Message) -> None:
        """Have a message deleted."""
        with self.changed:
            if self._messages.get(message.receipt.message_id) is message:
                message.is_done = True
                self._done[message.receipt.message_id] = message
                self.changed.notify_all()

    def leave(self, message: _Message) -> None:
        """Forget a message: it comes again."""
        with self.changed:
            if not message.is_done and self._messages.get(message.receipt.message_id) is message:
                self._forget(message.receipt)

    def done(self, limit: int) -> list[Receipt]:
        """Return messages that are to be deleted, until ``forget`` is called for them.

        Those that have become visible again are forgotten: they come again, and so do their hints.
        """
        now_s = self._clock.monotonic()
        with self.changed:
            for message in [each for each in self._done.values() if each.visible_s <= now_s]:
                self._forget(message.receipt)
            return [message.receipt for message in islice(self._done.values(), limit)]

    def forget(self, receipts: Iterable[Receipt]) -> None:
        """Forget messages that were deleted, or that the queue refuses to delete."""
        with self.changed:
            for receipt in receipts:
                self._forget(receipt)

    def take_expiring(self) -> list[tuple[Receipt, int]]:
        """Return the messages that become visible soon while their keys wait.

        Returns:
            Each with the seconds by which it is to be extended, which are counted as if they were.
        """
        now_s, extended = self._clock.monotonic(), []
        with self.changed:
            self._extend_s = float("inf")
            for message in list(self._messages.values()):
                if message.is_done:
                    continue
                if self._due_s(message) <= now_s:
                    period_s = int(self._extension_s(message, now_s))
                    if period_s <= self._margin_s:
                        # It can be kept no longer: it comes again, and is counted anew.
                        self._forget(message.receipt)
                        continue
                    extended.append((message.receipt, period_s))
                    message.visible_s = now_s + period_s
                self._extend_s = min(self._extend_s, self._due_s(message))
        return extended

    def take_all(self) -> list[Receipt]:
        """Forget all messages, and return those that are not to be deleted."""
        with self.changed:
            waiting = [each.receipt for each in self._messages.values() if not each.is_done]
            self._messages = dict(self._done)
            self._extend_s = float("inf")
        return waiting

    def _forget(self, receipt: Receipt) -> None:
        self._messages.pop(receipt.message_id, None)
        self._done.pop(receipt.message_id, None)

    def _due_s(self, message: _Message) -> float:
        """Return when a message is to be extended: half of the time is for the request."""
        return message.visible_s - self._margin_s

    @property
    def _margin_s(self) -> float:
        return min(max(self.visibility_s, _EXTENSION_MIN_S), EXTENSION_MAX_S) / 2

    def _extension_s(self, message: _Message, now_s: float) -> float:
        """Return the seconds for which a message is invisible from now on.

        As long again as it has been: the number of requests grows with the logarithm of the time.
        """
        age_s = now_s - message.received_s
        wanted_s = min(max(self.visibility_s, age_s), max(EXTENSION_MAX_S, self.visibility_s))
        return min(max(wanted_s, _EXTENSION_MIN_S), HELD_MAX_S - age_s)
