"""The feed of a store that streams its notifications: MinIO and RustFS.

A stream cannot be resumed, and a store drops what a slow reader leaves waiting (MinIO above 4,000,
without a word). So each stream that begins is preceded by hints that were missed, and a line that
cannot be read is one. ``stream_thread`` opens and reads the streams.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from watcher.filters.key_window import KeyWindow
from watcher.sources.s3.hints.inbox import HintInbox
from watcher.sources.s3.hints.pauses import Pauses
from watcher.sources.s3.hints.stream_thread import (
    SILENCE_MAX_S,
    STABLE_S,
    StreamSettings,
    StreamThread,
)
from watcher.spec import HintKind
from watcher.status_values import HintStatus

if TYPE_CHECKING:
    from collections.abc import Callable

    from watcher.clock import Clock
    from watcher.sources.s3.trust import Trust
    from watcher.spec import BucketSpec


class StreamFeed:
    """Brings the notifications of one bucket, as a ``HintFeed``.

    Args:
        spec: The bucket.
        clock: The clock of the server.
        trust: The authorities for the certificate of the store.
        pauses: Between two tries to open a stream.
        stable_s: See ``STABLE_S``.
    """

    def __init__(
        self,
        spec: BucketSpec,
        *,
        clock: Clock,
        trust: Trust,
        pauses: Pauses | None = None,
        stable_s: float = STABLE_S,
    ) -> None:
        self._settings = StreamSettings(spec, clock, trust, pauses or Pauses(), stable_s)
        self._thread: StreamThread | None = None

    @property
    def status(self) -> HintStatus:
        """What has arrived; pings are no messages."""
        counts = self._settings.counts
        return HintStatus(
            HintKind.STREAM.value,
            problem=self.problem,
            messages=counts.messages,
            rejected=counts.rejected,
            errors=counts.errors,
        )

    @property
    def problem(self) -> str:
        """Why there is no stream; empty until a try to open one has failed."""
        thread = self._thread
        return "" if thread is None else thread.problem

    @property
    def complaint(self) -> str:
        """Nothing: what cannot be read is listed."""
        return ""

    @property
    def misses_hints(self) -> bool:
        """Whether a stream has begun, or hints could not be read, and no listing followed."""
        thread = self._thread
        return thread is not None and thread.misses_hints

    def take_missed(self) -> bool:
        """Return ``misses_hints`` and begin anew."""
        thread = self._thread
        return thread is not None and thread.take_missed()

    def known_until_s(self) -> float:
        """Return when the stream was last heard of; minus infinity while there is none."""
        thread = self._thread
        return float("-inf") if thread is None else thread.heard_s

    def verify(self) -> None:
        """Do nothing: a store that streams nothing is polled."""

    def start(self, inbox: HintInbox, wake: Callable[[], None]) -> None:
        """Begin to listen, in a thread that ends with ``stop``."""
        self.stop()
        # What was wrong before is so until a stream begins.
        self._thread = StreamThread(self._settings, inbox, wake, self.problem)
        self._thread.start()

    def stop(self) -> None:
        """End soon, and return at once."""
        if self._thread is not None:
            self._thread.stop()


def find_stream_problem(spec: BucketSpec, clock: Clock, trust: Trust) -> str:
    """Return why a store streams no notifications of a bucket; empty if it does.

    Waits for the first line, which a store sends at the latest as a ping.

    Args:
        spec: The bucket.
        clock: The time.
        trust: The authorities for the certificate of the store.
    """
    feed, is_known = StreamFeed(spec, clock=clock, trust=trust), threading.Event()
    keys = KeyWindow(spec.prefix, spec.lookback_s, clock)
    feed.start(HintInbox(keys, lambda: None, clock), is_known.set)
    try:
        if not is_known.wait(2 * SILENCE_MAX_S):
            return "the store does not answer"
        return feed.problem
    finally:
        feed.stop()
