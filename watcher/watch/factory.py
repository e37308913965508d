"""Makes watches from their kept state, and accounts for what each one occupies, running or not."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from watcher.errors import ConflictError, LimitError, StateError, UnavailableError
from watcher.limits.deadline import limited
from watcher.limits.fair_queue import run_in_thread
from watcher.limits.quotas import Quotas, StoredUsage
from watcher.limits.turns import Turns
from watcher.settings import WatchLimits
from watcher.state.usage import LiveUsage
from watcher.watch.queue_claims import queue_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.clock import Clock
    from watcher.limits.fair_queue import FairQueue
    from watcher.model import Identity
    from watcher.settings import ServerSettings
    from watcher.sources.factory import Sources
    from watcher.spec import AuthorizedSpec
    from watcher.state.port import StateEngine, Summary, WatchStore
    from watcher.watch.watch import Watch

BUILD_S = 8.0
"""Longest wait in seconds for the state while a watch is built, which others wait for; and once
more if it is given back."""


class WatchFactory:
    """Opens the state of a watch, admits it to the quota of its principal, and builds it.

    Args:
        settings: Limits.
        state: Keeps the state of all watches.
        sources: Makes their sources.
        fair_queue: Orders the building of watches, since compiling their globs may be CPU-heavy.
        clock: The time.
        summaries: What the state has now.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - all that watches are made from
        self,
        settings: ServerSettings,
        state: StateEngine,
        sources: Sources,
        fair_queue: FairQueue,
        clock: Clock,
        summaries: Mapping[Identity, Summary],
    ) -> None:
        self._limits = WatchLimits(settings.redelivery_window_s, settings.journal_retention_s)
        self._state = state
        self._sources = sources
        self._fair_queue = fair_queue
        self._clock = clock
        self._max_token_watches = settings.max_token_watches
        self._quotas = Quotas(
            settings, {identity: _stored(each) for identity, each in summaries.items()}
        )
        self._turns = Turns(clock)
        self._is_closed = False

    def identities(self) -> list[Identity]:
        """Return the identities of all watches whose state is kept, running or not."""
        return self._quotas.identities()

    def idle(self) -> dict[Identity, StoredUsage]:
        """Return what each watch occupies that does not run."""
        return self._quotas.stored()

    async def make(
        self, identity: Identity, authorized: AuthorizedSpec, *, is_used: bool = True
    ) -> tuple[Watch, bool]:
        """Return a watch that is not started yet, and whether its state is new.

        Args:
            identity: The watch.
            authorized: What it must watch.
            is_used: Whether a stream asks for it.

        Raises:
            UnavailableError: The factory is closed.
            LimitError: The principal has as many watches as it may have.
            OwnedElsewhereError: Another server owns it.
            ConflictError: A watch of another server reads its queue.
            StateError: The state cannot be used.
        """
        self._check_open()
        store = await self._open_state(identity, authorized, is_used=is_used)
        try:
            watch = await self._build(identity, authorized, store)
            # It may have been closed meanwhile.
            self._check_open()
        except BaseException:
            try:
                await run_in_thread(partial(_release, store))
            finally:
                self._quotas.close(identity)
            raise
        return watch, store.is_new

    def take_usage(self, stored: Mapping[Identity, Summary]) -> None:
        """Count the watches that run elsewhere, or not at all, with what they occupy now.

        Args:
            stored: What the state has of all watches.
        """
        self._quotas.refresh({identity: _stored(each) for identity, each in stored.items()})

    def retire(self, identity: Identity) -> None:
        """Count a watch that has ended with what it occupies now."""
        self._quotas.close(identity)

    async def remove(self, identity: Identity) -> None:
        """Remove the state of a watch that does not run."""
        await asyncio.to_thread(self._state.remove, identity)
        self._quotas.forget(identity)

    async def rewind(self, identity: Identity, *, seq: int | None, time_s: float | None) -> range:
        """Revoke confirmations of a watch that does not run; see ``StateEngine.rewind``.

        Raises:
            StateError: The state cannot be used.
        """
        seqs = await asyncio.to_thread(self._state.rewind, identity, seq=seq, time_s=time_s)
        summary = await asyncio.to_thread(self._state.summary, identity)
        self._quotas.store(identity, _stored(summary))
        return seqs

    def close(self) -> None:
        """Make no more watches."""
        self._is_closed = True

    def _check_open(self) -> None:
        if self._is_closed:
            raise UnavailableError("the watches are being stopped", hint="connect again")

    async def _open_state(
        self, identity: Identity, authorized: AuthorizedSpec, *, is_used: bool
    ) -> WatchStore:
        is_new = self._quotas.admit(identity)
        queue = queue_of(authorized.spec)
        opening = partial(
            self._state.open,
            identity,
            authorized.document,
            max_watches=self._max_token_watches,
            is_used=is_used,
            queue="" if queue is None else queue.identity,
        )
        try:
            # Closed if the task is cancelled: otherwise the next opening would find it in use.
            return await run_in_thread(opening, _release)
        except (StateError, LimitError, ConflictError):
            if is_new:
                self._quotas.forget(identity)
            raise

    async def _build(
        self, identity: Identity, authorized: AuthorizedSpec, store: WatchStore
    ) -> Watch:
        share, turn = self._quotas.open(identity, LiveUsage(store)), self._turns.make()

        def build() -> Watch:
            from watcher.watch.watch import Watch  # noqa: PLC0415 - 1.5 MiB, for the first watch

            return Watch(
                spec=authorized.spec,
                make_source=partial(self._sources.make, authorized),
                store=store,
                limits=self._limits,
                share=share,
                turn=turn,
                identity=identity,
                clock=self._clock,
            )

        async with self._fair_queue.turn(identity.principal):
            with limited(BUILD_S):
                return await run_in_thread(build)


def _stored(summary: Summary) -> StoredUsage:
    return StoredUsage(
        summary.entries,
        summary.journal_bytes,
        summary.depth,
        summary.oldest_at,
        summary.held_back,
    )


def _release(store: WatchStore) -> None:
    """Give back a watch that was not built; one that the server still owns then, it opens again."""
    with limited(BUILD_S), suppress(StateError):
        store.release()
