"""The watch: its thread over a place in memory and a real state file."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from support.memory_source import MemoryFiles
from watcher.clock import Clock
from watcher.errors import LimitError, StateError, UnavailableError
from watcher.limits.quotas import Quotas
from watcher.model import Entry, Identity
from watcher.settings import ServerSettings, WatchLimits
from watcher.sources.protocol import Batch, EntryBatch, Observation
from watcher.spec import DirectorySpec, Spec
from watcher.state.sqlite.store import WatchStore
from watcher.watch.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ENTRIES = 3000
DELETED = 1200
"""More than one page of the index, and less than half of it."""
DEADLINE_S = 30.0


def make(directory: Path, place: BreakingPlace) -> Watch:
    """Make the watch of a place, with a journal that is soon full."""
    store = WatchStore(directory / "state.db")
    limits = WatchLimits(window_s=0.0)
    identity = Identity("", "test", "file:///data")
    share = Quotas(ServerSettings(journal_cap=10), {}).open(identity, store)
    return Watch(
        Spec(DirectorySpec("/data")),
        lambda _should_stop: place,
        store,
        limits,
        share,
        identity,
        Clock(),
    )


class BreakingPlace(MemoryFiles):
    """A place that cannot be read any more in the middle of the first deletions; closed, it cannot be read at all."""

    scan_interval_s = 0.05

    def __init__(self) -> None:
        super().__init__()
        self.files = {
            b"%04d" % number: Entry(b"%04d" % number, 1, 1, 1, number) for number in range(ENTRIES)
        }
        self.prefix = b""
        self.unread: list[bytes] = []
        self.is_open = False
        self.confirmations = 0

    def open(self, wake: Callable[[], None]) -> None:
        """See ``base.Source``."""
        del wake
        self.is_open = True

    def close(self) -> None:
        """See ``base.Source``."""
        self.is_open = False

    def observe(self) -> Iterator[Observation]:
        """See ``base.Source``."""
        assert self.is_open
        return iter(())

    def scan(self, prefix: bytes = b"", *, settled_only: bool = True) -> BreakingPlace:
        """See ``base.Source``."""
        del prefix, settled_only
        return self

    def __iter__(self) -> Iterator[Batch]:
        """See ``base.Scan``."""
        assert self.is_open
        yield EntryBatch(list(self.files.values()))

    def verification_scan(self, missing: int) -> None:
        """See ``base.Scan``."""

    def confirm_deleted(self, paths: Sequence[bytes]) -> Sequence[bytes]:
        """See ``base.Source``."""
        self.confirmations += 1
        if self.confirmations == 2:
            raise UnavailableError("it broke off")
        return super().confirm_deleted(paths)


def test_a_watch_without_a_thread_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there can be no more threads, whoever waits for the watch learns it, its state is closed, and nothing is left running."""

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    watch = make(tmp_path, BreakingPlace())
    watch.start()
    assert isinstance(watch.opened.exception(0), LimitError)
    watch.ended.result(0)
    assert not watch.is_running
    with pytest.raises(StateError):
        watch.publisher.acknowledge([1])


def test_an_unavailable_place_is_opened_again_before_it_is_read(tmp_path: Path) -> None:
    """A place that goes away while the journal is full is opened again before its next reading, and all its changes are told."""
    place, told = BreakingPlace(), threading.Event()
    watch = make(tmp_path, place)
    position = watch.publisher.join(told.set)
    watch.start()
    try:
        assert told.wait(DEADLINE_S)  # the first scan is over
        place.files = dict(list(place.files.items())[DELETED:])
        while position.written_seq < DELETED:
            told.clear()
            payloads = watch.publisher.payloads(position.written_seq, limit=100, max_bytes=1 << 20)
            assert payloads or told.wait(DEADLINE_S)
            assert watch.failure is None
            for payload in payloads:
                position.begin_write(0.0)
                position.end_write(payload.seq, 0.0)
    finally:
        watch.stop()
        watch.ended.result(DEADLINE_S)
    assert watch.failure is None
    assert watch.status.errors == {"unavailable": 1}
