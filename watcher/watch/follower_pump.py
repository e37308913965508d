"""Brings what other servers write to the journals of their watches to the streams of this one.

One thread for all followed watches. News say where to look; without news it looks often, and with
them from time to time all the same, since they may be lost.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog

from watcher.errors import AwayError, StateError
from watcher.state.news import Topic

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from watcher.clock import Clock
    from watcher.state.following import FollowedStore, Following
    from watcher.state.news import News
    from watcher.watch.followed_watch import FollowedWatch

POLL_S = 0.25
"""Seconds between two looks where news do not arrive."""

LOOK_S = 5.0
"""Seconds between two looks where they do."""

REPORT_S = 1.0
"""Seconds between two reports of the streams' positions."""

STOP_S = 2.0
"""Longest wait in seconds for the thread to end, which may wait for the state."""


class FollowerPump:
    """The thread that refreshes followed watches and reports positions.

    Args:
        following: What is new of the watches.
        news: Which of them to look at.
        find: Returns the watch that has a state; None if it has ended. Called from the thread.
        watches: Returns all followed watches. Called from the thread.
        journal_cap: Unconfirmed changes that a watch may have.
        clock: The time.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that the thread deals with
        self,
        following: Following,
        news: News,
        find: Callable[[FollowedStore], FollowedWatch | None],
        watches: Callable[[], list[FollowedWatch]],
        journal_cap: int,
        clock: Clock,
    ) -> None:
        self._following = following
        self._news = news
        self._find = find
        self._watches = watches
        self._journal_cap = journal_cap
        self._clock = clock
        self._lock = threading.Lock()
        self._awaited: set[int] = set()
        self._looks_at_all = False
        self._wake = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name="followers", daemon=True)
        self._look_due_s = self._report_due_s = 0.0
        self._log = structlog.get_logger("watcher")

    def start(self) -> None:
        """Start the thread."""
        self._news.subscribe(self.look, Topic.JOURNAL)
        self._thread.start()

    def stop(self) -> None:
        """Have the thread end; waits only a moment for it."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(STOP_S)

    def look(self, watches: AbstractSet[int] = frozenset()) -> None:
        """Have the thread look at watches now; any thread.

        Args:
            watches: Their numbers; all if empty.
        """
        with self._lock:
            self._awaited |= watches
            self._looks_at_all = self._looks_at_all or not watches
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._idle_s())
            self._wake.clear()
            if self._is_stopping:
                return
            try:
                self._turn()
            except AwayError:
                # What was not taken is found by the next look at all of them.
                self._look_due_s = self._report_due_s = self._clock.monotonic() + REPORT_S
            except StateError as error:
                self._log.warning("state.following", error=str(error))
                self._look_due_s = self._report_due_s = self._clock.monotonic() + REPORT_S
            except Exception:  # noqa: BLE001 - streams of other watches must go on
                self._log.exception("state.failed")
                self._look_due_s = self._report_due_s = self._clock.monotonic() + REPORT_S

    def _idle_s(self) -> float:
        due_s = self._report_due_s
        if self._watches():
            due_s = min(due_s, self._look_due_s)
        return max(0.0, due_s - self._clock.monotonic())

    def _turn(self) -> None:
        now_s = self._clock.monotonic()
        with self._lock:
            awaited, self._awaited = self._awaited, set()
            looks_at_all, self._looks_at_all = self._looks_at_all, False
        if looks_at_all or now_s >= self._look_due_s:
            self._look_due_s = now_s + (LOOK_S if self._news.is_delivered else POLL_S)
            self._refresh(None)
        elif awaited:
            self._refresh(awaited)
        if now_s >= self._report_due_s:
            self._report_due_s = now_s + REPORT_S
            self._report()

    def _refresh(self, watches: AbstractSet[int] | None) -> None:
        for refreshed in self._following.refresh(watches):
            watch = self._find(refreshed.store)
            if watch is None:
                continue
            try:
                watch.publisher.take(refreshed)
            except AwayError:
                raise
            except StateError as error:
                watch.fail(error)

    def _report(self) -> None:
        for watch in self._watches():
            watch.check_state()
            if watch.is_running:
                watch.publisher.confirm_if_due()
                self._disconnect_stalled(watch)
        self._following.report()

    def _disconnect_stalled(self, watch: FollowedWatch) -> None:
        """End streams that hold up others once the journal is full, as the owner does."""
        publisher, origin = watch.publisher, watch.origin
        if publisher.journal.depth < self._journal_cap:
            return
        streams = publisher.disconnect_stalled()
        if origin is not None:
            # One whose client does not read cannot move here, and keeps all positions back.
            streams += origin.disconnect_stalled(spares_all=False)
        if streams:
            self._log.warning(
                "stream.dismissed",
                **watch.store.identity.labels,
                streams=streams,
                hint="their clients did not read, and held up others",
            )
