"""When an event counts as delivered. Pure: time is a parameter.

By default by time and by signs of life, since the contract has no acknowledgement: an event is confirmed when it was written at least
``window`` ago on a stream that is still open (a dead client is noticed by keepalive well within the window) and that flow control has
not blocked since, for bytes that the transport took may still wait in the client. With ``confirm: ack`` it is confirmed when somebody
says so, and written again on the living stream until then.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import NamedTuple

GRAIN_S = 0.5
"""Writes this close together share one mark."""

BLOCKED_S = 1.0
"""A write that takes longer was blocked by flow control."""

GRAINS = 256
"""Writes within such a part of the time for an acknowledgement are due again together."""

RUNS = 1024
"""A stream that has written in more runs than these, of which nobody has acknowledged all, gives all of them the same time anew."""


class StreamPosition:
    """How far one stream has come. Written by the stream, read and rewound by others.

    Args:
        seq: The stream begins after this sequence number.
        delivered_before_seq: Everything up to it may have been written to some stream before.

    Attributes:
        written_seq: The last sequence number that was written.
        written: Payloads written.
        rewritten: Those among them that were not the first ones with their changes.
    """

    def __init__(self, seq: int, delivered_before_seq: int = 0) -> None:
        self.written_seq = seq
        self.written = 0
        self.rewritten = 0
        self._told_seq = delivered_before_seq
        self._confirmed_seq = seq
        self._lock = threading.Lock()
        self._marks: deque[tuple[float, int]] = deque()
        self._writing_since_s: float | None = None
        self._blocked_s = 0.0
        self._rewound_to: int | None = None

    def begin_write(self, now_s: float) -> None:
        """Note that a payload is handed to the transport."""
        self._writing_since_s = now_s

    def end_write(self, seq: int, now_s: float) -> None:
        """Note that the transport took the payload whose last change is ``seq``."""
        with self._lock:
            was_blocked = self._is_blocked(now_s, BLOCKED_S)
            self._blocked_s, self._writing_since_s = self._blocked(now_s), None
            self._note(seq, now_s, was_blocked=was_blocked)
            self.written += 1
            self.rewritten += seq <= max(self._told_seq, self.written_seq)
            self.written_seq = max(self.written_seq, seq)

    def skip(self, seq: int) -> None:
        """Pass over a payload that is confirmed already."""
        self.written_seq = max(self.written_seq, seq)

    def rewind(self, seq: int) -> None:
        """Have the stream go on after ``seq``, once it has written what it is writing; called from any thread."""
        with self._lock:
            self._rewound_to = seq

    def resume(self) -> int:
        """Return the sequence number after which the stream goes on."""
        with self._lock:
            if self._rewound_to is not None:
                self._told_seq = max(self._told_seq, self.written_seq)
                self.written_seq = self._rewound_to
                self._rewound_to = None
                self._forget(self.written_seq)
            return self.written_seq

    def confirmed_seq(self, now_s: float, window_s: float) -> int:
        """Return the last sequence number that counts as delivered on this stream."""
        with self._lock:
            if self._rewound_to is not None:
                return self._rewound_to
            if not self._is_blocked(now_s, BLOCKED_S):
                while self._marks and self._marks[0][0] <= now_s - window_s:
                    self._confirmed_seq = self._marks.popleft()[1]
            return self._confirmed_seq

    def is_stalled(self, now_s: float, window_s: float) -> bool:
        """Tell whether a write has been blocked for a whole window: the client lives, but does not read."""
        with self._lock:
            return self._is_blocked(now_s, window_s)

    def blocked_s(self, now_s: float) -> float:
        """Return for how many seconds flow control has kept the stream from writing, the write that is blocked now included."""
        with self._lock:
            return self._blocked(now_s)

    def due_for_redelivery(self, now_s: float) -> range:  # noqa: ARG002 - time confirms
        """Return the sequence numbers of which payloads are to be written again now; empty for none."""
        return range(0)

    def requeue(self, seqs: range) -> None:
        """Have what was due_for_redelivery be so still, since it will not be written yet."""

    def due_in_s(self, now_s: float) -> float | None:  # noqa: ARG002 - likewise
        """Return in how many seconds the next will be; None if none will."""
        return None

    def _blocked(self, now_s: float) -> float:
        writing_s = 0.0 if self._writing_since_s is None else now_s - self._writing_since_s
        return self._blocked_s + (writing_s if writing_s > BLOCKED_S else 0.0)

    def _is_blocked(self, now_s: float, for_s: float) -> bool:
        since_s = self._writing_since_s
        return since_s is not None and now_s - since_s > for_s

    def _forget(self, seq: int) -> None:
        """Begin anew after a sequence number."""
        self._confirmed_seq = seq
        self._marks.clear()

    def _note(self, seq: int, now_s: float, *, was_blocked: bool) -> None:
        if was_blocked and self._marks:
            # The client had stopped reading: everything not yet confirmed has waited in front of it until now.
            self._marks = deque([(now_s, self._marks[-1][1])])
        if self._marks and now_s <= self._marks[-1][0]:
            self._marks[-1] = (self._marks[-1][0], seq)
        else:
            # Rounded up, so that no event is confirmed before its own window is over.
            self._marks.append((math.ceil(now_s / GRAIN_S) * GRAIN_S, seq))


class Run(NamedTuple):
    """Payloads that were written one after the other, close together in time: all that are unconfirmed in a range.

    Attributes:
        begun_s: When the first of them was written.
        written_s: When the last of them was.
        after_seq: They come after this sequence number.
        seq: The last change in them.
    """

    begun_s: float
    written_s: float
    after_seq: int
    seq: int


class AckPosition(StreamPosition):
    """How far a stream has come whose events are acknowledged one by one: those that are not are written again.

    It remembers no payloads, but runs of them: which of a run are not acknowledged when their time has come, the journal knows.

    Args:
        seq: The stream begins after this sequence number.
        delivered_before_seq: Everything up to it may have been written to some stream before.
        timeout_s: So long after it was written a payload is due again, and not later than a ``GRAINS``th of that afterwards.
    """

    def __init__(self, seq: int, delivered_before_seq: int, timeout_s: float) -> None:
        super().__init__(seq, delivered_before_seq)
        self._timeout_s = timeout_s
        self._grain_s = timeout_s / GRAINS
        self._runs: deque[Run] = deque()
        self._noted_seq = seq
        self._reminded_seq = seq

    def due_for_redelivery(self, now_s: float) -> range:
        """Return where payloads are to be written again now that are not confirmed; they are forgotten here."""
        with self._lock:
            if len(self._runs) > RUNS:
                # They are in pieces, as with events that are far apart in time: those would cost memory without end.
                self._runs = deque(
                    [Run(now_s, now_s, min(run.after_seq for run in self._runs), self._noted_seq)]
                )
            if not self._runs or self._runs[0].written_s > now_s - self._timeout_s:
                return range(0)
            run = self._runs.popleft()
            self._reminded_seq = run.after_seq
            return range(run.after_seq + 1, run.seq + 1)

    def requeue(self, seqs: range) -> None:
        """Have what was due_for_redelivery be so still, since it will not be written yet."""
        if seqs:
            with self._lock:
                self._runs.appendleft(Run(-math.inf, -math.inf, seqs.start - 1, seqs.stop - 1))

    def due_in_s(self, now_s: float) -> float | None:
        """Return in how many seconds the next will be; None if none waits."""
        with self._lock:
            return (
                max(0.0, self._runs[0].written_s + self._timeout_s - now_s) if self._runs else None
            )

    def _forget(self, seq: int) -> None:
        self._runs.clear()
        self._noted_seq = seq

    def _note(self, seq: int, now_s: float, *, was_blocked: bool) -> None:  # noqa: ARG002 - a client that reads late has its time from then on
        # What stands between a payload and the one that was written before it is confirmed.
        if seq > self._noted_seq:
            after_seq, self._noted_seq = self._noted_seq, seq
        else:
            after_seq, self._reminded_seq = self._reminded_seq, seq
        last = self._runs[-1] if self._runs else None
        if last is not None and last.seq == after_seq and now_s - last.begun_s <= self._grain_s:
            self._runs[-1] = last._replace(written_s=now_s, seq=seq)
        else:
            self._runs.append(Run(now_s, now_s, after_seq, seq))
