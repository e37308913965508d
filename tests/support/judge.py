"""Judges what the streams of one watch receive, as it comes. Imports no watcher.

A payload is compared and dropped: eight bytes of it stay, and what all events have made of the
place. So a test may run for hours.
"""

from __future__ import annotations

import hashlib
import json
import threading
from typing import TYPE_CHECKING

from support.events import apply

if TYPE_CHECKING:
    from support.files import Files

DIGEST_BYTES = 8
"""Length of what is kept of a payload, in bytes: two that differ look alike once in 2^64 times."""

SHOWN = 10
"""Number of differences that a message names."""


class Judge:
    """Judges the payloads of one watch, each of which has one event, whichever stream brings them.

    No stream has a gap, or begins behind what some stream has received; an event has the same bytes
    each time and an id of its own; and each is possible where the ones before it have led.

    Attributes:
        paths: The sequence number of the last event of each path that was reported.
        uids: The first parts of all ids.
        received: Number of payloads, with those that came again.
    """

    def __init__(self) -> None:
        self.paths: dict[str, int] = {}
        self.uids: set[str] = set()
        self.received = 0
        self._files: Files = {}
        self._digests = bytearray()
        self._streams = 0
        self._fault: AssertionError | None = None
        self._lock = threading.Lock()

    @property
    def last_seq(self) -> int:
        """The sequence number of the newest event; 0 without any."""
        return len(self._digests) // DIGEST_BYTES

    def begin(self) -> Received:
        """Begin a stream, and return what takes its payloads."""
        self._streams += 1
        return Received(self, self._streams - 1)

    def check(self) -> None:
        """Raise what was wrong first, if anything was.

        Raises:
            AssertionError: It was.
        """
        if self._fault is not None:
            raise self._fault

    def makes(self, files: Files) -> bool:
        """Return whether the events make a place."""
        self.check()
        with self._lock:
            return self._files == files

    def difference(self, files: Files) -> str:
        """Return how what the events make differs from a place, as text."""
        with self._lock:
            made = self._files.items()
            invented, missing = sorted(made - files.items()), sorted(files.items() - made)
        return (
            f"{len(invented)} invented, {len(missing)} missing; "
            f"invented {invented[:SHOWN]}, missing {missing[:SHOWN]}"
        )

    def take(self, payload: bytes, stream: int, expected: int) -> int:
        """Judge a payload, and return its sequence number; 0 once anything was wrong.

        Args:
            payload: Has one event.
            stream: Number of its stream.
            expected: The sequence number that it has to have; 0 if any may begin a stream.
        """
        with self._lock:
            if self._fault is not None:
                return 0
            self.received += 1
            try:
                return self._take(payload, expected)
            except AssertionError as error:
                self._fault = AssertionError(f"stream {stream}: {error}")
                return 0
            except (AttributeError, LookupError, TypeError, ValueError) as error:
                # Raised, it would end the thread that reads the stream, and nobody would know why.
                self._fault = AssertionError(f"stream {stream}: {error!r} in {payload!r}")
                return 0

    def _take(self, payload: bytes, expected: int) -> int:
        digest = hashlib.blake2b(payload, digest_size=DIGEST_BYTES).digest()
        if expected and self._digest(expected) == digest:
            return expected
        event = json.loads(payload)
        seq: int = event["seq"]
        assert seq == (expected or seq), f"{seq} follows {expected - 1}"
        assert 1 <= seq <= self.last_seq + 1, f"{seq} follows {self.last_seq}"
        if seq <= self.last_seq:
            assert self._digest(seq) == digest, f"{seq} has other bytes than before: {event}"
            return seq
        uid, _, number = event["id"].rpartition("-")
        assert number == str(seq), f"{seq} has the id {event['id']}"
        apply(self._files, event)
        self._digests += digest
        self.uids.add(uid)
        self.paths[event["path"]] = seq
        return seq

    def _digest(self, seq: int) -> bytes:
        """Return what is kept of a payload; nothing of one that has not come yet."""
        return bytes(self._digests[(seq - 1) * DIGEST_BYTES : seq * DIGEST_BYTES])


class Received:
    """Takes the payloads of one stream, in order, in any thread.

    Args:
        judge: Of the watch.
        number: Of the stream.

    Attributes:
        last_seq: The sequence number of the newest one; 0 without any.
    """

    def __init__(self, judge: Judge, number: int) -> None:
        self.last_seq = 0
        self._judge = judge
        self._number = number

    def __call__(self, payload: bytes) -> None:
        """Take the next payload."""
        expected = self.last_seq + 1 if self.last_seq else 0
        self.last_seq = self._judge.take(payload, self._number, expected)
