"""Brings to the watches here what other servers have done: it follows from the last survey.

A watch that runs here learns how far the streams on other servers are, and what was acknowledged
there. A watch that is followed here ends if nobody runs it, and moves if it has another
configuration.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from watcher.errors import StateError, UnavailableError

if TYPE_CHECKING:
    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.port import StateEngine
    from watcher.state.survey import SurveyedWatch
    from watcher.watch.followed_watch import FollowedWatch
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.watch import Watch

ORPHANED_S = 15.0
"""Seconds after which the streams of a watch that no server takes end: when they come back, their
clients are told why."""


class RemoteProgress:
    """The progress of other servers with the watches of one; for the event loop.

    Args:
        state: What all servers share.
        watches: The watches here, and the last survey.
        clock: The time.
    """

    def __init__(self, state: StateEngine, watches: WatchRegistry, clock: Clock) -> None:
        self._state = state
        self._watches = watches
        self._clock = clock
        self._orphaned_s: dict[Identity, float] = {}
        # As far as they were taken in; a watch that is started again may have to do it again.
        self._acknowledgements: WeakKeyDictionary[Watch, int] = WeakKeyDictionary()

    def note(self) -> None:
        """Note the streams of other servers, and what has become of the watches followed here."""
        surveyed, me = self._watches.elsewhere.survey.watches, self._state.membership.me.id
        for identity in self._orphaned_s.keys() - surveyed.keys():
            del self._orphaned_s[identity]
        for identity, watch in self._watches.runs:
            found = surveyed.get(identity)
            if found is not None and found.owner == me:
                watch.publisher.set_readers(found.confirmed_elsewhere, found.streams_elsewhere)
        for identity, followed in self._watches.followers:
            found = surveyed.get(identity)
            if found is None:
                continue
            self._note_orphan(identity, followed, found)
            if found.document_version != followed.document_version:
                # Its streams find out whether that is what they ask for.
                followed.hand_over()
            own = sum(reader.streams for reader in found.readers if reader.server == me)
            others = found.streams + found.streams_elsewhere - own
            followed.publisher.set_readers(None, others)

    async def take_acknowledgements(self) -> None:
        """Let the watches that run here confirm what was acknowledged on other servers."""
        taking = []
        for identity, watch in self._watches.runs:
            found = self._watches.elsewhere.survey.watches.get(identity)
            if found is None or not (watch.is_running and watch.publisher.needs_acknowledgements):
                continue
            if self._acknowledgements.get(watch) != found.acknowledgements:
                taking.append((watch, found.acknowledgements))
        for watch, acknowledgements in taking:
            take = partial(watch.publisher.take_acknowledgements, acknowledgements)
            with suppress(StateError):
                # It is tried again, unless the watch ends of it.
                await self._watches.threads.run(take)
                self._acknowledgements[watch] = acknowledgements

    def _note_orphan(
        self, identity: Identity, followed: FollowedWatch, found: SurveyedWatch
    ) -> None:
        if found.owner in {server.id for server in self._state.membership.servers}:
            self._orphaned_s.pop(identity, None)
            return
        now_s = self._clock.monotonic()
        if now_s - self._orphaned_s.setdefault(identity, now_s) >= ORPHANED_S:
            del self._orphaned_s[identity]
            followed.fail(
                UnavailableError(
                    "no server can watch the place now", place=identity.place, hint="connect again"
                )
            )
