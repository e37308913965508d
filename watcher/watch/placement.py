"""Keeps the watches that servers share where they belong, as far as one server can.

``claims`` judges the last survey: the server starts watches that no server owns from their stored
configurations, and gives others back. It ends those that another server has taken, and leaves those
alone that it could not start.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

import structlog

from watcher.errors import (
    AwayError,
    FencedError,
    HistoryError,
    LimitError,
    OwnedElsewhereError,
    StateError,
    UnavailableError,
    WatcherError,
)
from watcher.watch.claims import Claims, SharedWatch
from watcher.watch.failed_claims import FailedClaims

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from watcher.clock import Clock
    from watcher.model import Identity
    from watcher.state.port import StateEngine
    from watcher.state.survey import SurveyedWatch
    from watcher.watch.documents import Documents
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.watch import Watch


class Placement:
    """The part of one server in the placement of the watches; for the event loop.

    Args:
        state: What all servers share.
        watches: The watches here, and the last survey.
        documents: Authorizes stored configurations.
        clock: The time.
    """

    def __init__(
        self, state: StateEngine, watches: WatchRegistry, documents: Documents, clock: Clock
    ) -> None:
        self._state = state
        self._watches = watches
        self._documents = documents
        self._clock = clock
        self._claims = Claims(state.membership.me.id)
        self._failures = FailedClaims(clock)
        self._moving: dict[Identity, asyncio.Task[None]] = {}
        self._failed: WeakSet[Watch] = WeakSet()
        self._log = structlog.get_logger("watcher")

    def note_ended(self, running: Sequence[tuple[Identity, Watch]]) -> None:
        """End watches that another server has taken, and leave those alone that have failed.

        Args:
            running: The watches that ran before the survey.
        """
        self._failures.retain(self._watches.elsewhere.survey.watches.keys())
        self._end_lost(running)
        self._note_failed()

    def decide(self) -> float | None:
        """Begin to take watches, and to give them back.

        Returns:
            Seconds after which to decide again, if nothing happens before; None if time alone
            changes nothing soon.
        """
        surveyed = self._watches.elsewhere.survey.watches
        by_number = {each.number: each for each in surveyed.values()}
        decision = self._claims.decide(
            self._clock.monotonic(),
            self._state.membership.servers,
            [self._shared(each) for each in surveyed.values()],
        )
        for number in decision.claims:
            self._move(by_number[number].identity, partial(self._claim, by_number[number]))
        for number in decision.releases:
            self._move(by_number[number].identity, partial(self._release, by_number[number]))
        for identity, watch in self._watches.runs:
            if watch.is_handed_over and not watch.is_running:
                self._move(identity, partial(self._clear, identity, watch))
        return decision.again_in_s

    def cancel(self) -> Sequence[asyncio.Task[None]]:
        """Cancel the moves that go on, and return the tasks that end soon."""
        moving = [*self._moving.values()]
        for task in moving:
            task.cancel()
        return moving

    def _note_failed(self) -> None:
        """Leave watches alone for some time that have ended by themselves."""
        for identity, watch in self._watches.runs:
            found = self._watches.elsewhere.survey.watches.get(identity)
            # One with another history could not be released, so no other server can open it again.
            is_over = watch.is_handed_over or isinstance(watch.failure, HistoryError)
            failure = None if is_over else watch.failure
            if failure is not None and watch not in self._failed and found is not None:
                self._failed.add(watch)
                self._postpone(found, failure)

    def _end_lost(self, running: Sequence[tuple[Identity, Watch]]) -> None:
        """End watches that another server has taken: one with nothing to write would not see it."""
        for identity, watch in running:
            found = self._watches.elsewhere.survey.watches.get(identity)
            if watch.is_running and (found is None or found.owner != self._state.membership.me.id):
                watch.fail(FencedError("another server has taken the watch", place=identity.place))

    def _move(self, identity: Identity, act: Callable[[], Coroutine[None, None, None]]) -> None:
        """Begin to move a watch, unless it is being moved."""
        if identity not in self._moving:
            task = self._moving[identity] = asyncio.create_task(act())
            task.add_done_callback(lambda _: self._moving.pop(identity, None))

    def _shared(self, surveyed: SurveyedWatch) -> SharedWatch:
        identity, me = surveyed.identity, self._state.membership.me.id
        watch = self._watches.runs.get(identity)
        is_here = identity in self._moving or (watch is not None and watch.is_running)
        streams = {reader.server: reader.streams for reader in surveyed.readers}
        if surveyed.owner is not None and surveyed.streams:
            streams[surveyed.owner] = streams.get(surveyed.owner, 0) + surveyed.streams
        return SharedWatch(
            surveyed.number,
            # What this server owns without knowing it, since an answer was lost, it has to open.
            None if surveyed.owner == me and not is_here else surveyed.owner,
            is_wanted=surveyed.has_document and not self._failures.is_left_alone(surveyed),
            streams=streams,
            entries=surveyed.entries,
            node=surveyed.node,
            is_movable=watch is not None and watch.is_baselined and identity not in self._moving,
        )

    async def _claim(self, surveyed: SurveyedWatch) -> None:
        identity = surveyed.identity
        try:
            document = await self._watches.threads.run(partial(self._state.document, identity))
            authorized = await self._documents.authorize(document, identity.principal)
        except StateError:
            return
        except WatcherError as error:
            # Another server may have other lists; this one asks again when it is another document.
            self._log.warning("watch.not_allowed", **identity.labels, error=str(error))
            self._failures.refuse(surveyed)
            return
        try:
            await self._watches.take(identity, authorized)
        except (OwnedElsewhereError, AwayError):
            return
        except WatcherError as error:
            self._postpone(surveyed, error)
        else:
            self._log.info("watch.claimed", **identity.labels)

    def _postpone(self, surveyed: SurveyedWatch, error: WatcherError) -> None:
        identity = surveyed.identity
        pause_s, is_again = self._failures.postpone(surveyed)
        self._log.warning(
            "watch.not_taken", **identity.labels, error=str(error), retry_s=round(pause_s, 1)
        )
        followed = self._watches.followers.get(identity)
        if followed is not None and isinstance(error, LimitError) and is_again:
            # No other server could take it meanwhile.
            followed.fail(error)

    async def _release(self, surveyed: SurveyedWatch) -> None:
        identity = surveyed.identity
        watch = self._watches.runs.get(identity)
        if watch is not None:
            self._log.info("watch.released", **identity.labels, reason="balance")
            watch.hand_over()
            await self._clear(identity, watch)

    async def _clear(self, identity: Identity, watch: Watch) -> None:
        """Forget a watch that was handed over once it has ended."""
        with suppress(UnavailableError):
            # If it does not stop in time, the next survey finds it.
            async with self._watches.lock(identity):
                if self._watches.runs.get(identity) is watch:
                    await self._watches.runs.stop(identity, watch)
