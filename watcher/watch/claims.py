"""Which watches a server takes, and which it gives back, where several servers share them.

Each server decides for itself from the same survey, and the state lets one of them have a watch:
what two servers decide at once costs a refusal and no more.

- A watch that is wanted and has no owner that lives goes at once to the server that has its
  streams; else, soon, to the one with the least to do, and in the end to any that can take it.
- A watch of a node-local place goes to servers of its node while one lives.
- For some minutes after a server came or went nothing else moves, since one that is restarted comes
  back. Then a server gives back one watch at a time: those with streams on one other server alone,
  and others while it has more to do than it should. It never gives back one in its first scan.

Pure: no I/O; time is a parameter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from watcher.state.membership import Server

PLANNED_S = 0.3
"""Seconds after which the server with the least to do takes a watch that has no streams."""

OTHERS_S = 1.0
"""Seconds after which other servers take it, if they have no more than their part."""

HOLDERS_S = 1.5
"""Seconds in which a server that has streams of a watch takes it before others may.

A server looks once a second where it gets no notifications.
"""

ANYBODY_S = 3.0
"""Seconds after which any server takes a watch, also one that has just given it back."""

SETTLING_S = 300.0
"""Seconds after a server came or went in which only watches without an owner move.

Kafka Connect waits as long for a worker that is restarted (scheduled.rebalance.max.delay.ms).
"""

MOVE_INTERVAL_S = 10.0
"""Seconds between two watches that a server gives back to balance."""

TOLERANCE = 1.25
"""A server may have this many times its equal part."""

MIN_WEIGHT = 1000
"""Entries that a watch counts for at least: it costs a thread and requests, however small it is."""


@dataclass(frozen=True, slots=True)
class SharedWatch:
    """A watch that servers share, as a survey shows it.

    Attributes:
        number: Names the watch.
        owner: Id of the server that owns it; None for nobody.
        is_wanted: It has streams, or had some a short time ago.
        streams: Number of its streams by server.
        entries: Rows in its index.
        node: The node that its place is local to; None if other nodes have it, too.
        is_movable: Its owner may give it back: its first scan is over.
    """

    number: int
    owner: str | None
    is_wanted: bool
    streams: Mapping[str, int]
    entries: int = 0
    node: str | None = None
    is_movable: bool = True

    @property
    def weight(self) -> int:
        """What it costs its owner."""
        return max(self.entries, MIN_WEIGHT)


class Decision(NamedTuple):
    """What a server does with the watches now.

    Attributes:
        claims: Numbers of the watches that it takes, in the order in which they have waited.
        releases: Numbers of the watches that it gives back.
        again_in_s: Seconds after which it should decide again, if nothing happens before; None if
            time alone changes nothing soon.
    """

    claims: Sequence[int] = ()
    releases: Sequence[int] = ()
    again_in_s: float | None = None


class Claims:
    """The decisions of one server, and what it remembers for them.

    Args:
        me: Id of the server.
    """

    def __init__(self, me: str) -> None:
        self._me = me
        self._orphaned_s: dict[int, float] = {}
        self._released_s: dict[int, float] = {}
        self._servers: frozenset[str] | None = None
        self._settled_s = 0.0
        self._move_due_s = 0.0

    def decide(
        self, now_s: float, servers: Sequence[Server], watches: Sequence[SharedWatch]
    ) -> Decision:
        """Return what to do.

        Args:
            now_s: The monotonic clock.
            servers: Those that live, this one included.
            watches: All watches that have an owner or are wanted.
        """
        self._note_servers(now_s, servers)
        able = [each for each in servers if not each.is_leaving]
        if all(each.id != self._me for each in able):
            return Decision()
        table = _Table(able, [each.id for each in servers], watches)
        self._note_orphans(now_s, table)
        claims, again_in_s = self._claims(now_s, table)
        release = None if table.orphans else self._release(now_s, table)
        if release is None:
            return Decision(claims, again_in_s=again_in_s)
        self._move_due_s = now_s + MOVE_INTERVAL_S
        self._released_s[release] = now_s
        return Decision(claims, [release], again_in_s)

    def _note_servers(self, now_s: float, servers: Sequence[Server]) -> None:
        ids = frozenset(each.id for each in servers)
        if ids != self._servers:
            self._servers, self._settled_s = ids, now_s + SETTLING_S

    def _note_orphans(self, now_s: float, table: _Table) -> None:
        orphans = {watch.number for watch in table.orphans}
        self._orphaned_s = {each: self._orphaned_s.get(each, now_s) for each in orphans}
        self._released_s = {
            number: at_s for number, at_s in self._released_s.items() if at_s + ANYBODY_S > now_s
        }

    def _claims(self, now_s: float, table: _Table) -> tuple[list[int], float | None]:
        plan, due_s = table.plan(), dict[int, float]()
        for watch in table.orphans:
            if (delay_s := self._delay_s(watch, table, plan)) is not None:
                due_s[watch.number] = self._orphaned_s[watch.number] + delay_s
        claims = sorted(number for number, at_s in due_s.items() if at_s <= now_s)
        claims.sort(key=self._orphaned_s.__getitem__)
        later = [at_s - now_s for at_s in due_s.values() if at_s > now_s]
        return claims, min(later, default=None)

    def _delay_s(self, watch: SharedWatch, table: _Table, plan: Mapping[int, str]) -> float | None:
        """Return how long to leave a watch without an owner to others; None for ever."""
        if all(each.id != self._me for each in table.able(watch)):
            return None
        if watch.number in self._released_s:
            return ANYBODY_S
        holders = table.holders(watch)
        if self._me in holders:
            return min(PLANNED_S * holders.index(self._me), OTHERS_S)
        if holders:
            return HOLDERS_S if plan[watch.number] == self._me else ANYBODY_S
        if plan[watch.number] == self._me:
            return PLANNED_S
        return OTHERS_S if table.has_room(self._me) else ANYBODY_S

    def _release(self, now_s: float, table: _Table) -> int | None:
        """Return the watch to give back for the sake of balance, if any."""
        if now_s < max(self._settled_s, self._move_due_s) or len(table.loads) < 2:  # noqa: PLR2004 - nobody else
            return None
        own = [each for each in table.owned(self._me) if each.is_movable]
        for watch in own:
            if (target := table.sole_holder(watch)) not in {None, self._me}:
                after = table.loads[target] + watch.weight
                if after <= max(table.bound, table.loads[self._me]):
                    return watch.number
        if table.loads[self._me] <= table.bound:
            return None
        return self._lightening(own, table)

    def _lightening(self, own: Sequence[SharedWatch], table: _Table) -> int | None:
        """Return the watch without which the load of this server comes closest to another's."""
        found: list[tuple[int, float, int]] = []
        load = table.loads[self._me]
        for watch in own:
            others = [table.loads[each.id] for each in table.able(watch) if each.id != self._me]
            # Where it would only change places with the load of another one it stays.
            if others and min(others) + watch.weight < load:
                distance = abs(load - min(others) - 2 * watch.weight)
                found.append((watch.streams.get(self._me, 0), distance, watch.number))
        return min(found)[2] if found else None


