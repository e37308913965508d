"""Acknowledgements and replays, as consumers and operators ask for them by event id or by watch.

Any server takes them, wherever the watch runs: acknowledgements are marked in the state, and its
owner is asked for a replay.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from watcher.errors import ConfigError, NotFoundError
from watcher.limits.state_threads import answered
from watcher.spec import Confirm

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from watcher.delivery.publisher import Publisher
    from watcher.limits.fair_queue import FairQueue
    from watcher.limits.state_threads import StateThreads
    from watcher.model import Identity
    from watcher.state.following import Following, Issuer
    from watcher.watch.registry import WatchRegistry
    from watcher.watch.requests import WatchRequests

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
        following: Knows the watches of all servers by the ids that they have given.
        requests: Asks the owners of watches.
        fair_queue: Orders replays, which read and write whole journals.
    """

    def __init__(
        self,
        watches: WatchRegistry,
        following: Following,
        requests: WatchRequests,
        fair_queue: FairQueue,
    ) -> None:
        self._watches = watches
        self._following = following
        self._requests = requests
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
            The ids that belong to no running watch; where servers share the state, to none at all.

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
            if identity.principal == principal and not watch.is_handed_over
            for uid in watch.publisher.uids
        }
        seqs: dict[Publisher, list[int]] = defaultdict(list)
        unknown: set[str] = set()
        elsewhere: list[re.Match[str]] = []
        for event_id in ids:
            parts = _ID.fullmatch(event_id)
            watch = watches.get(parts[1]) if parts else None
            if parts is None:
                unknown.add(event_id)
                continue
            if watch is None:
                elsewhere.append(parts)
                continue
            uid, seq, publisher = parts[1], int(parts[2]), watch.publisher
            if not publisher.has_issued(uid, seq):
                unknown.add(event_id)
                if publisher.is_restored(uid, seq):
                    watch.renew_ids()
            elif not publisher.needs_acknowledgements:
                raise _confirms_by_time(event_id)
            else:
                seqs[publisher].append(seq)
        threads = self._watches.threads
        submissions: list[Awaitable[None]] = [
            self._coalescers.setdefault(
                publisher, Coalescer(publisher.acknowledge, threads)
            ).submit(each)
            for publisher, each in seqs.items()
        ]
        if elsewhere:
            submissions.append(self._acknowledge_elsewhere(principal, elsewhere, unknown))
        await answered(asyncio.gather(*submissions))
        return [event_id for event_id in ids if event_id in unknown]

    async def _acknowledge_elsewhere(
        self, principal: str, ids: Sequence[re.Match[str]], unknown: set[str]
    ) -> None:
        """Confirm payloads of watches that do not run here; see ``acknowledge``.

        Args:
            principal: Name of the caller's token.
            ids: Ids of payloads or events, as ``_ID`` has them.
            unknown: Those are added that belong to no watch.
        """
        threads = self._watches.threads
        uids = {parts[1] for parts in ids}
        issuers = await threads.run(partial(self._following.issuers, uids))
        seqs: dict[int, list[int]] = defaultdict(list)
        restored: set[int] = set()
        for parts in ids:
            issuer, seq = issuers.get(parts[1]), int(parts[2])
            if issuer is None or issuer.identity.principal != principal:
                unknown.add(parts[0])
            elif not 0 < seq < issuer.end_seq:
                unknown.add(parts[0])
                if issuer.is_present and seq > 0:
                    restored.add(issuer.number)
            else:
                await self._check_acknowledged(issuer, parts[0])
                seqs[issuer.number].append(seq)
        for number in restored:
            await self._requests.renew_ids(number)
        for number, each in seqs.items():
            await threads.run(partial(self._following.acknowledge, number, each))
        self._watches.followers.look(seqs.keys())

    async def _check_acknowledged(self, issuer: Issuer, event_id: str) -> None:
        """Make sure that the consumers of a watch confirm its events, if that is known.

        Raises:
            ConfigError: Time does.
        """
        surveyed = self._watches.elsewhere.survey.watches.get(issuer.identity)
        spec = None if surveyed is None else await self._watches.elsewhere.spec_of(surveyed)
        if spec is not None and spec.confirm is not Confirm.ACK:
            raise _confirms_by_time(event_id)

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
        identity = await self._find(principal, name, place)
        async with self._fair_queue.turn(principal):
            return identity, await self._requests.replay(identity, seq=seq, time_s=time_s)

    async def _find(self, principal: str, name: str, place: str) -> Identity:
        named = _named(self._watches.known(), principal, name)
        if not named and self._watches.elsewhere.servers:
            # One that another server has made a moment ago.
            named = _named(await self._watches.elsewhere.known(), principal, name)
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


def _confirms_by_time(event_id: str) -> ConfigError:
    return ConfigError(
        "its event source confirms events by time", place=event_id, hint="set confirm: ack there"
    )


def _named(watches: Iterable[Identity], principal: str, name: str) -> list[Identity]:
    return [each for each in watches if (each.principal, each.name) == (principal, name)]
