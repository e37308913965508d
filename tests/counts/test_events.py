"""Calls, statements and bytes an event, from its change to the streams that are to write it.

A bound is twice what was counted, or more: it shows work that grows with the number of events or
streams where there was none, or less.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.clock import FakeClock
from support.counts import counted
from support.publishing import Bench, write
from support.state import open_store

EVENTS, COMMITS, STREAMS = 2_000, 200, 10


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    clock = FakeClock()
    with closing(open_store(tmp_path / "state.db", clock)) as store:
        yield Bench(store, clock)


def test_a_commit(bench: Bench) -> None:
    """18 calls of Python, 26 of C, a statement, and 470 bytes of the log."""
    bench.change()
    with counted(bench.store) as counts:
        bench.change(EVENTS)
    assert counts.calls < 40 * EVENTS
    assert counts.native_calls.total() < 55 * EVENTS
    assert counts.native_calls["Encoder.encode"] <= EVENTS
    assert counts.statements < 2 * EVENTS
    assert counts.written_bytes < 1_000 * EVENTS


def test_small_commits(bench: Bench) -> None:
    """Of one event each: 104 calls of Python, 79 of C, 4 statements, and 9,600 bytes of the log."""
    bench.change()
    with counted(bench.store) as counts:
        for _ in range(COMMITS):
            bench.change()
    assert counts.calls < 220 * COMMITS
    assert counts.native_calls.total() < 170 * COMMITS
    assert counts.statements < 9 * COMMITS
    assert counts.written_bytes < 20_000 * COMMITS


def test_streams_that_read_the_same_events(bench: Bench) -> None:
    """7 calls of Python for each stream, 5 of C; no statement, since all are in memory."""
    subscriptions = [bench.join() for _ in range(STREAMS)]
    bench.change(EVENTS)
    written = [0] * STREAMS
    with counted(bench.store) as counts:
        while min(written) < EVENTS:
            for number, subscription in enumerate(subscriptions):
                written[number] += len(write(subscription))
    assert written == [EVENTS] * STREAMS
    assert counts.calls < 15 * STREAMS * EVENTS
    assert counts.native_calls.total() < 11 * STREAMS * EVENTS
    assert counts.native_calls["Encoder.encode"] == counts.statements == 0