class _Table:
    """One survey, in the order in which a decision asks for it.

    Args:
        able: The servers that take watches.
        living: Ids of all servers that live.
        watches: All watches that have an owner or are wanted.

    Attributes:
        loads: Weight of what each server owns.
        bound: Load up to which a server gives nothing back.
        orphans: The wanted watches without an owner that lives, by number.
    """

    def __init__(
        self, able: Sequence[Server], living: Sequence[str], watches: Sequence[SharedWatch]
    ) -> None:
        self._able = sorted(able, key=lambda server: server.id)
        self._nodes: dict[str, list[Server]] = {}
        for server in self._able:
            self._nodes.setdefault(server.node, []).append(server)
        self._watches = watches
        self.loads = {each.id: 0 for each in self._able}
        self._counts = {each.id: 0 for each in self._able}
        self._wanted = 0
        orphans = []
        alive = frozenset(living)
        for watch in watches:
            self._wanted += watch.is_wanted
            if watch.owner in alive:
                if watch.owner in self.loads:
                    self._add(watch.owner, watch)
            elif watch.is_wanted:
                orphans.append(watch)
        self.orphans = sorted(orphans, key=lambda watch: watch.number)
        self.bound = TOLERANCE * sum(self.loads.values()) / len(self.loads)

    def able(self, watch: SharedWatch) -> Sequence[Server]:
        """Return the servers that may own a watch, by id."""
        if watch.node is None:
            return self._able
        return self._nodes.get(watch.node) or self._able

    def holders(self, watch: SharedWatch) -> list[str]:
        """Return the servers that may own a watch and have streams of it, most streams first."""
        if not watch.streams:
            return []
        able = [each.id for each in self.able(watch) if watch.streams.get(each.id, 0)]
        return sorted(able, key=lambda server: (-watch.streams[server], server))

    def sole_holder(self, watch: SharedWatch) -> str | None:
        """Return the server that has all streams of a watch and may own it; None for none."""
        having = [server for server, streams in watch.streams.items() if streams]
        return having[0] if len(having) == 1 and self.holders(watch) == having else None

    def owned(self, server: str) -> list[SharedWatch]:
        """Return what a server owns, by number."""
        owned = [each for each in self._watches if each.owner == server]
        return sorted(owned, key=lambda watch: watch.number)

    def has_room(self, server: str) -> bool:
        """Return whether a server owns no more watches than its part."""
        return self._counts[server] < math.ceil(self._wanted / len(self.loads)) * TOLERANCE

    def plan(self) -> dict[int, str]:
        """Share out the watches without an owner: each server comes to the same result.

        A watch with streams is planned for one that may take it if the server with most of them
        does not, and counts for that one.
        """
        plan: dict[int, str] = {}
        loads = dict(self.loads)
        for watch in self.orphans:
            first = self.holders(watch)[:1]
            able = [each.id for each in self.able(watch)]
            others = [each for each in able if each not in first] or able
            plan[watch.number] = min(others, key=lambda each: (loads[each], each))
            loads[first[0] if first else plan[watch.number]] += watch.weight
        return plan

    def _add(self, server: str, watch: SharedWatch) -> None:
        self.loads[server] += watch.weight
        self._counts[server] += 1
