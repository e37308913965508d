"""What servers that share the state have: the last survey, and later looks where it matters.

Empty where no other server can be, and then nothing is asked of the state. For the event loop.
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from watcher.errors import WatcherError
from watcher.limits.state_threads import answered
from watcher.state.survey import Survey
from watcher.watch.documents import parse_document

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Set as AbstractSet

    from watcher.limits.fair_queue import FairQueue
    from watcher.limits.state_threads import StateThreads
    from watcher.model import Identity
    from watcher.spec import Spec
    from watcher.state.port import StateEngine
    from watcher.state.survey import SurveyedWatch


class Elsewhere:
    """The other servers and their watches.

    Args:
        state: What all servers share.
        threads: Where calls wait for the state.
        fair_queue: Gives turns to the parsing of configurations.

    Attributes:
        survey: The watches; replaced once a second.
    """

    def __init__(
        self,
        state: StateEngine,
        threads: StateThreads,
        fair_queue: FairQueue,
    ) -> None:
        self.survey = Survey()
        self._state = state
        self._threads = threads
        self._fair_queue = fair_queue
        self._specs: dict[Identity, tuple[int, Spec | None]] = {}
        self._looking: asyncio.Task[Survey] | None = None
        self._look_lock = asyncio.Lock()

    @property
    def servers(self) -> AbstractSet[str]:
        """Ids of the other servers."""
        membership = self._state.membership
        return {server.id for server in membership.servers} - {membership.me.id}

    # As of the last survey

    def owns(self, identity: Identity) -> bool:
        """Return whether another server that lives owns a watch."""
        surveyed = self.survey.watches.get(identity)
        return surveyed is not None and surveyed.owner in self.servers

    def owned(self) -> AbstractSet[Identity]:
        """Return the watches that any server owns that lives."""
        living = {server.id for server in self._state.membership.servers}
        return {each.identity for each in self.survey.watches.values() if each.owner in living}

    def streams(self, principal: str) -> int:
        """Return the number of a principal's streams on other servers."""
        others, streams = self.servers, 0
        for each in self.survey.watches.values():
            if each.identity.principal == principal:
                streams += sum(each.streams for each in each.readers if each.server in others)
                streams += each.streams if each.owner in others else 0
        return streams

    # As of now

    async def look(self) -> Survey:
        """Look at all watches that have owners, later than the call; simultaneous calls share it.

        Raises:
            AwayError: The state has not answered in time.
            StateError: The state cannot be read.
        """
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_next())
        return await answered(asyncio.shield(self._looking))

    async def _look_next(self) -> Survey:
        async with self._look_lock:
            self._looking = None
            return await self._threads.run(partial(self._state.survey, 0.0))

    async def watches_of(self, principal: str) -> list[SurveyedWatch]:
        """Return the watches of a principal that other servers run now.

        Raises:
            StateError: The state cannot be read.
        """
        if not self.servers:
            return []
        # One that has begun since the last survey is not to be missed.
        watches = (await self.look()).watches.values()
        others = self.servers
        return [
            each
            for each in watches
            if each.identity.principal == principal and each.owner in others
        ]

    async def known(self) -> Collection[Identity]:
        """Return all watches whose state is kept, whether or not they run anywhere.

        Raises:
            StateError: The state cannot be read.
        """
        return (await answered(self._threads.run(self._state.summaries))).keys()

    async def spec_of(self, surveyed: SurveyedWatch) -> Spec | None:
        """Return what a watch watches; None if its configuration is not known.

        Raises:
            StateError: The state cannot be read.
        """
        identity, version = surveyed.identity, surveyed.document_version
        kept = self._specs.get(identity)
        if kept is not None and kept[0] == version:
            return kept[1]
        document = await self._threads.run(partial(self._state.document, identity))
        try:
            spec = await parse_document(document, identity.principal, self._fair_queue)
        except WatcherError:
            spec = None
        known = self.survey.watches
        self._specs = {each: self._specs[each] for each in self._specs if each in known}
        self._specs[identity] = (version, spec)
        return spec
