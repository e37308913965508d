"""Acknowledgements and replays, as consumers and operators ask for them by event id or by watch."""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from watcher.errors import ConfigError, NotFoundError
from watcher.limits.state_threads import answered

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from watcher.delivery.publisher import Publisher
    from watcher.limits.fair_queue import FairQueue
    from watcher.limits.state_threads import StateThreads
    from watcher.model import Identity
    from watcher.watch.registry import WatchRegistry

Item = TypeVar("Item")

MAX_SEQ = (1 << 63) - 1
"""Largest integer of SQLite, and so the largest sequence number."""

_ID = re.compile(r"([0-9a-f]{16})-([0-9]{1,18})(?:-[0-9]{1,18})?", re.ASCII)
"""Event or batch id: uid of the watch, first sequence number, for a batch also its last one."""


class Coalescer(Generic[Item]):
    """Combines the items that callers submit at the same time into one call of a slow function.

    Args:
        act: Takes the items, in a thread.
        threads: Where it runs.
    """

    def __init__(self, act: Callable[[Sequence[Item]], None], threads: StateThreads) -> None:
        self._act = act
        self._threads = threads
        self._lock = asyncio.Lock()
        self._waiting: list[Item] = []

    async def submit(self, items: Sequence[Item]) -> None:
        """Return when the function has taken the items.

        Raises:
            Exception: Any that the function raises, to each caller whose items it was called with.
        """
        waiting = self._waiting
        waiting += items
        async with self._lock:
            if not waiting:
                return
            if self._waiting is waiting:
                self._waiting = []
            await self._threads.run(lambda: self._act(waiting))
            waiting.clear()


class Acknowledgements:
    """Acknowledges and replays the events of one server.

    Args:
        watches: The watches that the events belong to.
        fair_queue: Orders replays, which read and write whole journals.
    """

    def __init__(self, watches: WatchRegistry, fair_queue: FairQueue) -> None:
        self._watches = watches
        self._fair_queue = fair_queue
        self._coalescers: WeakKeyDictionary[Publisher, Coalescer[int]] = WeakKeyDictionary()

    async def acknowledge(self, principal: str, ids: Sequence[str]) -> list[str]:
        """Confirm payloads by their ids, or by the id of any event in them.

        Payloads that are confirmed already stay so. An id that is yet to be given shows that the
        state is a restored backup: then the watch gives its events new ids.

        Args:
            principal: Name of the caller's token; only events of its own watches are known.
            ids: Ids of payloads or events.

        Returns:
            The ids that belong to no running watch.

        Raises:
            ConfigError: A watch confirms its events by time.
            AwayError: The state is away, or has not answered in time; then the payloads may be
                confirmed later.
            StateError: The state cannot be written.
        """
        self._watches.check_state()
        watches = {
            uid: watch
            for identity, watch in self._watches.running()
            if identity.principal == principal
            for uid in watch.publisher.uids
        }
        seqs: dict[Publisher, list[int]] = defaultdict(list)
        unknown: list[str] = []
        for event_id in ids:
            parts = _ID.fullmatch(event_id)
            watch = watches.get(parts[1]) if parts else None
            if parts is None or watch is None:
                unknown.append(event_id)
                continue
            uid, seq, publisher = parts[1], int(parts[2]), watch.publisher
            if not publisher.has_issued(uid, seq):
                unknown.append(event_id)
                if publisher.is_restored(uid, seq):
                    watch.renew_ids()
            elif not publisher.needs_acknowledgements:
                raise ConfigError(
                    "its event source confirms events by time",
                    place=event_id,
                    hint="set confirm: ack there",
                )
            else:
                seqs[publisher].append(seq)
        threads = self._watches.threads
        submissions = [
            self._coalescers.setdefault(
                publisher, Coalescer(publisher.acknowledge, threads)
            ).submit(each)
            for publisher, each in seqs.items()
        ]
        await answered(asyncio.gather(*submissions))
        return unknown

    async def replay(
        self,
        principal: str,
        name: str,
        *,
        place: str = "",
        seq: int | None = None,
        time_s: float | None = None,
    ) -> tuple[Identity, range]:
        """Write confirmed events again, to the connected streams or else to those that connect.

        Args:
            principal: Name of the caller's token; only its own watches are known.
            name: ``id`` of the configuration, or else the name of the event source.
            place: What is watched, where several places are watched under this name.
            seq: Replay from this sequence number on.
            time_s: Replay from what was found at this time on, in seconds since the epoch, instead.

        Returns:
            The watch, and the sequence numbers that are written again.

        Raises:
            NotFoundError: There is no such watch, running or not.
            ConfigError: There are several, or no change can have the sequence number.
            AwayError: The state is away, or has not answered in time; then it may be done later.
            StateError: The state cannot be used.
        """
        self._watches.check_state()
        if seq is not None and seq > MAX_SEQ:
            raise ConfigError(
                f"no change has the number {seq}", hint="`watcher status` has the next one"
            )
        identity = self._find(principal, name, place)
        async with self._fair_queue.turn(principal):
            return identity, await self._watches.replay(identity, seq=seq, time_s=time_s)

    def _find(self, principal: str, name: str, place: str) -> Identity:
        named = [
            each
            for each in self._watches.known()
            if (each.principal, each.name) == (principal, name)
        ]
        found = [each for each in named if place in {"", each.place}]
        if not found:
            raise NotFoundError(
                f"there is no watch {name!r}",
                place=place,
                hint="`watcher status` lists those that there are",
            )
        if len(found) > 1:
            raise ConfigError(
                f"{name!r} watches {' and '.join(sorted(each.place for each in found))}",
                hint="say which by --place",
            )
        return found[0]
