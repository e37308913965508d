"""The engine: each identity has state of its own, found again, summarised, rewound and removed."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.state import ENGINES, EngineFactory, add
from watcher.model import Delta, Identity, Payload
from watcher.state.port import StateEngine, Summary

ORDERS = Identity("", "orders", "file:///data/in")
OTHER = Identity("alice", "orders", "file:///data/in")


def test_identities_do_not_share_state(engine: StateEngine) -> None:
    with closing(engine.open(ORDERS)) as orders, closing(engine.open(OTHER)) as other:
        add(orders, b"a")
        assert (orders.index.entries, other.index.entries) == (1, 0)
        assert orders.uid != other.uid
    assert {*engine.summaries()} == {ORDERS, OTHER}


@pytest.mark.parametrize("make", ENGINES.values(), ids=ENGINES)
def test_state_is_found_by_the_next_server(make: EngineFactory, tmp_path: Path) -> None:
    uids = set()
    for turn in range(2):
        with make(tmp_path, FakeClock()) as engine, closing(engine.open(ORDERS)) as store:
            assert (store.is_new, store.index.entries) == (turn == 0, turn)
            add(store, b"%d" % turn)
            uids.add(store.uid)
    assert len(uids) == 1


@pytest.mark.parametrize("is_open", [True, False])
def test_state_is_summarised(engine: StateEngine, clock: FakeClock, *, is_open: bool) -> None:
    """A summary can be read while the state is in use and afterwards."""
    start_s = int(clock.wall())
    with closing(engine.open(ORDERS)) as store:
        add(store, b"a")
        clock.advance(5)
        store.commit(Delta(), [Payload(1, b"1"), Payload(3, b"23")], changes=3)
        store.journal.confirm(1)
        if not is_open:
            store.close()
        summary = engine.summary(ORDERS)
    assert summary == Summary(*ORDERS[1:], ORDERS.principal, 1, 4, 1, 2, start_s + 5, start_s)
    assert (summary.identity, summary.depth) == (ORDERS, 2)
    assert engine.summaries() == {ORDERS: summary}


def test_a_watch_at_rest_is_rewound(engine: StateEngine, clock: FakeClock) -> None:
    with closing(engine.open(ORDERS)) as store:
        for seq in (1, 2, 3):
            store.commit(Delta(), [Payload(seq, b"x")], changes=1)
            clock.advance(10)
        start_s = clock.wall() - 30
        store.journal.confirm(3, keep_s=100)
    assert engine.rewind(ORDERS, seq=3, time_s=None) == range(3, 4)
    assert engine.rewind(ORDERS, seq=None, time_s=start_s + 10) == range(2, 3)
    assert engine.rewind(ORDERS, seq=None, time_s=start_s + 60) == range(2, 2)
    assert engine.summary(ORDERS).cursor == 1


def test_removed_state_is_gone(engine: StateEngine) -> None:
    for identity in (ORDERS, OTHER):
        with closing(engine.open(identity)) as store:
            add(store, b"a")
    engine.remove(ORDERS)
    assert set(engine.summaries()) == {OTHER}
    with closing(engine.open(ORDERS)) as store:
        assert (store.is_new, store.index.entries) == (True, 0)


def test_a_probe_leaves_nothing(engine: StateEngine) -> None:
    engine.probe()
    assert engine.summaries() == {}
