"""Which watches a server takes and gives back: each rule, and how many move over a long time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

from watcher.state.membership import Server
from watcher.watch.claims import (
    ANYBODY_S,
    HOLDERS_S,
    MOVE_INTERVAL_S,
    OTHERS_S,
    PLANNED_S,
    SETTLING_S,
    Claims,
    Decision,
    SharedWatch,
)


def server(name: str, *, node: str = "", is_leaving: bool = False) -> Server:
    return Server(name, name, node, "1", 0.0, is_leaving=is_leaving)


A, B, C = server("a"), server("b"), server("c")


def watch(
    number: int, owner: str | None = None, streams: str = "", **others: object
) -> SharedWatch:
    """Return a wanted watch with a stream on each server that is named."""
    base = SharedWatch(number, owner, is_wanted=True, streams=Counter(streams))
    return replace(base, **others)  # type: ignore[arg-type]


def claims_at(
    me: Server, servers: list[Server], watches: list[SharedWatch], after_s: float
) -> list[int]:
    """Return what a server claims that has seen the same for some time."""
    decider = Claims(me.id)
    decider.decide(0.0, servers, watches)
    return list(decider.decide(after_s, servers, watches).claims)


def test_the_server_with_the_streams_takes_a_watch_at_once() -> None:
    watches = [watch(1, streams="b")]
    assert claims_at(B, [A, B], watches, 0.0) == [1]
    assert claims_at(A, [A, B], watches, HOLDERS_S - 0.01) == []
    assert claims_at(A, [A, B], watches, HOLDERS_S) == [1]


def test_of_several_with_streams_the_one_with_most_is_the_first() -> None:
    watches = [watch(1, streams="abb")]
    assert claims_at(B, [A, B, C], watches, 0.0) == [1]
    assert claims_at(A, [A, B, C], watches, 0.0) == []
    assert claims_at(A, [A, B, C], watches, PLANNED_S) == [1]


def test_without_streams_the_server_with_the_least_to_do_takes_it_soon() -> None:
    watches = [watch(1, "a"), watch(2)]
    assert claims_at(B, [A, B], watches, PLANNED_S) == [2]
    assert claims_at(A, [A, B], watches, PLANNED_S) == []
    assert claims_at(A, [A, B], watches, OTHERS_S) == [2]


def test_one_with_more_than_its_part_waits_longest() -> None:
    watches = [watch(1, "a"), watch(2, "a"), watch(3)]
    assert claims_at(A, [A, B], [*watches, watch(4, "b")], OTHERS_S) == [3]
    watches = [*(watch(number, "a") for number in range(4)), watch(9)]
    assert claims_at(A, [A, B], watches, OTHERS_S) == []
    assert claims_at(A, [A, B], watches, ANYBODY_S) == [9]


def test_many_without_owner_are_shared_out() -> None:
    watches = [watch(number) for number in range(10)]
    first = claims_at(A, [A, B], watches, PLANNED_S)
    second = claims_at(B, [A, B], watches, PLANNED_S)
    assert len(first) == len(second) == 5
    assert {*first, *second} == {*range(10)}


def test_what_no_server_that_lives_owns_has_no_owner() -> None:
    assert claims_at(A, [A, B], [watch(1, "gone", "a")], 0.0) == [1]
    assert claims_at(A, [A, B], [watch(1, "b", "a")], ANYBODY_S) == []


def test_nobody_takes_what_is_not_wanted() -> None:
    assert claims_at(A, [A], [watch(1, is_wanted=False)], ANYBODY_S) == []


def test_a_server_that_leaves_takes_nothing_and_keeps_what_it_has_until_it_gives_it_back() -> None:
    leaving = replace(A, is_leaving=True)
    assert claims_at(leaving, [leaving, B], [watch(1, streams="a")], ANYBODY_S) == []
    assert claims_at(B, [leaving, B], [watch(1, "a")], ANYBODY_S) == []
    assert claims_at(B, [leaving, B], [watch(1, streams="a")], PLANNED_S) == [1]


def test_a_place_of_one_node_is_for_servers_of_that_node_while_one_lives() -> None:
    here, there = server("a", node="n1"), server("b", node="n2")
    watches = [watch(1, streams="b", node="n1")]
    assert claims_at(here, [here, there], watches, PLANNED_S) == [1]
    assert claims_at(there, [here, there], watches, ANYBODY_S) == []
    assert claims_at(there, [there], watches, 0.0) == [1]


def test_a_decision_says_when_the_next_one_is_due() -> None:
    decider = Claims("a")
    assert decider.decide(0.0, [A, B], [watch(1)]) == Decision([], (), PLANNED_S)
    assert decider.decide(1.0, [A, B], []).again_in_s is None


def test_a_watch_goes_to_the_server_that_has_all_its_streams() -> None:
    decider, watches = Claims("a"), [watch(1, "a", "b"), watch(2, "a", "b"), watch(3, "b", "a")]
    assert not decider.decide(0.0, [A, B], watches).releases
    assert not decider.decide(SETTLING_S - 1, [A, B], watches).releases
    assert decider.decide(SETTLING_S, [A, B], watches).releases == [1]
    assert not decider.decide(SETTLING_S + MOVE_INTERVAL_S - 1, [A, B], watches).releases
    assert not claims_at(A, [A, B], [watch(1, "a", "ab"), watch(2, "b")], SETTLING_S)


def test_a_server_that_came_or_went_stops_all_moves_for_a_time() -> None:
    decider, watches = Claims("a"), [watch(1, "a", "b")]
    decider.decide(0.0, [A, B], watches)
    assert not decider.decide(SETTLING_S, [A, B, C], watches).releases
    assert decider.decide(SETTLING_S * 2, [A, B, C], watches).releases == [1]


def test_a_watch_in_its_first_scan_stays() -> None:
    decider, watches = Claims("a"), [watch(1, "a", "b", is_movable=False)]
    decider.decide(0.0, [A, B], watches)
    assert not decider.decide(SETTLING_S, [A, B], watches).releases


def test_a_server_with_too_much_gives_back_what_brings_it_closest_to_the_others() -> None:
    decider = Claims("a")
    watches = [
        watch(1, "a", "a", entries=2_000),
        watch(2, "a", entries=4_000),
        watch(3, "a", entries=3_000),
        watch(4, "b", entries=3_000),
    ]
    decider.decide(0.0, [A, B], watches)
    assert decider.decide(SETTLING_S, [A, B], watches).releases == [3]


def test_one_watch_alone_is_never_balanced() -> None:
    decider, watches = Claims("a"), [watch(1, "a", "a", entries=10**6)]
    decider.decide(0.0, [A, B], watches)
    assert not decider.decide(SETTLING_S, [A, B], watches).releases


def test_the_server_that_has_given_a_watch_back_takes_it_only_if_nobody_else_does() -> None:
    decider = Claims("a")
    owned = [watch(1, "a", "b")]
    decider.decide(0.0, [A, B], owned)
    assert decider.decide(SETTLING_S, [A, B], owned).releases == [1]
    given = [watch(1, None, "a")]
    decider.decide(SETTLING_S, [A, B], given)
    assert decider.decide(SETTLING_S + HOLDERS_S, [A, B], given).claims == []
    assert decider.decide(SETTLING_S + ANYBODY_S, [A, B], given).claims == [1]


@dataclass
class Fleet:
    """Servers that decide twice a second while a watch has no owner, else every few seconds."""

    watches: dict[int, SharedWatch]
    servers: list[Server]
    now_s: float = 0.0
    moves: int = 0
    deciders: dict[str, Claims] = field(default_factory=dict)

    def run(self, for_s: float) -> None:
        end_s = self.now_s + for_s
        while self.now_s < end_s:
            for each in self.servers:
                self._decide(each)
            is_calm = all(watch.owner is not None for watch in self.watches.values())
            self.now_s += 5.0 if is_calm else 0.5

    def _decide(self, each: Server) -> None:
        decider = self.deciders.setdefault(each.id, Claims(each.id))
        decision = decider.decide(self.now_s, self.servers, [*self.watches.values()])
        alive = {other.id for other in self.servers}
        for number in decision.claims:
            if self.watches[number].owner not in alive:
                self.moves += 1
                self.watches[number] = replace(self.watches[number], owner=each.id)
        for number in decision.releases:
            self.watches[number] = replace(self.watches[number], owner=None)

    def owned(self) -> Counter[str | None]:
        return Counter(each.owner for each in self.watches.values())


def test_a_server_that_leaves_and_comes_back_moves_a_third_and_what_balances_again() -> None:
    fleet = Fleet({number: watch(number) for number in range(99)}, [A, B, C])
    fleet.run(10)
    assert fleet.owned() == {"a": 33, "b": 33, "c": 33}
    fleet.run(2 * SETTLING_S)
    assert fleet.moves == 99
    fleet.servers, fleet.moves = [A, B], 0
    fleet.run(10)
    assert fleet.moves == 33
    fleet.servers, fleet.moves = [A, B, server("d")], 0
    fleet.run(SETTLING_S - 1)
    assert fleet.moves == 0
    fleet.run(2 * SETTLING_S)
    assert max(fleet.owned().values()) <= 1.25 * 33 + 1
    assert fleet.moves <= 33
    fleet.moves = 0
    fleet.run(2 * SETTLING_S)
    assert fleet.moves == 0


def test_watches_follow_their_streams_and_then_stay() -> None:
    fleet = Fleet({number: watch(number, streams="abc"[number % 3]) for number in range(30)}, [A])
    fleet.run(5)
    fleet.servers = [A, B, C]
    fleet.run(3 * SETTLING_S)
    homes = [each.owner == max(each.streams) for each in fleet.watches.values()]
    assert sum(homes) == 30
    fleet.moves = 0
    fleet.run(2 * SETTLING_S)
    assert fleet.moves == 0
