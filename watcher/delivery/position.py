"""How far a stream has come, and when an event counts as delivered. Pure: time is a parameter.

The contract has no acknowledgement, so by default time and signs of life decide: an event is
confirmed once it was written a redelivery window ago on a stream that is still open (keepalive
notices a dead client well within the window) and that flow control has not blocked since, because
bytes that the transport took may still wait in the client. With ``confirm: ack`` a consumer
acknowledges each event, and the living stream is sent it again until then.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from typing import NamedTuple

MARK_INTERVAL_S = 0.5
"""Writes within this many seconds share one mark, which bounds the marks of a busy stream."""

BLOCKED_S = 1.0
"""Seconds after which a write counts as blocked by flow control."""

RUNS_PER_TIMEOUT = 256
"""Writes within this fraction of the acknowledgement timeout share a run, and fall due together."""

MAX_RUNS = 1024
"""Maximum number of unacknowledged runs; beyond it they become one run with a new timeout."""


class StreamPosition:
    """How far one stream has come, where time confirms. Written by the stream, rewound by others.

    A stream keeps its position when it moves to where its watch runs now.

    Args:
        seq: The stream begins after this sequence number.
        delivered_before_seq: Everything up to it may have been written to some stream before.

    Attributes:
        written_seq: The last sequence number that was written.
        written: Payloads written.
        redelivered: Payloads among them whose changes may have been written before.
        is_bound: Whether it must be written all that follows: a stream that has yet to begin may
            begin after what is confirmed meanwhile.
    """

    skips_confirmed = False
    """Whether what is confirmed need not be written, since consumers have acknowledged it."""

    def __init__(self, seq: int, delivered_before_seq: int = 0) -> None:
        self.written_seq = seq
        self.written = 0
        self.redelivered = 0
        self.is_bound = False
        self._delivered_before_seq = delivered_before_seq
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
            since_s, self._writing_since_s = self._writing_since_s, None
            was_blocked = since_s is not None and now_s - since_s > BLOCKED_S
            if since_s is not None and was_blocked:
                self._blocked_s += now_s - since_s
            self._note(seq, now_s, was_blocked=was_blocked)
            self.written += 1
            self.is_bound = True
            if seq > self._delivered_before_seq and seq > self.written_seq:
                self.written_seq = seq
            else:
                self.redelivered += 1
                self.written_seq = max(self.written_seq, seq)

    def skip(self, seq: int) -> None:
        """Pass over a payload that is confirmed already."""
        self.written_seq = max(self.written_seq, seq)

    def rewind(self, seq: int) -> None:
        """Make the stream go on after ``seq`` once its current write has ended; any thread."""
        with self._lock:
            self._rewound_to = seq

    def resume(self) -> int:
        """Return the sequence number after which the stream goes on."""
        with self._lock:
            if self._rewound_to is not None:
                self._delivered_before_seq = max(self._delivered_before_seq, self.written_seq)
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
        """Return whether a write has been blocked for a window: the client does not read."""
        with self._lock:
            return self._is_blocked(now_s, window_s)

    def blocked_s(self, now_s: float) -> float:
        """Return the seconds of blocked writes, including a write that is blocked now."""
        with self._lock:
            return self._blocked(now_s)

    def due_for_redelivery(self, now_s: float) -> range:  # noqa: ARG002 - time confirms here
        """Return and forget the sequence numbers that are due for redelivery; empty for none."""
        return range(0)

    def requeue(self, seqs: range) -> None:
        """Keep sequence numbers due that ``due_for_redelivery`` returned and nobody wrote yet."""

    def due_in_s(self, now_s: float) -> float | None:  # noqa: ARG002 - time confirms here
        """Return the seconds until a redelivery is due, 0 for now; None if none will be."""
        return None

    def _blocked(self, now_s: float) -> float:
        writing_s = 0.0 if self._writing_since_s is None else now_s - self._writing_since_s
        return self._blocked_s + (writing_s if writing_s > BLOCKED_S else 0.0)

    def _is_blocked(self, now_s: float, for_s: float) -> bool:
        since_s = self._writing_since_s
        return since_s is not None and now_s - since_s > for_s

    def _forget(self, seq: int) -> None:
        """Start over after a sequence number."""
        self._confirmed_seq = seq
        self._marks.clear()

    def _note(self, seq: int, now_s: float, *, was_blocked: bool) -> None:
        if was_blocked and self._marks:
            # The client had stopped reading: all that is unconfirmed waited in it until now.
            self._marks = deque([(now_s, self._marks[-1][1])])
        if self._marks and now_s <= self._marks[-1][0]:
            self._marks[-1] = (self._marks[-1][0], seq)
        else:
            # Rounded up, so that no event is confirmed before its own window is over.
            mark_s = math.ceil(now_s / MARK_INTERVAL_S) * MARK_INTERVAL_S
            self._marks.append((mark_s, seq))


class Run(NamedTuple):
    """Payloads written one after the other within a short time: all unconfirmed ones of a range.

    Attributes:
        begun_s: When the first payload was written.
        written_s: When the last payload was written.
        after_seq: The range begins after this sequence number.
        seq: The last sequence number of the range.
    """

    begun_s: float
    written_s: float
    after_seq: int
    seq: int


class AckPosition(StreamPosition):
    """How far a stream has come, where each event is acknowledged or written again.

    It remembers runs and no payloads; the journal knows which of a run are still unacknowledged.

    Args:
        seq: The stream begins after this sequence number.
        delivered_before_seq: Everything up to it may have been written to some stream before.
        timeout_s: Seconds after a write until the payload is due again; a run delays that by up to
            1/``RUNS_PER_TIMEOUT`` of them.
    """

    skips_confirmed = True

    def __init__(self, seq: int, delivered_before_seq: int, timeout_s: float) -> None:
        super().__init__(seq, delivered_before_seq)
        self._timeout_s = timeout_s
        self._run_s = timeout_s / RUNS_PER_TIMEOUT
        self._runs: deque[Run] = deque()
        self._noted_seq = seq
        self._redelivered_seq = seq

    def due_for_redelivery(self, now_s: float) -> range:
        """Return and forget the sequence numbers that are due for redelivery; empty for none."""
        with self._lock:
            if not self._runs or self._runs[0].written_s > now_s - self._timeout_s:
                return range(0)
            run = self._runs.popleft()
            self._redelivered_seq = run.after_seq
            return range(run.after_seq + 1, run.seq + 1)

    def requeue(self, seqs: range) -> None:
        """Keep sequence numbers due that ``due_for_redelivery`` returned and nobody wrote yet."""
        if seqs:
            with self._lock:
                self._runs.appendleft(Run(-math.inf, -math.inf, seqs.start - 1, seqs.stop - 1))

    def due_in_s(self, now_s: float) -> float | None:
        """Return the seconds until a redelivery is due, 0 for now; None if none will be."""
        with self._lock:
            if not self._runs:
                return None
            if len(self._runs) > MAX_RUNS:
                # Events far apart in time make a run each, which would take memory without bound.
                after_seq = min(run.after_seq for run in self._runs)
                self._runs = deque([Run(now_s, now_s, after_seq, self._noted_seq)])
            return max(0.0, self._runs[0].written_s + self._timeout_s - now_s)

    def _forget(self, seq: int) -> None:
        self._runs.clear()
        self._noted_seq = seq

    def _note(self, seq: int, now_s: float, *, was_blocked: bool) -> None:  # noqa: ARG002 - the timeout of a client that reads late begins with its reading
        # Everything between this payload and the one written before it is confirmed.
        if seq > self._noted_seq:
            after_seq, self._noted_seq = self._noted_seq, seq
        else:
            after_seq, self._redelivered_seq = self._redelivered_seq, seq
        last = self._runs[-1] if self._runs else None
        if last is not None and last.seq == after_seq and now_s - last.begun_s <= self._run_s:
            self._runs[-1] = last._replace(written_s=now_s, seq=seq)
        else:
            self._runs.append(Run(now_s, now_s, after_seq, seq))
