"""Decides whether the side of a watch that streams see takes memory and disk only while they are needed."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from support.state import open_store
from watcher.delivery import publisher as courier_module
from watcher.delivery.audience import Audience
from watcher.delivery.outbox import Outbox
from watcher.delivery.publisher import CONFIRM_INTERVAL_S, Publisher
from watcher.model import Change, ChangeSet, ChangeType, Entry
from watcher.settings import WatchLimits
from watcher.spec import DirectorySpec, Spec
from watcher.state.port import WatchStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Clock:
    """The monotonic clock of the publisher."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic(self) -> float:
        """Return seconds."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Have the publisher read a clock that the test sets."""
    clock = Clock()
    monkeypatch.setattr(courier_module, "time", clock)
    return clock


class Bench:
    """A publisher over a real state file."""

    def __init__(self, store: WatchStore) -> None:
        audience = Audience()
        self.store = store
        self.outbox = Outbox(
            Spec(DirectorySpec("/data")),
            store,
            time_ns=lambda: 0,
            clock=time.monotonic,
            committed=audience.tell,
        )
        self.publisher = Publisher(store, self.outbox, audience, WatchLimits(30.0), lambda: None)

    def change(self) -> None:
        """Have something to say."""
        self.outbox.commit(ChangeSet(changes=[Change(ChangeType.CREATED, Entry(b"a", 1, 1))]))

    def in_memory(self) -> bool:
        """Tell whether the last payload is in memory."""
        return bool(
            self.publisher.payloads_in_memory(self.store.journal.next_seq - 2, limit=1, max_bytes=1)
        )


@pytest.fixture
def bench(tmp_path: Path, clock: Clock) -> Iterator[Bench]:
    """Return a bench on a fresh file."""
    del clock
    with closing(open_store(tmp_path / "state.db")) as store:
        yield Bench(store)


def test_payloads_are_in_memory_for_streams(bench: Bench) -> None:
    """The newest payloads are held from when the first stream joins until the last one leaves."""
    bench.change()
    held = [bench.in_memory()]
    first, second = bench.publisher.join(lambda: None), bench.publisher.join(lambda: None)
    bench.change()
    held.append(bench.in_memory())
    for position in (first, second):
        bench.publisher.leave(position)
        held.append(bench.in_memory())
    bench.change()
    assert [*held, bench.in_memory()] == [False, True, True, False, False]


def test_what_was_used_is_tidied_up(bench: Bench, clock: Clock) -> None:
    """After something was written the publisher asks for its turn until nothing has happened for a while, and then no longer."""
    bench.change()
    assert bench.publisher.due_in_s() == 0.0
    turns = 0
    while (due_in_s := bench.publisher.due_in_s()) is not None:
        clock.now_s += due_in_s
        bench.publisher.confirm_if_due()
        turns += 1
    assert turns == 2
    assert clock.now_s == 1000.0 + CONFIRM_INTERVAL_S
    bench.change()
    assert bench.publisher.due_in_s() == CONFIRM_INTERVAL_S
